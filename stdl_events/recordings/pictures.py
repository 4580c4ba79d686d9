"""Static pictures as clips: one picture is repeated for all T steps, as a view of the same memory.

An entry is one picture of a file: `Entry.picture` is its number there. Its dataset reads the pixels
(`Dataset.pictures`).

Shape letters: N clips, T steps, C=3 colours, H rows, W columns.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError, RecipeError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.frames.picture import repeated
from stdl_events.recordings.clips import BadRecording, ClipArray, ClipFrames
from stdl_events.recordings.datasets.picture_files import PictureFiles
from stdl_events.recordings.entry import Entry, RecordingSet

Pixels = npt.NDArray[np.uint8]
"""pictures_NCHW, from 0 to 255."""


@dataclass(frozen=True, eq=False)
class RepeatedPictures:
    """The frames of `ClipArray`: T times the same picture, which is in memory once.

    Attributes:
        pictures_NCHW: an array, or a reader of the indexed pictures.
        steps: T.
    """

    pictures_NCHW: ClipFrames
    steps: int

    def __len__(self) -> int:
        return len(self.pictures_NCHW)

    def __getitem__(self, index: Any, /) -> Pixels:
        """Return frames_TCHW of one picture for an integer, frames_NTCHW of several; all T are one in memory."""
        pictures = self.pictures_NCHW[index]
        return repeated(pictures, self.steps, axis=pictures.ndim - 3)

    def drawn(self, indices: npt.NDArray[np.intp], how: str, rng: np.random.Generator) -> Pixels:
        """Return frames_NTCHW of random windows of pictures in files; see `PictureFiles.drawn`."""
        assert isinstance(self.pictures_NCHW, PictureFiles), "see require_files"
        return repeated(self.pictures_NCHW.drawn(indices, how, rng), self.steps, axis=1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(repeated(np.asarray(self.pictures_NCHW), self.steps, axis=1), dtype=dtype, copy=copy)


def load_pictures(
    read: Callable[[Sequence[Entry], FrameSpec], ClipFrames], recordings: RecordingSet, frame_spec: FrameSpec
) -> ClipArray:
    """Return the pictures of a set as clips, one of each entry.

    Args:
        read: `Dataset.pictures`.

    Raises:
        FrameSpecError: the pictures have another size than the spec's.
        RecordingError: a file is not readable.
    """
    _, clips, bad = load_readable_pictures(read, recordings, frame_spec)
    for one in bad:
        raise one.error
    return clips


def load_readable_pictures(
    read: Callable[[Sequence[Entry], FrameSpec], ClipFrames], recordings: RecordingSet, frame_spec: FrameSpec
) -> tuple[RecordingSet, ClipArray, list[BadRecording]]:
    """Return the readable pictures of a set, their clips, and those that cannot be read; see `load_pictures`."""
    pictures_NCHW, bad = read(recordings.entries, frame_spec), []
    if isinstance(pictures_NCHW, PictureFiles) and pictures_NCHW.bad:
        bad = [BadRecording(recordings.entries[index], error) for index, error in pictures_NCHW.bad]
        left_out = {one.entry.key for one in bad}
        recordings = recordings.with_entries(entry for entry in recordings.entries if entry.key not in left_out)
        pictures_NCHW = read(recordings.entries, frame_spec)
    count = len(recordings)
    clips = ClipArray(
        RepeatedPictures(pictures_NCHW, frame_spec.steps),
        np.array([entry.label for entry in recordings.entries], np.int64),
        np.arange(count),
        np.zeros(count, np.int64),
        incomplete=0,
        picture=frame_spec.picture,
    )
    return recordings, clips, bad


def require_files(clips: ClipArray) -> None:
    """Check that random windows can be drawn from the pictures.

    Raises:
        RecipeError: they have one size, in which they are trained.
    """
    frames = clips.frames_NTCHW
    if not (isinstance(frames, RepeatedPictures) and isinstance(frames.pictures_NCHW, PictureFiles)):
        raise RecipeError(
            "augment.crop", got="a random window", expected="none, since these pictures have no files of their own",
            todo="use augment.shift_px, which pads and crops",
        )  # fmt: skip


def gather(entries: Sequence[Entry], frame_spec: FrameSpec, open_file: Callable[[Path], Pixels]) -> Pixels:
    """Return the pixels of `entries`, read from files of many pictures, in the window of `frame_spec`.

    Args:
        open_file: path -> all its pictures_NCHW; called once for each file.

    Raises:
        FrameSpecError: the pictures have another size than the spec's, or shall be resized.
    """
    if frame_spec.picture.resize is not None:
        raise FrameSpecError(
            "frames.picture.resize", got=str(frame_spec.picture.resize),
            expected="none, since all pictures have one size", todo="leave it out",
        )  # fmt: skip
    width, height = frame_spec.sensor_size
    crop_width, crop_height = frame_spec.center_crop or frame_spec.sensor_size
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    pictures_NCHW = np.empty((len(entries), *frame_spec.frame_shape_CHW), np.uint8)
    numbers_of: dict[Path, list[int]] = {}
    for number, entry in enumerate(entries):
        numbers_of.setdefault(entry.path, []).append(number)
    for path, numbers in numbers_of.items():
        stored_NCHW = open_file(path)
        if stored_NCHW.shape[1:] != (3, height, width):
            raise FrameSpecError(
                str(path), got="pictures of {}x{}".format(*stored_NCHW.shape[:1:-1]), expected=f"{width}x{height}",
                todo="use another frame spec",
            )  # fmt: skip
        chosen = [entries[number].picture for number in numbers]
        window_NCHW = stored_NCHW[:, :, top : top + crop_height, left : left + crop_width]
        pictures_NCHW[numbers] = window_NCHW[np.array(chosen, np.intp)]
    return pictures_NCHW


def say_equal_pictures(train: ClipArray, held_out: ClipArray) -> None:
    """Warn of pictures held out that equal one to train on, pixel by pixel; published sets have some.

    Pictures that are read on access are not compared.
    """
    both = [clips.frames_NTCHW for clips in (train, held_out)]
    stored = [frames.pictures_NCHW for frames in both if isinstance(frames, RepeatedPictures)]
    arrays = [pictures for pictures in stored if isinstance(pictures, np.ndarray)]
    if len(arrays) < len(both):
        return
    trained, tested = ([_digest(picture_CHW) for picture_CHW in pictures] for pictures in arrays)
    known = set(trained)
    equal = sum(digest in known for digest in tested)
    if equal:
        text = f"{equal} of {len(tested)} pictures held out equal one to train on, pixel by pixel, as published"
        warnings.warn(text, RecordingWarning, stacklevel=3)


def _digest(picture_CHW: Pixels) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(picture_CHW).data, digest_size=16).digest()
