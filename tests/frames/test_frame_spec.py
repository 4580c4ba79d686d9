"""Errors of invalid frame specs name the setting; valid ones survive a round trip through JSON."""

import pytest
from frame_events import HEIGHT, WIDTH, make_events, run, stream, whole

from stdl_events.errors import FrameSpecError
from stdl_events.frames import FrameSpec


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dt_us": None}, "kind stream: got neither dt_us nor events_per_frame; expected exactly one"),
        ({"events_per_frame": 5}, "kind stream: got dt_us and events_per_frame; expected exactly one"),
        ({"by": "count"}, "kind stream: got by; expected only settings of kind stream; remove it"),
        ({"remainder": "drop"}, "kind stream: got remainder; expected only settings of kind stream"),
        ({"kind": "recording"}, "kind recording: got no `by`; expected by count or time"),
        ({"kind": "recording", "by": "time"}, "kind recording: got dt_us; expected only settings of kind recording"),
        ({"kind": "movie"}, "frame spec: kind: got 'movie'; expected 'stream', 'recording' or 'picture'"),
        ({"steps": 0}, "frame spec: steps: got 0; expected greater than or equal to 1"),
        ({"dt_us": 20000.0}, "frame spec: dt_us: got 20000.0; expected a valid integer"),
        ({"dt_us": True}, "frame spec: dt_us: got True; expected a valid integer"),
        ({"cap": 70000}, "frame spec: cap: got 70000; expected less than or equal to 65535"),
        ({"sensor_size": [128]}, r"frame spec: sensor_size.1: got nothing; expected a value; add it"),
        ({"frame_us": 5}, "frame spec: frame_us: got an unknown key; expected only known keys; remove it"),
    ],
)
def test_wrong_specs_name_what_is_wrong(changes, text):
    mapping = {"kind": "stream", "steps": 10, "sensor_size": [128, 128], "dt_us": 20000} | changes
    with pytest.raises(FrameSpecError) as caught:
        FrameSpec.parse(mapping)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_specs_survive_json():
    for spec in (stream(dt_us=20, cap=3), stream(events_per_frame=9, downscale=2), whole(by="time", remainder="drop")):
        assert FrameSpec.parse(spec.model_dump(mode="json")) == spec
        assert hash(FrameSpec.parse(spec.model_dump(mode="json"))) == hash(spec)


def test_odd_sizes_round_up_when_downscaled():
    spec = stream(dt_us=1, downscale=2)
    assert spec.frame_shape_CHW == (2, 3, 4)
    corner = make_events([0], x=WIDTH - 1, y=HEIGHT - 1)
    assert run(corner, spec)[0].counts_CHW[0, 2, 3] == 1
