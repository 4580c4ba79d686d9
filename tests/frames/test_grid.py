"""The grid of windows of fixed length: from the zero of the clock, or from the first event."""

import numpy as np
import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Frame, Framer, FrameSpec, clips
from stdl_events.training.data_settings import FrameSettings

SIZE = (8, 6)
T0_US = 1_700_000_000_123_457


def spec(grid: str, **more: int) -> FrameSpec:
    settings = {"kind": "stream", "steps": 10, "sensor_size": SIZE, "dt_us": 20_000, "grid": grid}
    return FrameSpec.parse(settings | more)


def events_over(duration_us: int, t0_us: int = T0_US, count: int = 400) -> EventArray:
    rng = np.random.default_rng(duration_us)
    events = empty_events(count)
    events["t"] = t0_us + np.sort(rng.integers(0, duration_us, count))
    events["t"][[0, -1]] = t0_us, t0_us + duration_us - 1
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = rng.random(count) < 0.5
    return events


def frames_of(events: EventArray, frame_spec: FrameSpec, chunk: int = 10_000) -> list[Frame]:
    framer = Framer(frame_spec)
    pushed = [framer.push(events[start : start + chunk]) for start in range(0, len(events), chunk)]
    return [frame for frames in [*pushed, framer.finish()] for frame in frames]


@pytest.mark.parametrize("phase_us", range(0, 200_000, 23_456))
def test_a_recording_longer_than_a_clip_has_its_clip(phase_us: int) -> None:
    """On a grid of its own; on the clock's, one of 300 ms has a clip of 200 ms only if it begins at the right time."""
    events = events_over(300_000, 200_000 * 7_000_000 + phase_us)
    own = list(clips(frames_of(events, spec("recording")), spec("recording")))
    assert [clip.t_start_us for clip in own] == [events["t"][0]]
    on_clock = list(clips(frames_of(events, spec("clock")), spec("clock")))
    assert len(on_clock) == (phase_us < 20_000 or phase_us > 80_000)


@pytest.mark.parametrize("chunk", [1, 37, 10_000])
def test_frames_count_from_the_first_event(chunk: int) -> None:
    events = events_over(300_000)
    frames = frames_of(events, spec("recording"), chunk)
    assert [frame.index for frame in frames] == list(range(15))
    for frame in frames:
        begin_us = T0_US + 20_000 * frame.index
        assert (frame.t_start_us, frame.t_end_us) == (begin_us, begin_us + 20_000)
        expected = np.zeros((2, SIZE[1], SIZE[0]), int)
        for event in events[(events["t"] >= begin_us) & (events["t"] < begin_us + 20_000)]:
            expected[int(event["p"]), event["y"], event["x"]] += 1
        np.testing.assert_array_equal(frame.counts_CHW, expected)


def test_frames_do_not_depend_on_when_the_clock_began() -> None:
    frames, moved = (frames_of(events_over(500_000, t0_us), spec("recording")) for t0_us in (-3, 10**15 + 7))
    assert len(frames) == len(moved) == 25
    for one, other in zip(frames, moved, strict=True):
        np.testing.assert_array_equal(one.counts_CHW, other.counts_CHW)


def test_a_gap_is_empty_windows_and_the_clock_closes_them() -> None:
    framer = Framer(spec("recording"))
    events = events_over(10)[:3]
    events["t"] = T0_US, T0_US + 1, T0_US + 5_000_000_000
    assert len(framer.push(events)) == 250_000
    framer = Framer(spec("recording"))
    framer.push(events[:2])
    assert framer.advance_to(T0_US + 19_999) == []
    assert [frame.t_end_us for frame in framer.advance_to(T0_US + 40_000)] == [T0_US + 20_000, T0_US + 40_000]


def test_the_next_stream_has_a_grid_of_its_own() -> None:
    framer = Framer(spec("recording"))
    framer.push(events_over(50_000))
    framer.finish()
    again = framer.push(events_over(50_000, 77)) + framer.finish()
    assert [(frame.index, frame.t_start_us) for frame in again] == [(0, 77), (1, 20_077), (2, 40_077)]


@pytest.mark.parametrize("cut", [{"events_per_frame": 5}, {"kind": "recording", "by": "count"}])
def test_only_windows_of_fixed_length_have_a_grid(cut: dict[str, object]) -> None:
    settings: dict[str, object] = {"kind": "stream", "steps": 10, "sensor_size": SIZE, "grid": "clock"}
    with pytest.raises(FrameSpecError, match="grid"):
        FrameSpec.parse(settings | cut)


def test_without_a_word_the_grid_begins_with_the_recording() -> None:
    settings = {"kind": "stream", "steps": 10, "sensor_size": SIZE, "dt_us": 20_000}
    assert FrameSpec.parse(settings) == spec("recording")
    assert FrameSettings(kind="stream", steps=10, dt_us=20_000).spec(SIZE).grid == "recording"


@pytest.mark.parametrize("chunk", [17, 10_000])
def test_a_part_stays_on_the_grid_of_the_whole(chunk: int) -> None:
    events = events_over(300_000)
    whole = frames_of(events, spec("recording"))
    framer = Framer(spec("recording"), origin_us=int(events["t"][0]))
    part = events[events["t"] >= T0_US + 95_000]
    frames = [one for at in range(0, len(part), chunk) for one in framer.push(part[at : at + chunk])] + framer.finish()
    assert [frame.t_start_us for frame in frames] == [frame.t_start_us for frame in whole[4:]]
    assert [(frame.clip, frame.step) for frame in frames] == [(frame.clip, frame.step) for frame in whole[4:]]
    again = framer.push(events_over(50_000, 77))
    assert again[0].t_start_us == 77
