"""Streams to frames: against a literal loop, under any chunking, at the edges of time and counts."""

from itertools import pairwise

import numpy as np
import pytest
from frame_events import (
    HEIGHT,
    WIDTH,
    common_settings,
    event_arrays,
    loop_counts,
    make_events,
    random_events,
    run,
    stream,
    whole,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Framer, FrameSpec, clips, recording_frames


def loop_stream(events: EventArray, spec: FrameSpec) -> list[tuple[int, np.ndarray]]:
    """Return (index, counts_CHW) of every window from the first event's to the last's."""
    if spec.dt_us:
        index = [int(t) // spec.dt_us for t in events["t"]]
    else:
        index = [position // spec.events_per_frame for position in range(len(events))]
    first, last = (index[0], index[-1]) if index else (0, -1)
    return [(window, loop_counts(events[[i == window for i in index]], spec)) for window in range(first, last + 1)]


stream_settings = st.one_of(
    st.builds(lambda dt_us: {"dt_us": dt_us}, st.integers(1, 200)),
    st.builds(lambda count: {"events_per_frame": count}, st.integers(1, 25)),
)


@settings(max_examples=60)
@given(event_arrays(), stream_settings, common_settings, st.data())
def test_any_chunking_and_harmless_clock_gives_the_frames_of_the_literal_loop(events, cut, common, data):
    spec = stream(**cut, **common)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=8)))
    framer, frames = Framer(spec), []
    for start, stop in pairwise([0, *cuts, len(events)]):
        frames += framer.push(events[start:stop])
        if stop < len(events):
            # No event earlier than the next one will arrive, so no earlier time can close a window too soon.
            frames += framer.advance_to(int(events["t"][stop]) - data.draw(st.integers(0, 300)))
    frames += framer.finish()

    expected = loop_stream(events, spec)
    assert [frame.index for frame in frames] == [index for index, _ in expected]
    for frame, (_, counts_CHW) in zip(frames, expected, strict=True):
        assert frame.counts_CHW.dtype == np.uint16
        np.testing.assert_array_equal(frame.counts_CHW, counts_CHW)
    assert framer.late_events == 0


def test_windows_lie_on_the_absolute_grid_and_empty_ones_are_emitted():
    events = make_events([-5, 41, 41, 105])
    frames = run(events, stream(dt_us=20))
    assert [(f.index, f.t_start_us, f.t_end_us) for f in frames] == [(i, 20 * i, 20 * i + 20) for i in range(-1, 6)]
    assert [int(f.counts_CHW.sum()) for f in frames] == [1, 0, 0, 2, 0, 0, 1]
    assert [(f.clip, f.step) for f in frames[:5]] == [(-1, 2), (0, 0), (0, 1), (0, 2), (1, 0)]


def test_count_windows_span_their_first_to_their_last_event():
    frames = run(make_events([3, 5, 5, 9, 30]), stream(events_per_frame=2), chunk=3)
    assert [(f.index, f.t_start_us, f.t_end_us) for f in frames] == [(0, 3, 6), (1, 5, 10), (2, 30, 31)]


def test_the_clock_closes_windows_of_a_still_scene():
    framer = Framer(stream(dt_us=10))
    assert framer.advance_to(1_000) == []  # no window opens before the first event
    assert framer.push(make_events([25])) == []
    assert framer.advance_to(29) == []
    assert [f.index for f in framer.advance_to(50)] == [2, 3, 4]
    assert framer.advance_to(50) == []
    assert framer.finish() == []  # the open window holds no event


def test_events_behind_the_clock_are_counted_and_in_no_frame():
    framer = Framer(stream(dt_us=10))
    framer.push(make_events([5]))
    framer.advance_to(30)
    frames = framer.push(make_events([7, 29, 31])) + framer.finish()
    assert framer.late_events == 2
    assert [(f.index, int(f.counts_CHW.sum())) for f in frames] == [(3, 1)]
    framer.push(make_events([40]))
    assert framer.push(make_events([8, 9])) == []
    assert framer.late_events == 4


def test_counts_saturate():
    events = make_events(np.zeros(70_000, int), x=3, y=2, p=True)
    events["x"][-10:] = 4
    for frame in (run(events, stream(dt_us=10), chunk=9_999)[0], run(events, stream(events_per_frame=100_000))[0]):
        assert frame.counts_CHW[1, 2].tolist() == [0, 0, 0, 65535, 10, 0, 0]
    assert recording_frames(events, whole(steps=1, by="count"))[0, 1, 2, 3] == 65535
    assert run(events, stream(dt_us=10, cap=7))[0].counts_CHW[1, 2].tolist() == [0, 0, 0, 7, 7, 0, 0]


def test_busy_windows_whose_pixels_do_not_overflow_stay_exact():
    events = random_events(5, 200_000, 10)
    frame = run(events, stream(dt_us=10), chunk=30_000)[0]
    linear = events["p"] * (WIDTH * HEIGHT) + events["y"].astype(int) * WIDTH + events["x"]
    np.testing.assert_array_equal(frame.counts_CHW.ravel(), np.bincount(linear, minlength=2 * WIDTH * HEIGHT))


def test_events_are_never_written_to():
    events = random_events(2, 500, 900)
    events.flags.writeable = False
    before = events.copy()
    run(events, stream(dt_us=20, downscale=2))
    run(events, stream(events_per_frame=30))
    recording_frames(events, whole(by="time", downscale=2))
    np.testing.assert_array_equal(events, before)


def test_frames_are_read_only_and_clips_are_the_callers():
    events = random_events(3, 300, 300)
    frames = run(events, stream(dt_us=7))
    assert not any(frame.counts_CHW.flags.writeable for frame in frames)
    clip = next(clips(frames, stream(dt_us=7)))
    clip.frames_TCHW[:] = 0
    assert any(frame.counts_CHW.any() for frame in frames[:6])


def test_a_leap_in_time_is_an_error_that_changes_nothing():
    framer = Framer(stream(dt_us=10))
    framer.push(make_events([0, 1]))
    with pytest.raises(
        FrameSpecError, match=r"windows of 10 us: got 1,000,000,000 windows at once, .*t=10000000000 us"
    ):
        framer.push(make_events([10**10]))
    with pytest.raises(FrameSpecError, match="use longer windows, or cut the stream"):
        framer.advance_to(10**10)
    assert [int(frame.counts_CHW.sum()) for frame in framer.finish()] == [2]


def test_the_longest_leap_allowed_shares_one_empty_frame(monkeypatch):
    monkeypatch.setattr("stdl_events.frames.framer.MAX_WINDOWS_AT_ONCE", 1_000)
    framer = Framer(stream(dt_us=1))
    framer.push(make_events([0]))
    frames = framer.push(make_events([1_000]))
    assert len(frames) == 1_000
    assert len({id(frame.counts_CHW) for frame in frames[1:]}) == 1
    with pytest.raises(FrameSpecError, match="got 1,001 windows at once"):
        framer.push(make_events([2_001]))


def test_short_chunks_of_a_window_are_counted_together():
    events = random_events(seed=2, count=60_000, duration_us=1_000)
    framer = Framer(stream(dt_us=1_000))
    sizes = [1, 4_096, 1, 3, 39_000, 5, 16_894]
    for start, stop in pairwise(np.cumsum([0, *sizes])):
        assert framer.push(events[start:stop]) == []
        assert framer.open_events == stop
    (frame,) = framer.finish()
    np.testing.assert_array_equal(frame.counts_CHW, loop_counts(events, framer.spec))
    framer.push(events[::2][:4])  # not contiguous
    framer.push(events[::2][4:8])
    assert framer.finish()[0].counts_CHW.sum() == 8


def test_the_array_of_a_chunk_may_be_used_again():
    events, buffer = random_events(seed=3, count=60, duration_us=1_000), empty_events(20)
    framer = Framer(stream(dt_us=1_000))
    for start in (0, 20, 40):
        buffer[:] = events[start : start + 20]
        framer.push(buffer)
    buffer["x"] = 0
    np.testing.assert_array_equal(framer.finish()[0].counts_CHW, loop_counts(events, framer.spec))


def test_events_outside_the_sensor_are_an_error():
    for spec_cut in ({"dt_us": 10}, {"events_per_frame": 3}):
        with pytest.raises(FrameSpecError, match=r"got events up to x=7, y=0; expected pixels inside 7x5"):
            Framer(stream(**spec_cut)).push(make_events([0, 10, 20], x=7))
    with pytest.raises(FrameSpecError, match=r"give the sensor size of the source"):
        recording_frames(make_events([0], y=5), whole(by="count"))


def test_events_outside_the_sensor_are_an_error_of_their_window():
    framer = Framer(stream(dt_us=10))
    framer.push(make_events([0], x=7))
    with pytest.raises(FrameSpecError, match=r"got events up to x=7"):
        framer.finish()


def test_kinds_are_not_mixed_up():
    with pytest.raises(FrameSpecError, match=r"framer: got a spec of kind recording"):
        Framer(whole(by="count"))
    with pytest.raises(FrameSpecError, match=r"recording_frames: got a spec of kind stream"):
        recording_frames(empty_events(), stream(dt_us=1))
