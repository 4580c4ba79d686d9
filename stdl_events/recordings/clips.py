"""Recordings to clips: an entry is cut exactly like a live source of the same events.

Shape letters: N clips, T frames of a clip, C=2 polarities, H rows, W columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError, FrameSpecError, RecordingError, UserError
from stdl_events.events import Recording
from stdl_events.frames import Counts, FrameSpec
from stdl_events.frames.picture import PictureSpec, repeated
from stdl_events.recordings.counted import counted
from stdl_events.recordings.coverage import after_filters, length, longest
from stdl_events.recordings.cutting import Watch, cut_clips, cut_takes, stacked
from stdl_events.recordings.entry import Entry, RecordingSet
from stdl_events.recordings.framers import Cut

MAX_UINT8 = 255


class ClipFrames(Protocol):
    """frames_NTCHW, uint8: an array, or a lazy reader of the indexed clips."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """Return an array: one clip for an integer, several for a slice or an array of integers."""
        ...

    def __array__(self) -> npt.NDArray[Any]:
        """Return all clips."""
        ...


@dataclass(frozen=True, eq=False)
class ClipArray:
    """All complete clips of a set of recordings, in the order of its entries.

    Attributes:
        frames_NTCHW: event counts, uint8.
        targets_N: class indices.
        entry_index_N: index of each clip's entry in the set.
        t_start_us_N: start of each clip, in its recording's clock.
        incomplete: clips that the ends of recordings cut off; they are dropped.
        picture: scale of pixels, if the clips are static pictures; their frames are one in memory.
    """

    frames_NTCHW: ClipFrames
    targets_N: npt.NDArray[np.int64]
    entry_index_N: npt.NDArray[np.int64]
    t_start_us_N: npt.NDArray[np.int64]
    incomplete: int
    picture: PictureSpec | None = None

    def __len__(self) -> int:
        return len(self.targets_N)

    def to_input(self, frames_TBCHW: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return the input of the network for frames of these clips: counts as they are, pixels scaled."""
        if self.picture is None:
            return frames_TBCHW
        return repeated(self.picture.scaled(frames_TBCHW[0]), len(frames_TBCHW))


def clips_of(entry: Entry, frame_spec: FrameSpec) -> tuple[Counts, npt.NDArray[np.int64]]:
    """Return the complete clips of one entry: (frames_NTCHW uint16, t_start_us_N).

    A spec of kind "recording" makes one clip of the whole entry, of kind "stream" as many as fit on its grid. No clip
    spans two takes; times are those of each.

    Raises:
        RecordingError: the recording is not readable.
        FrameSpecError: the sensor size of the recording differs from the spec's.
    """
    made = [stacked(cut, frame_spec) for _, _, cut in cut_takes(entry, entry.open(), frame_spec)]
    return np.concatenate([frames_NTCHW for frames_NTCHW, *_ in made]), np.concatenate([one[1] for one in made])


def load_clips(
    recordings: RecordingSet,
    frame_spec: FrameSpec,
    progress: Callable[[int, int], None] | None = None,
    cut: Cut = cut_clips,
) -> ClipArray:
    """Cut every recording of the set, in memory.

    Args:
        frame_spec: with a `cap` of at most 255, since counts are stored as uint8.
        progress: called with (recordings done, recordings in all) after each one.
        cut: cuts one recording, an entry of `FRAMERS`.

    Raises:
        FrameSpecError: counts could exceed 255, or the sensor size of a recording differs.
        DatasetError: no recording holds one complete clip.
        RecordingError: a recording is not readable.
    """
    require_bytes(frame_spec)
    taken, clips, bad = load_readable_clips(recordings, frame_spec, progress, bad_at_most=0, cut=cut)
    assert not bad, "the first one raises"
    if not len(clips):
        raise no_clips(recordings.entries, frame_spec)
    index_of = {entry.key: index for index, entry in enumerate(recordings.entries)}
    given_E = np.array([index_of.get(entry.key, index_of.get(entry.file_key)) for entry in taken.entries], np.int64)
    return replace(clips, entry_index_N=given_E[clips.entry_index_N])


@dataclass(frozen=True)
class BadRecording:
    """A recording that cannot be read, and why."""

    entry: Entry
    error: UserError

    def __str__(self) -> str:
        return f"{subject_of(self.entry, self.error)}: got {self.error.got}; expected {self.error.expected}"


def subject_of(entry: Entry, error: UserError) -> str:
    """Return the subject of the error of a recording, with its file."""
    return error.subject if entry.path.name in error.subject else f"{entry.path}: {error.subject}"


def load_readable_clips(
    recordings: RecordingSet,
    frame_spec: FrameSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    bad_at_most: int | None = None,
    cut: Cut = cut_clips,
    watch: Watch | None = None,
) -> tuple[RecordingSet, ClipArray, list[BadRecording]]:
    """Return the readable recordings, their clips (there may be none), and the recordings that cannot be read.

    A recording whose clock was reset is returned as its takes.

    Args:
        frame_spec, progress, cut: see `load_clips`.
        watch: called with the events of all recordings.
        bad_at_most: the error of the first recording beyond is raised.

    Raises:
        FrameSpecError: counts could exceed 255.
    """
    require_bytes(frame_spec)
    parts: list[npt.NDArray[np.uint8]] = [np.zeros((0, frame_spec.steps, *frame_spec.frame_shape_CHW), np.uint8)]
    starts_us, incomplete = [np.zeros(0, np.int64)], 0
    readable: list[Entry] = []
    bad: list[BadRecording] = []
    opened: Recording | None = None
    opened_of: Entry | None = None
    for done, entry in enumerate(recordings.entries, start=1):
        try:
            if opened is None or opened_of is None or opened_of.recording != entry.recording:
                # Parts of one recording are adjacent and share its cached summary.
                opened, opened_of = entry.open(), entry
            takes = [
                (replace(take, counted=counted(recording)), stacked(clips, frame_spec))
                for take, recording, clips in cut_takes(entry, opened, frame_spec, cut, watch)
            ]
        except (RecordingError, FrameSpecError) as error:
            if bad_at_most is not None and len(bad) >= bad_at_most:
                raise
            bad.append(BadRecording(entry, error))
            opened = None
        else:
            for take, (frames_NTCHW, t_start_us_N, cut_off) in takes:
                readable.append(take)
                parts.append(frames_NTCHW.astype(np.uint8))
                starts_us.append(t_start_us_N)
                incomplete += cut_off
        if progress is not None:
            progress(done, len(recordings))
    counts = np.array([len(part) for part in parts[1:]], np.int64)
    labels = np.array([entry.label for entry in readable], np.int64)
    clips = ClipArray(
        np.concatenate(parts),
        np.repeat(labels, counts),
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate(starts_us),
        incomplete,
    )
    return recordings.with_entries(readable), clips, bad


def require_bytes(frame_spec: FrameSpec) -> None:
    """Check that counts fit into one byte.

    Raises:
        FrameSpecError: they could exceed 255.
    """
    if frame_spec.cap is None or frame_spec.cap > MAX_UINT8:
        raise FrameSpecError(
            "frame spec: cap", got=str(frame_spec.cap), expected=f"at most {MAX_UINT8}, so that a count fits one byte",
            todo=f"set cap={MAX_UINT8}",
        )  # fmt: skip


def no_clips(entries: Sequence[Entry], frame_spec: FrameSpec) -> DatasetError:
    """Return the error for recordings without a complete clip."""
    if not entries:
        return DatasetError(
            "recordings", got="no readable one on a side of the split", expected="at least one on every side",
            todo="repair those that are named, or hold out others (--split), such as with another seed",
        )  # fmt: skip
    return DatasetError(
        "recordings",
        got=f"{len(entries)} without one complete clip{longest(entries, frame_spec)}{after_filters(frame_spec)}",
        expected=f"at least one of {frame_spec.steps} frames, {length(frame_spec)}",
        todo="use fewer or shorter frames (frames.steps, frames.dt_us), or longer recordings; if they are longer, say "
        "their --time-unit",
    )  # fmt: skip
