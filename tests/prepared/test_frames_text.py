"""Requests for frames in one word."""

import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.frames import FrameSpec
from stdl_events.prepared.frames_text import frames_text, parse_frames


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("T=10,by=count", {"kind": "recording", "steps": 10, "by": "count"}),
        ("by=time, T=4 ,remainder=drop", {"kind": "recording", "steps": 4, "by": "time", "remainder": "drop"}),
        ("T=10,dt=50ms,downscale=3", {"kind": "stream", "steps": 10, "dt_us": 50_000, "downscale": 3}),
        ("T=1,dt=1s,cap=1", {"kind": "stream", "steps": 1, "dt_us": 1_000_000, "cap": 1}),
        ("T=10,dt=1500us", {"kind": "stream", "steps": 10, "dt_us": 1_500}),
        ("T=4,dt=20ms,grid=recording", {"kind": "stream", "steps": 4, "dt_us": 20_000, "grid": "recording"}),
        ("T=10,n=5000", {"kind": "stream", "steps": 10, "events_per_frame": 5_000}),
        ("T=10,n=5000,size=116x87", {"kind": "stream", "steps": 10, "events_per_frame": 5_000, "downscale": 3}),
        ("T=10,n=5000,size=346x260", {"kind": "stream", "steps": 10, "events_per_frame": 5_000}),
    ],
)
def test_words_become_a_spec_and_back(text: str, settings: dict[str, object]) -> None:
    expected = FrameSpec.parse({"cap": 255, **settings, "sensor_size": (346, 260)})
    spec = parse_frames(text).spec((346, 260))
    assert spec == expected
    assert parse_frames(frames_text(spec)).spec((346, 260)) == spec


def test_texts_are_short() -> None:
    assert frames_text(parse_frames("T=10,dt=20000us,cap=255").spec((34, 34))) == "T=10,dt=20ms"
    assert frames_text(parse_frames("T=3,by=time,size=17").spec((34, 34))) == "T=3,by=time,downscale=2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T=10", r"--frames: got 'T=10'; expected T=10 with one of by=count, .*; add what is missing"),
        ("by=count", r"got 'by=count'; .*; add what is missing"),
        ("T=10,by=count,t=3", r"got 't=3'; expected T=10 with"),
        ("T=10,T=20,by=count", r"got 'T' twice"),
        ("T=10,by", r"got 'by'; expected"),
        ("T=ten,by=count", r"got 'T=ten'; expected a whole number"),
        ("T=10,dt=50", r"got 'dt=50'; expected a whole number with its unit, such as 20ms or 500us"),
        ("T=10,by=count,size=0", r"got 'size=0'; expected N or WxH, such as 64 or 173x130"),
        ("T=10,by=count,size=9,downscale=2", r"got size and downscale; expected one of them"),
        ("T=10,by=count,dt=20ms", r"kind recording: got dt_us; expected only settings of kind recording"),
        ("T=10,n=5,dt=20ms", r"kind stream: got dt_us and events_per_frame; expected exactly one"),
        ("T=0,by=count", r"frame spec: steps: got 0; expected greater than or equal to 1"),
        ("T=10,by=number", r"frame spec: by: got 'number'; expected 'count' or 'time'"),
    ],
)
def test_what_makes_no_sense_says_what_would(text: str, expected: str) -> None:
    with pytest.raises(FrameSpecError, match=expected):
        parse_frames(text)


def test_sizes_that_take_more_than_summing_are_refused() -> None:
    expected = (
        r"--frames: size: got 128x128; expected 346x260 or that over a whole number: "
        r"346x260, 173x130, 116x87, 87x65, 70x52, 58x44, 50x38, 44x33, \.\.\.; ask for one of these"
    )
    with pytest.raises(FrameSpecError, match=expected):
        parse_frames("T=10,by=count,size=128").spec((346, 260))
    assert parse_frames("T=10,by=count,size=64").spec((128, 128)).downscale == 2
    assert parse_frames("T=10,by=count,size=128").spec((128, 128)).downscale == 1
