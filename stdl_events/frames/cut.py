"""All frames of one recording, for either kind of spec, in bounded memory."""

from collections.abc import Callable, Iterator

from stdl_events.events.filtered import filtered
from stdl_events.events.geometry import Geometry
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray
from stdl_events.frames.counting import Counts
from stdl_events.frames.framer import Framer
from stdl_events.frames.grid import grid_origin_us
from stdl_events.frames.recording import streamed_recording_frames
from stdl_events.frames.spec import FrameSpec


def frame_count(recording: Recording, spec: FrameSpec) -> int:
    """Return the number of frames of `cut_recording` without counting events."""
    if spec.kind == "recording":
        return spec.steps
    summary = filtered(recording, spec.filters, _dropping(spec)).summary
    if summary.t_first_us is None or summary.t_last_us is None:
        return 0
    if spec.dt_us:
        origin_us = _part_origin_us(recording, spec) or (summary.t_first_us if spec.grid == "recording" else 0)
        return (summary.t_last_us - origin_us) // spec.dt_us - (summary.t_first_us - origin_us) // spec.dt_us + 1
    assert spec.events_per_frame
    return -(-summary.events // spec.events_per_frame)


def cut_recording(
    recording: Recording, spec: FrameSpec, watch: Callable[[EventArray], object] | None = None
) -> Iterator[Counts]:
    """Yield every frame of the recording, counts_CHW read-only, in the memory of a chunk and a frame.

    Args:
        watch: called with each chunk before it is cut.

    Raises:
        FrameSpecError: an event is outside the spec's sensor, or a gap spans too many windows.
        TruncatedRecordingError, CorruptRecordingError: the file is damaged.
    """

    def chunks() -> Iterator[EventArray]:
        for events in recording.chunks():
            if watch is not None:
                watch(events)
            yield events

    if spec.kind == "recording":
        summary = filtered(recording, spec.filters, _dropping(spec)).summary
        times = {"t_first_us": summary.t_first_us or 0, "t_last_us": summary.t_last_us or 0}
        yield from streamed_recording_frames(chunks(), spec, events=summary.events, **times)
        return
    framer = Framer(spec, origin_us=_part_origin_us(recording, spec))
    for events in chunks():
        yield from (frame.counts_CHW for frame in framer.push(events))
    yield from (frame.counts_CHW for frame in framer.finish())


def _part_origin_us(recording: Recording, spec: FrameSpec) -> int | None:
    """Return the zero of the grid of a part of a recording; None if it is no part."""
    return None if recording.undivided is None else grid_origin_us(recording, spec)


def _dropping(spec: FrameSpec) -> Geometry:
    """Return the geometry if it drops events; otherwise it changes neither their number nor their times."""
    return Geometry() if spec.geometry.keeps_all else spec.geometry
