"""One recording to clips, as a live source of the same events is cut.

Shape letters: N clips, T frames of a clip, C=2 polarities, H rows, W columns.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events import EventSource, Recording, ReplaySource
from stdl_events.events.stream import EventArray, concatenate_events
from stdl_events.frames import Clip, Clips, Counts, Frame, Framer, FrameSpec, clips, recording_frames
from stdl_events.frames.grid import grid_origin_us
from stdl_events.frames.selection import Selection
from stdl_events.recordings.entry import WHOLE, Entry
from stdl_events.recordings.framers import Cut
from stdl_events.recordings.takes import takes_of

Watch: TypeAlias = Callable[[EventArray], object]
Cutting = TypeVar("Cutting", Clip, Frame)


class EntryClips(Iterator[Clip]):
    """The complete clips of one entry, in order; `incomplete` counts those cut off at its ends so far."""

    def __init__(self, clips: Iterator[Clip]) -> None:
        self._clips = clips

    @property
    def incomplete(self) -> int:
        return self._clips.incomplete if isinstance(self._clips, Clips) else 0

    def __next__(self) -> Clip:
        return next(self._clips)


def cut_clips(entry: Entry, recording: Recording, frame_spec: FrameSpec) -> EntryClips:
    """Yield the clips of `clips_of` for an entry whose recording is open; in bounded memory for kind "stream".

    Parts of one recording share its cached summary.

    Raises:
        RecordingError, FrameSpecError: see `clips_of`; also during iteration.
    """
    require_sensor(entry, recording, frame_spec)
    if frame_spec.kind == "recording":
        events = all_events(entry, recording)
        return EntryClips(watched(recording, events, _whole(events, frame_spec)))
    return EntryClips(clips(cut_frames(entry, recording, frame_spec), frame_spec))


def cut_frames(
    entry: Entry, recording: Recording, frame_spec: FrameSpec, before: Selection | None = None
) -> Iterator[Frame]:
    """Yield all frames of an entry whose recording is open, those of incomplete clips too.

    Frames that are bins of a whole recording have its times each.

    Args:
        before: what else is applied to the events of the part, before the filters of `frame_spec`.

    Raises:
        RecordingError, FrameSpecError: see `clips_of`; also during iteration.
    """
    if frame_spec.kind == "recording":
        events = all_events(entry, recording)
        for clip in _whole(events if before is None else before(events), frame_spec):
            for step, counts_CHW in enumerate(clip.frames_TCHW):
                yield Frame(step, clip.t_start_us, clip.t_end_us, counts_CHW, frame_spec.steps)
    elif recording.summary.events:
        source = ReplaySource(recording, speed=None, start=entry.span[0], stop=entry.span[1])
        framer = Framer(frame_spec, origin_us=grid_of(entry, recording, frame_spec, before))
        yield from _frames(source, framer, before, recording.watch)


def grid_of(entry: Entry, recording: Recording, frame_spec: FrameSpec, before: Selection | None = None) -> int | None:
    """Return the zero of the grid of an entry's windows; None if its first event is it, or there is no grid.

    A part stays on the grid of its recording, or of the labelled part that it is a part of.
    """
    begins_here = entry.span[0] == entry.begin and recording.whole is recording
    return None if begins_here else grid_origin_us(recording, frame_spec, begin=entry.begin, before=before)


def cut_takes(
    entry: Entry, recording: Recording, frame_spec: FrameSpec, cut: Cut = cut_clips, watch: Watch | None = None
) -> list[tuple[Entry, Recording, EntryClips]]:
    """Cut an entry whose recording is open; if its clock was reset, each take is an entry of its own.

    Args:
        cut: cuts one recording, an entry of `FRAMERS`.
        watch: called with all events while clips are taken.

    Raises:
        RecordingError, FrameSpecError: see `clips_of`; also during iteration.
    """
    recording.watch = watch
    # Cutting reads the recording once, which finds its takes.
    clips_of_all = cut(entry, recording, frame_spec)
    takes = takes_of(entry, recording)
    if takes == [(entry, recording)]:
        return [(entry, recording, clips_of_all)]
    for _, its_recording in takes:
        its_recording.watch = watch
    return [(take, its_recording, cut(take, its_recording, frame_spec)) for take, its_recording in takes]


def require_sensor(entry: Entry, recording: Recording, frame_spec: FrameSpec) -> None:
    """Check that the recording states no other sensor size than the spec's.

    Raises:
        FrameSpecError: it does.
    """
    known = recording.sensor_size_from != "inferred"
    if known and recording.sensor_size != frame_spec.sensor_size:
        raise FrameSpecError(
            entry.key, got="a sensor of {}x{}".format(*recording.sensor_size),
            expected="{}x{}, as the frames are made for".format(*frame_spec.sensor_size),
            todo="use recordings of one sensor size, or another frame spec",
        )  # fmt: skip


def _whole(events: EventArray, frame_spec: FrameSpec) -> Iterator[Clip]:
    events = Selection.of(frame_spec)(events)
    if len(events):
        t_first_us, t_last_us = int(events["t"][0]), int(events["t"][-1])
        yield Clip(0, t_first_us, t_last_us + 1, recording_frames(events, frame_spec.plain))


def stacked(cut: EntryClips, frame_spec: FrameSpec) -> tuple[Counts, npt.NDArray[np.int64], int]:
    """Return (frames_NTCHW, t_start_us_N, incomplete) of all clips."""
    taken = list(cut)
    shape = (0, frame_spec.steps, *frame_spec.frame_shape_CHW)
    frames_NTCHW = np.stack([clip.frames_TCHW for clip in taken]) if taken else np.zeros(shape, np.uint16)
    return frames_NTCHW, np.array([clip.t_start_us for clip in taken], np.int64), cut.incomplete


def all_events(entry: Entry, recording: Recording) -> EventArray:
    """Return the events of the entry's span; one pass over the file suffices for a whole recording."""
    if entry.span == WHOLE or not recording.summary.events:
        return recording.read()
    start, stop = entry.span
    return concatenate_events(ReplaySource(recording, speed=None, start=start, stop=stop).chunks())


def watched(recording: Recording, events: EventArray, cut: Iterator[Cutting]) -> Iterator[Cutting]:
    """Yield what is cut from the `events` of a recording, after its `watch` has seen them."""
    if recording.watch is not None:
        recording.watch(events)
    yield from cut


def _frames(source: EventSource, framer: Framer, before: Selection | None, watch: Watch | None) -> Iterator[Frame]:
    for events in source.chunks():
        if watch is not None:
            watch(events)
        yield from framer.push(events if before is None else before(events))
    yield from framer.finish()
