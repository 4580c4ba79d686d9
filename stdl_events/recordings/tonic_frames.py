"""The clips of a recording, counted by Tonic's `ToFrame`.

Filters and geometry are those of the frame spec, in front of `ToFrame`; sums of pixels and the cap follow it. Tonic
holds all events of a recording in memory.

Shape letters: T frames of a clip, C=2 polarities, H rows, W columns.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events import Recording
from stdl_events.events.stream import EventArray
from stdl_events.frames import Clip, Counts, Frame, FrameSpec, clips
from stdl_events.frames.counting import refuse_outside
from stdl_events.frames.selection import Selection
from stdl_events.frames.spec import MAX_COUNT
from stdl_events.recordings.cutting import EntryClips, all_events, grid_of, require_sensor, watched
from stdl_events.recordings.entry import Entry


def cut_by_tonic(entry: Entry, recording: Recording, frame_spec: FrameSpec) -> EntryClips:
    """Cut a recording by Tonic's ToFrame, with frames equal to our own.

    Raises:
        RecordingError: the recording is not readable.
        FrameSpecError: its sensor size differs from the spec's, Tonic has no such frames, or a count exceeds 65535.
        ModuleNotFoundError: Tonic is not installed.
    """
    require_sensor(entry, recording, frame_spec)
    if frame_spec.remainder == "last" and frame_spec.kind == "recording":
        raise FrameSpecError(
            "frames.remainder", got="last", expected="drop, since Tonic's ToFrame drops what does not fill a bin",
            todo="set frames.remainder=drop, or leave data.framer out",
        )  # fmt: skip
    events_of_all = all_events(entry, recording)
    events = Selection.of(frame_spec)(events_of_all)
    refuse_outside(events, frame_spec.plain.sensor_size)
    if not len(events):
        return EntryClips(iter(()))
    if frame_spec.kind == "recording":
        return EntryClips(watched(recording, events_of_all, _whole(events, frame_spec)))
    grid_us = grid_of(entry, recording, frame_spec)
    frames = _by_time(events, frame_spec, grid_us) if frame_spec.dt_us else _by_count(events, frame_spec)
    return EntryClips(clips(watched(recording, events_of_all, frames), frame_spec))


def _whole(events: EventArray, spec: FrameSpec) -> Iterator[Clip]:
    t_first_us, t_last_us = int(events["t"][0]), int(events["t"][-1])
    if spec.by == "time" and t_last_us - t_first_us < spec.steps:
        raise FrameSpecError(
            "frames.by", got=f"time, in a recording of {t_last_us - t_first_us} us",
            expected=f"at least a microsecond for each of {spec.steps} bins of Tonic's ToFrame",
            todo="set frames.by=count, or leave data.framer out",
        )  # fmt: skip
    bins = {"n_event_bins" if spec.by == "count" else "n_time_bins": spec.steps}
    yield Clip(0, t_first_us, t_last_us + 1, _frames(events, spec, **bins))


def _by_time(events: EventArray, spec: FrameSpec, grid_us: int | None) -> Iterator[Frame]:
    """Yield all windows from the first event's to the last one's, T at a time."""
    dt_us, times_us = spec.dt_us, events["t"]
    assert dt_us
    own_us = int(times_us[0]) if grid_us is None else grid_us
    origin_us = own_us if spec.grid == "recording" else 0
    first, last = ((int(times_us[at]) - origin_us) // dt_us for at in (0, -1))
    for index in range(first, last + 1, spec.steps):
        count = min(spec.steps, last + 1 - index)
        start_us = origin_us + index * dt_us
        stop_us = start_us + count * dt_us
        part = events[slice(*np.searchsorted(times_us, (start_us, stop_us)))]
        if len(part):
            counts_TCHW = _frames(part, spec, time_window=dt_us, start_time=start_us, end_time=stop_us)
        else:
            counts_TCHW = np.zeros((count, *spec.frame_shape_CHW), np.uint16)
        for step, counts_CHW in enumerate(counts_TCHW):
            t_us = start_us + step * dt_us
            yield Frame(index + step, t_us, t_us + dt_us, counts_CHW, spec.steps)


def _by_count(events: EventArray, spec: FrameSpec) -> Iterator[Frame]:
    """Yield all windows of N events, and the rest as a last one, T at a time."""
    per_frame = spec.events_per_frame
    assert per_frame
    for start in range(0, len(events), per_frame * spec.steps):
        part = events[start : start + per_frame * spec.steps]
        counts_TCHW = _frames(part, spec, event_count=per_frame, include_incomplete=True)
        for step, counts_CHW in enumerate(counts_TCHW):
            window_us = part["t"][step * per_frame : (step + 1) * per_frame]
            index = start // per_frame + step
            yield Frame(index, int(window_us[0]), int(window_us[-1]) + 1, counts_CHW, spec.steps)


def _frames(events: EventArray, spec: FrameSpec, **slices: Any) -> Counts:
    """Return ToFrame's counts_TCHW of selected events, summed over squares of pixels and capped."""
    from tonic.transforms import ToFrame

    to_frame = ToFrame(sensor_size=(*spec.plain.sensor_size, 2), **slices)
    # Tonic counts in int16, which wraps round; as uint16 it does not before 65536 events of one pixel.
    counts_TCHW: npt.NDArray[np.int64] = to_frame(events).view(np.uint16).astype(np.int64)
    if len(events) > MAX_COUNT and _most_of_a_pixel(events) > MAX_COUNT:
        raise FrameSpecError(
            "data.framer", got="tonic, and a pixel with more than 65535 events",
            expected="fewer, since Tonic's counts have 16 bits", todo="leave data.framer out",
        )  # fmt: skip
    return np.minimum(_downscaled(counts_TCHW, spec.downscale), spec.cap or MAX_COUNT).astype(np.uint16)


def _most_of_a_pixel(events: EventArray) -> int:
    pixels = (events["y"].astype(np.int64) << 16) + events["x"]
    return int(np.unique(pixels, return_counts=True)[1].max())


def _downscaled(counts_TCHW: npt.NDArray[np.int64], factor: int) -> npt.NDArray[np.int64]:
    """Sum squares of `factor` x `factor` pixels; those at the right and lower edge may be cut."""
    for axis in (-2, -1):
        starts = np.arange(0, counts_TCHW.shape[axis], factor)
        counts_TCHW = np.add.reduceat(counts_TCHW, starts, axis=axis)
    return counts_TCHW
