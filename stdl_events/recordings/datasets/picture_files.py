"""Pictures that are read from their files on access, by Pillow, and never all in memory.

The rules of size are those of torchvision's `Resize`, `CenterCrop`, `RandomCrop` and `RandomResizedCrop`, with which
the papers' ImageNet figures were made: the shorter side is resized bilinearly, with a filter that covers all source
pixels; windows are cut from that, or drawn from the stored picture and then resized.

Shape letters: N pictures, C=3 colours, H rows, W columns.
"""

import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError, MissingExtraError, RecordingError
from stdl_events.frames import FrameSpec

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
Box = tuple[int, int, int, int]
"""left, upper, right, lower."""

_AREAS = (0.08, 1.0)
_SHAPES = (3 / 4, 4 / 3)
_TRIES = 10
# 65535 becomes 255.
_PER_8_BIT = 257


def size_of(path: Path) -> Size:
    """Return (width, height) of a picture from its header.

    Raises:
        RecordingError: the file is no picture that Pillow reads.
        MissingExtraError: Pillow is not installed.
    """
    with _Opened(path) as picture:
        return int(picture.width), int(picture.height)


class PictureFiles:
    """pictures_NCHW of files, uint8, in the size of `frame_spec`; each is decoded when it is indexed.

    Attributes:
        bad: (index, error) of the files whose header is not readable.

    Raises:
        FrameSpecError: without `resize`, a picture has another size than the spec's.
    """

    def __init__(self, paths: Sequence[Path], frame_spec: FrameSpec) -> None:
        self._paths, self._spec = list(paths), frame_spec
        self._width, self._height = frame_spec.frame_shape_CHW[:0:-1]
        with _threads() as pool:
            found = list(pool.map(_size_or_error, self._paths))
        self.bad = [(index, size) for index, size in enumerate(found) if isinstance(size, RecordingError)]
        self._sizes = [size if isinstance(size, tuple) else (0, 0) for size in found]
        if frame_spec.picture.resize is None:
            self._require_one_size(found)

    def _require_one_size(self, found: Sequence[object]) -> None:
        for path, size in zip(self._paths, found, strict=True):
            if isinstance(size, tuple) and size != self._spec.sensor_size:
                raise FrameSpecError(
                    str(path), got="a picture of {}x{}".format(*size),
                    expected="{}x{}, as the first one, or a rule of size".format(*self._spec.sensor_size),
                    todo="resize them with --set frames.picture.resize=256 --set frames.center_crop=224x224",
                )  # fmt: skip

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any, /) -> Pixels:
        """Return one picture_CHW for an integer, pictures_NCHW for a slice or an array of integers."""
        if isinstance(index, int | np.integer):
            return self._decode(int(index), None, False)
        numbers = np.arange(len(self))[index].tolist()
        return self._decoded([(number, None, False) for number in numbers])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.uint8)

    def drawn(self, indices: npt.NDArray[np.intp], how: str, rng: np.random.Generator) -> Pixels:
        """Return pictures_NCHW with random windows: "random" places, or "resized" ones of random size and shape.

        Raises:
            RecordingError: a file does not decode.
        """
        jobs: list[tuple[int, Box | None, bool]] = []
        for number in indices.tolist():
            if how == "resized":
                jobs.append((number, _drawn_box(self._sizes[number], rng), True))
            else:
                width, height = _resized(self._sizes[number], self._spec.picture.resize)
                left, top = (
                    int(rng.integers(0, max(0, side - wanted) + 1))
                    for side, wanted in ((width, self._width), (height, self._height))
                )
                jobs.append((number, (left, top, left + self._width, top + self._height), False))
        return self._decoded(jobs)

    def _decoded(self, jobs: Sequence[tuple[int, Box | None, bool]]) -> Pixels:
        pictures_NCHW = np.empty((len(jobs), 3, self._height, self._width), np.uint8)
        with _threads() as pool:
            for position, picture_CHW in enumerate(pool.map(lambda job: self._decode(*job), jobs)):
                pictures_NCHW[position] = picture_CHW
        return pictures_NCHW

    def _decode(self, number: int, box: Box | None, resize_box: bool) -> Pixels:
        """Return a picture in the frame's size.

        Args:
            box: window of the stored picture if `resize_box`, else of the resized one; None is the middle.
        """
        from PIL import Image

        path, size = self._paths[number], (self._width, self._height)
        with _Opened(path) as opened:
            if resize_box:
                picture = _in_colour(opened).resize(size, Image.Resampling.BILINEAR, box=box)
            else:
                picture = _in_colour(opened)
                whole = _resized(picture.size, self._spec.picture.resize)
                if whole != picture.size:
                    picture = picture.resize(whole, Image.Resampling.BILINEAR)
                picture = picture.crop(box or _middle(whole, size))
            return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _in_colour(picture: Any) -> Any:
    """Return a picture as red, green and blue of 8 bits each. Pillow alone would make 16-bit gray above 255 white.

    Raises:
        ValueError: the range of its values is not known.
    """
    from PIL import Image

    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) // _PER_8_BIT).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise ValueError(f"gray values of the mode {picture.mode}, of unknown range; save it with 8 or 16 bits")
    return picture.convert("RGB")


class _Opened:
    """A picture of Pillow, whose errors are those of this package."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        try:
            from PIL import Image
        except ModuleNotFoundError:
            raise MissingExtraError(
                str(self._path), got="a picture, and no package Pillow", expected="the extra `train`",
                todo="pip install 'stdl-events[train]'",
            ) from None  # fmt: skip
        try:
            with warnings.catch_warnings():
                # Odd metadata of a picture that decodes, and its size, which is bounded by the file's own.
                warnings.simplefilter("ignore")
                self._picture = Image.open(self._path)
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and others on damaged files
            raise self._unreadable(error) from None
        return self._picture

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._picture.close()
        if isinstance(error, Exception):
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> RecordingError:
        return RecordingError(
            str(self._path), got=f"{type(error).__name__} while decoding: {error}", expected="a picture",
            todo="replace or remove the file",
        )  # fmt: skip


def _size_or_error(path: Path) -> Size | RecordingError:
    try:
        return size_of(path)
    except RecordingError as error:
        return error


def _threads() -> ThreadPoolExecutor:
    # Pillow decodes without the interpreter's lock.
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)))


def _resized(size: Size, shorter: int | None) -> Size:
    """Return the size whose shorter side is `shorter`, as torchvision rounds it."""
    width, height = size
    if shorter is None or min(size) == shorter:
        return size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _middle(whole: Size, size: Size) -> Box:
    left, top = (round((side - wanted) / 2) for side, wanted in zip(whole, size, strict=True))
    return left, top, left + size[0], top + size[1]


def _drawn_box(size: Size, rng: np.random.Generator) -> Box:
    """Draw a window of 8 to 100 % of the area, 3:4 to 4:3 in shape; the middle if ten draws do not fit."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREAS)
        shape = math.exp(rng.uniform(math.log(_SHAPES[0]), math.log(_SHAPES[1])))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * _SHAPES[1])), min(height, round(width / _SHAPES[0]))
    return _middle(size, (w, h))
