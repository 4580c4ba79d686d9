"""Whole recordings to bins: against literal loops and against the reference libraries."""

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
from spikingjelly_frames import load_integration

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EVENT_DTYPE, EventArray, empty_events
from stdl_events.frames import FrameSpec, recording_frames, streamed_recording_frames


def loop_recording(events: EventArray, spec: FrameSpec) -> np.ndarray:
    steps, count = spec.steps, len(events)
    bins = [[] for _ in range(steps)]
    if count and spec.by == "count":
        for position in range(count):
            step = position // (count // steps) if count >= steps else steps
            if step < steps or spec.remainder == "last":
                bins[min(step, steps - 1)].append(position)
    elif count:
        first_us = int(events["t"][0])
        dt_us = (int(events["t"][-1]) - first_us) // steps
        for position in range(count):
            step = (int(events["t"][position]) - first_us) // dt_us if dt_us else steps - 1
            if step < steps or spec.remainder == "last":
                bins[min(step, steps - 1)].append(position)
    return np.stack([loop_counts(events[positions], spec) for positions in bins])


@settings(max_examples=60)
@given(event_arrays(), st.sampled_from(["count", "time"]), st.sampled_from(["last", "drop"]), common_settings)
def test_recording_frames_are_the_literal_loops(events, by, remainder, common):
    spec = whole(steps=4, by=by, remainder=remainder, **common)
    np.testing.assert_array_equal(recording_frames(events, spec), loop_recording(events, spec))


@pytest.mark.parametrize("remainder", ["last", "drop"])
def test_recording_without_duration_has_all_events_in_the_last_bin(remainder):
    events = make_events([50, 50, 51, 52], x=[1, 2, 3, 4])
    counts_TCHW = recording_frames(events, whole(steps=5, by="time", remainder=remainder))
    assert counts_TCHW.sum(axis=(1, 2, 3)).tolist() == [0, 0, 0, 0, 4]


def test_recording_with_fewer_events_than_bins_by_count():
    events = make_events([1, 2])
    assert recording_frames(events, whole(steps=3, by="count")).sum(axis=(1, 2, 3)).tolist() == [0, 0, 2]
    assert recording_frames(events, whole(steps=3, by="count", remainder="drop")).sum() == 0


def test_recording_without_events_has_empty_frames():
    for by in ("count", "time"):
        counts_TCHW = recording_frames(empty_events(), whole(steps=3, by=by))
        assert counts_TCHW.shape == (3, 2, HEIGHT, WIDTH)
        assert not counts_TCHW.any()


def test_large_recordings_take_the_same_path_as_small_ones():
    events = random_events(1, 100_000, 1_000_000)
    for by in ("count", "time"):
        spec = whole(steps=3, by=by)
        edges = [0, 33_333, 66_666, 100_000]
        if by == "time":
            first_us = int(events["t"][0])
            dt_us = (int(events["t"][-1]) - first_us) // 3
            edges[1:3] = [int((events["t"] < first_us + step * dt_us).sum()) for step in (1, 2)]
        linear = events["p"] * (WIDTH * HEIGHT) + events["y"].astype(int) * WIDTH + events["x"]
        expected = [np.bincount(linear[a:b], minlength=2 * WIDTH * HEIGHT) for a, b in pairwise(edges)]
        np.testing.assert_array_equal(
            recording_frames(events, spec).reshape(3, -1), np.minimum(expected, 65535), strict=False
        )


@settings(max_examples=80)
@given(
    event_arrays(),
    st.sampled_from(["count", "time"]),
    st.sampled_from(["last", "drop"]),
    st.integers(1, 6),
    common_settings,
    st.lists(st.integers(0, 60), max_size=6),
)
def test_streamed_frames_are_those_of_the_whole_under_any_chunking(events, by, remainder, steps, common, cuts):
    spec = whole(steps=steps, by=by, remainder=remainder, **common)
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    chunks = (events[start:stop] for start, stop in pairwise(edges))
    first_us, last_us = (int(events["t"][0]), int(events["t"][-1])) if len(events) else (0, 0)
    frames = streamed_recording_frames(chunks, spec, events=len(events), t_first_us=first_us, t_last_us=last_us)
    np.testing.assert_array_equal(np.stack(list(frames)), recording_frames(events, spec))


def test_streamed_frames_refuse_a_stream():
    with pytest.raises(FrameSpecError, match="streamed_recording_frames: got a spec of kind stream"):
        next(streamed_recording_frames([], stream(dt_us=1), events=0, t_first_us=0, t_last_us=0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parity_with_tonic():
    transforms = pytest.importorskip("tonic.transforms", reason="tonic is not installed")
    for seed, size in ((0, (34, 34)), (1, (19, 11))):
        events = random_events(seed, 5_003, 301_007, t_first_us=0, size=size)
        events["t"][0] = 0  # ToFrame's windows start at the first event, ours on the absolute grid
        for by, argument in (("count", "n_event_bins"), ("time", "n_time_bins")):
            to_frame = transforms.ToFrame(sensor_size=(*size, 2), **{argument: 10})
            ours = recording_frames(events, whole(steps=10, size=size, by=by, remainder="drop"))
            np.testing.assert_array_equal(ours, to_frame(events.copy()), err_msg=by)
        for argument, cut in (("time_window", {"dt_us": 7_000}), ("event_count", {"events_per_frame": 700})):
            theirs = transforms.ToFrame(sensor_size=(*size, 2), **{argument: next(iter(cut.values()))})(events.copy())
            ours = np.stack([frame.counts_CHW for frame in run(events, stream(size=size, **cut))])
            assert len(ours) == len(theirs) + 1  # the incomplete last window is a frame here
            np.testing.assert_array_equal(ours[:-1], theirs)


@pytest.mark.parametrize("by", ["count", "time"])
def test_parity_with_spikingjelly(by):
    integrate = load_integration()
    if integrate is None:
        pytest.skip("spikingjelly is not installed")
    for seed, size in ((0, (34, 34)), (1, (19, 11))):
        events = random_events(seed, 5_003, 301_007, t_first_us=10**15, size=size)
        fields = {name: events[name] for name in EVENT_DTYPE.names}
        theirs = integrate(fields, {"count": "number", "time": "time"}[by], 10, size[1], size[0])
        np.testing.assert_array_equal(recording_frames(events, whole(steps=10, size=size, by=by)), theirs)
