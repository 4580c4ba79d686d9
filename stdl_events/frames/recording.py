"""A whole recording to T frames, as in the papers' tables."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EventArray
from stdl_events.frames.counting import BLOCK_EVENTS, Counts, Indices, Window, count, linear_indices
from stdl_events.frames.selection import Selection
from stdl_events.frames.spec import FrameSpec


def recording_frames(events: EventArray, spec: FrameSpec) -> Counts:
    """Cut one whole recording into `spec.steps` bins: counts_TCHW.

    By count, each bin holds N // T events; by time, each bin lasts (t_last - t_first) // T. The remainder goes into the
    last bin, or is dropped with remainder="drop". In a recording too short for its bins (N < T, or a duration under T
    microseconds) all events are the remainder; by time these go into the last bin in any case.

    Raises:
        FrameSpecError: the spec is of kind "stream", or an event is outside the sensor.

    Source: the papers' preprocessing, as SpikingJelly's integrate_events_by_fixed_frames_number defines it;
    remainder="drop" is Tonic's ToFrame.
    """
    _check_kind(spec, "recording_frames")
    events, spec = Selection.of(spec)(events), spec.plain
    shape = (spec.steps, *spec.frame_shape_CHW)
    frames_TCHW = np.zeros(shape, np.uint16)
    edges = _bin_edges(events, spec)
    if len(events) <= BLOCK_EVENTS:
        indices = linear_indices(events, spec)[: edges[-1]]
        _shift_to_bins(indices, edges, spec)
        count(frames_TCHW.reshape(-1), indices)
        if spec.cap is not None:
            np.minimum(frames_TCHW, spec.cap, out=frames_TCHW)
        return frames_TCHW
    for frame_CHW, (start, stop) in zip(frames_TCHW, pairwise(edges), strict=True):
        window = Window(frame_CHW.reshape(-1), spec)
        for block in range(start, stop, BLOCK_EVENTS):
            window.add(linear_indices(events[block : min(block + BLOCK_EVENTS, stop)], spec))
        window.close()
    return frames_TCHW


def streamed_recording_frames(
    chunks: Iterable[EventArray], spec: FrameSpec, *, events: int, t_first_us: int, t_last_us: int
) -> Iterator[Counts]:
    """Yield the frames of `recording_frames`, counts_CHW, in the memory of a chunk and a frame.

    Args:
        chunks: of the whole recording, in order.
        events, t_first_us, t_last_us: number of events and times of the first and last one, known beforehand; after the
            filters and the geometry.

    Raises:
        FrameSpecError: the spec is of kind "stream", or an event is outside the sensor.
    """
    _check_kind(spec, "streamed_recording_frames")
    ends = _bin_ends(spec, events, t_first_us, t_last_us)
    step = position = 0
    select, spec = Selection.of(spec), spec.plain
    counts_CHW, window = _open(spec)
    for chunk in map(select, chunks):
        start = 0
        while step < spec.steps:
            end = ends[step]
            if end is None:
                stop = len(chunk)
            elif spec.by == "count":
                stop = min(end - position, len(chunk))
            else:
                stop = bisect_left(chunk["t"], end)
            for block in range(start, stop, BLOCK_EVENTS):
                window.add(linear_indices(chunk[block : min(block + BLOCK_EVENTS, stop)], spec))
            start = max(start, stop)
            if start == len(chunk):
                break
            yield _close(counts_CHW, window)
            step += 1
            counts_CHW, window = _open(spec)
        position += len(chunk)
    for _ in range(step, spec.steps):
        yield _close(counts_CHW, window)
        counts_CHW, window = _open(spec)


def _shift_to_bins(indices: Indices, edges: list[int], spec: FrameSpec) -> None:
    """Turn indices into one frame into indices into all frames, in place."""
    channels, height, width = spec.frame_shape_CHW
    firsts = np.arange(0, spec.steps * channels * height * width, channels * height * width)
    if spec.by == "time":
        indices += firsts.repeat(np.diff(edges))
        return
    even = spec.steps * edges[1]
    by_bin = indices[:even].reshape(spec.steps, edges[1])
    by_bin += firsts[:, None]
    indices[even:] += firsts[-1]


def _open(spec: FrameSpec) -> tuple[Counts, Window]:
    counts_CHW = np.zeros(spec.frame_shape_CHW, np.uint16)
    return counts_CHW, Window(counts_CHW.reshape(-1), spec)


def _close(counts_CHW: Counts, window: Window) -> Counts:
    window.close()
    counts_CHW.flags.writeable = False
    return counts_CHW


def _bin_ends(spec: FrameSpec, events: int, t_first_us: int, t_last_us: int) -> list[int | None]:
    """Return each bin's end, as an index or a time; None is the end of the recording."""
    steps = spec.steps
    if spec.by == "count":
        first, length = 0, events // steps
    else:
        first, length = t_first_us, (t_last_us - t_first_us) // steps
    ends: list[int | None] = [first + step * length for step in range(1, steps + 1)]
    if spec.remainder == "last" or (spec.by == "time" and not length):
        ends[-1] = None
    return ends


def _check_kind(spec: FrameSpec, function: str) -> None:
    if spec.kind != "recording":
        raise FrameSpecError(
            function, got="a spec of kind stream", expected="kind recording", todo="use Framer for streams"
        )


def _bin_edges(events: EventArray, spec: FrameSpec) -> list[int]:
    """Return T + 1 indices into `events`."""
    steps, count = spec.steps, len(events)
    if not count:
        return [0] * (steps + 1)
    if spec.by == "count":
        edges = [step * (count // steps) for step in range(steps + 1)]
    else:
        first_us = int(events["t"][0])
        dt_us = (int(events["t"][-1]) - first_us) // steps
        edges = [bisect_left(events["t"], first_us + step * dt_us) for step in range(steps + 1)]
        if not dt_us:
            edges[-1] = count
    if spec.remainder == "last":
        edges[-1] = count
    return edges
