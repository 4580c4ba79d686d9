"""Frames of filtered events: the same from whole recordings, from chunks, offline and live."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.events import ReplaySource, open_recording, write_recording
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Framer, FrameSpec, clips, recording_frames
from stdl_events.frames.cut import cut_recording, frame_count
from stdl_events.frames.selection import Selection
from stdl_events.recordings import Entry, clips_of

RunCli = Callable[..., tuple[int, str, str]]
SIZE, STEPS, DT_US = (12, 10), 4, 5_000
FILTERS = FilterSpec(hot_pixels=((2, 3),), background_us=900, refractory_us=1_500)
SPECS = {
    "dt": {"kind": "stream", "dt_us": DT_US},
    "n": {"kind": "stream", "events_per_frame": 70},
    "count": {"kind": "recording", "by": "count"},
    "time": {"kind": "recording", "by": "time"},
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4000 events in 0.2 s, sparse enough for every filter to drop some."""
    rng = np.random.default_rng(3)
    events = empty_events(4_000)
    events["t"] = np.sort(rng.integers(100, 200_000, len(events)))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["p"] = rng.random(len(events)) < 0.5
    path = tmp_path_factory.mktemp("filtered") / "r.h5"
    write_recording(path, events, SIZE)
    return path


def spec_of(name: str, filters: FilterSpec = FILTERS) -> FrameSpec:
    return FrameSpec.parse({"steps": STEPS, "sensor_size": SIZE, **SPECS[name], "filters": filters})


def kept_of(recording: Path) -> EventArray:
    events = open_recording(recording).read()
    kept = FILTERS.start(SIZE)(events)
    assert 0.1 * len(events) < len(kept) < 0.9 * len(events)
    return kept


def pushed(spec: FrameSpec, events: EventArray, size: int) -> list[np.ndarray]:
    framer = Framer(spec)
    frames = [frame for start in range(0, len(events), size) for frame in framer.push(events[start : start + size])]
    return [frame.counts_CHW for frame in frames + framer.finish()]


@pytest.mark.parametrize("name", ["dt", "n"])
def test_a_stream_in_chunks_of_any_size(recording: Path, name: str) -> None:
    spec, events = spec_of(name), open_recording(recording).read()
    expected = pushed(spec.unfiltered, kept_of(recording), 10_000)
    for size in (1, 7, 1_000, 10_000):
        np.testing.assert_array_equal(pushed(spec, events, size), expected)
    np.testing.assert_array_equal(list(cut_recording(open_recording(recording), spec)), expected)
    assert frame_count(open_recording(recording), spec) == len(expected)
    assert len(expected) != len(pushed(spec.unfiltered, events, 10_000)) or name == "dt"


@pytest.mark.parametrize("name", ["count", "time"])
def test_a_whole_recording(recording: Path, name: str) -> None:
    spec, events = spec_of(name), open_recording(recording).read()
    expected = recording_frames(kept_of(recording), spec.unfiltered)
    np.testing.assert_array_equal(recording_frames(events, spec), expected)
    np.testing.assert_array_equal(list(cut_recording(open_recording(recording), spec)), expected)
    assert (expected != recording_frames(events, spec.unfiltered)).any()


@pytest.mark.parametrize("span", [(None, None), (0.3, 0.9)])
@pytest.mark.parametrize("name", ["dt", "n"])
def test_offline_clips_are_those_of_a_replay(
    recording: Path, name: str, span: tuple[float | None, float | None]
) -> None:
    """The state of the filters starts with the part, as in a live run; a replay yields 2 ms at a time."""
    spec = spec_of(name)
    offline_NTCHW, t_start_us_N = clips_of(Entry("r", recording, 0, span), spec)
    wall_s = [0.0]

    def sleep(seconds: float) -> None:
        wall_s[0] += seconds

    start, stop = span
    source = ReplaySource(
        open_recording(recording), speed=1.0, start=start, stop=stop, clock_s=lambda: wall_s[0], sleep_s=sleep
    )
    # A filter may keep another first event of the part than of the whole, whose grid it stays on.
    whole = Selection.of(spec)(open_recording(recording).read())
    framer, frames = Framer(spec, origin_us=int(whole["t"][0]) if name == "dt" and start else None), []
    for events in source.chunks():
        frames += framer.push(events) + framer.advance_to(source.t_now_us)
    found = list(clips(frames + framer.finish(), spec))
    assert len(found) >= 2
    assert framer.filtered_events > 100
    np.testing.assert_array_equal([clip.frames_TCHW for clip in found], offline_NTCHW)
    np.testing.assert_array_equal([clip.t_start_us for clip in found], t_start_us_N)


@pytest.mark.parametrize("name", SPECS)
def test_a_recording_that_is_all_filtered_has_no_clip(recording: Path, name: str) -> None:
    every = tuple((x, y) for x in range(SIZE[0]) for y in range(SIZE[1]))
    frames_NTCHW, _ = clips_of(Entry("r", recording, 0), spec_of(name, FilterSpec(hot_pixels=every)))
    assert len(frames_NTCHW) == 0


def test_a_stream_that_ends_starts_its_filters_again(recording: Path) -> None:
    spec, events = spec_of("dt"), open_recording(recording).read()
    framer = Framer(spec)
    first, second = ([*framer.push(events), *framer.finish()] for _ in range(2))
    np.testing.assert_array_equal([f.counts_CHW for f in first], [f.counts_CHW for f in second])


def test_events_outside_the_sensor_are_told_and_not_filtered(recording: Path) -> None:
    events = open_recording(recording).read()
    for name in SPECS:
        spec = FrameSpec.parse(spec_of(name).model_dump() | {"sensor_size": (11, 10)})
        with pytest.raises(FrameSpecError, match="got events up to x=11, y=9; expected pixels inside 11x10"):
            recording_frames(events, spec) if spec.kind == "recording" else Framer(spec).push(events)


def test_hot_pixels_lie_on_the_sensor() -> None:
    with pytest.raises(FrameSpecError, match=r"filters\.hot_pixels: got the pixel 12:0; expected pixels inside 12x10"):
        spec_of("dt", FilterSpec(hot_pixels=((12, 0),)))


def test_json_carries_the_filters_and_older_specs_have_none() -> None:
    spec = spec_of("dt")
    mapping = json.loads(spec.model_dump_json())
    assert FrameSpec.parse(mapping) == spec
    del mapping["filters"]
    assert FrameSpec.parse(mapping) == spec.unfiltered


def test_the_commands_cut_what_is_kept(run_cli: RunCli, recording: Path, tmp_path: Path) -> None:
    words = [part for word in FILTERS.words for part in ("--filter", word)]
    for name, cut in (("dt", ["--frame-us", DT_US]), ("count", ["--bins", STEPS])):
        code, _, err = run_cli("frames", recording, *cut, "--out", tmp_path / "f.npy", *words)
        assert code == 0, err
        expected = list(cut_recording(open_recording(recording), spec_of(name)))
        np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), expected)
    code, out, err = run_cli("show", recording, "--frame-us", DT_US, *words, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["frames"]["spec"]["filters"] == FILTERS.model_dump(mode="json")
    rate_hz = np.array([shown["rate"]["darker_hz"], shown["rate"]["brighter_hz"]])
    kept = kept_of(recording)
    last_us = (kept["t"][-1] - kept["t"][0] + 1) - (rate_hz.shape[1] - 1) * shown["rate"]["bin_us"]
    counts = rate_hz[:, :-1].sum() * shown["rate"]["bin_us"] * 1e-6 + rate_hz[:, -1].sum() * last_us * 1e-6
    assert round(counts) == len(kept)
