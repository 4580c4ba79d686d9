"""SVHN: cropped digits of house numbers, 32x32 pixels in colour, 10 classes: 73,257 to train and 26,032 to test.

    <root>/train_32x32.mat, <root>/test_32x32.mat       "Format 2", MATLAB 5 files: X [32, 32, 3, N] and y [N, 1]

The class 10 is the digit 0. scipy, which the extra `train` brings, reads the files.

Y. Netzer et al., "Reading digits in natural images with unsupervised feature learning", 2011;
http://ufldl.stanford.edu/housenumbers/ describes the files.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.errors import DatasetError, MissingExtraError, RecordingError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child
from stdl_events.recordings.pictures import Pixels, gather
from stdl_events.recordings.registry import Dataset

SIZE = (32, 32)
CLASSES = tuple("0123456789")
_SITE = "http://ufldl.stanford.edu/housenumbers"
# File, md5 of the file, number of pictures.
_SIDES = (
    ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 73_257),
    ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 26_032),
)
_DOWNLOADS = tuple(Download(name, f"{_SITE}/{name}", md5) for name, md5, _ in _SIDES)


def split_svhn(root: str | Path) -> Split:
    """Return the official split: train_32x32.mat to train, test_32x32.mat held out.

    Raises:
        DatasetError: a file is missing, or its labels are no digits.
        RecordingError: a file is damaged.
        MissingExtraError: scipy is not installed.
    """
    root, sides = Path(root), []
    for name, _, count in _SIDES:
        path = child(root, name) if root.is_dir() else None
        if path is None:
            expected = f"{' and '.join(side[0] for side in _SIDES)}, the cropped digits"
            raise not_there(root, got=f"{found_in(root)}, without {name}", expected=expected, downloads=_DOWNLOADS)
        labels = np.asarray(_variable(path, "y")).reshape(-1)
        if labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(1, 11)).all():
            raise DatasetError(
                str(path), got="labels that are not 1 to 10", expected="digits, and 10 for 0",
                todo=f"download {name} again",
            )  # fmt: skip
        if len(labels) != count:
            text = f"{path}: {len(labels)} pictures, where the published file has {count}"
            warnings.warn(text, RecordingWarning, stacklevel=2)
        keys = [f"{path.stem}/{number:05d}" for number in range(len(labels))]
        entries = [
            Entry(key, path, int(label) % 10, picture=number, content=f"SVHN/{key}")
            for number, (key, label) in enumerate(zip(keys, labels, strict=True))
        ]
        sides.append(RecordingSet(CLASSES, SIZE, tuple(entries)))
    return Split(sides[0], sides[1], "of SVHN")


def _variable(path: Path, name: str) -> Any:
    """Return one array of a MATLAB file.

    Raises:
        RecordingError: the file is damaged, or has no such array.
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError:
        raise MissingExtraError(
            str(path), got="a MATLAB file, and no package scipy", expected="the extra `train`",
            todo="pip install 'stdl-events[train]'",
        ) from None  # fmt: skip
    try:
        return loadmat(path, variable_names=[name])[name]
    except Exception as error:  # scipy raises what its decoding of the damaged bytes happens to raise
        raise RecordingError(
            str(path), got=f"{type(error).__name__} while reading the array {name}: {error}",
            expected="a MATLAB 5 file with the arrays X and y", todo=f"download {path.name} again",
        ) from None  # fmt: skip


def _open(path: Path) -> Pixels:
    pixels_HWCN = _variable(path, "X")
    if pixels_HWCN.dtype != np.uint8 or pixels_HWCN.ndim != 4:
        raise RecordingError(
            str(path), got=f"an array X of {pixels_HWCN.dtype}, {pixels_HWCN.shape}",
            expected="bytes of shape (32, 32, 3, N)", todo=f"download {path.name} again",
        )  # fmt: skip
    pictures_NCHW: Pixels = pixels_HWCN.transpose(3, 2, 0, 1)
    return pictures_NCHW


def _read(entries: Sequence[Entry], frame_spec: FrameSpec) -> Pixels:
    return gather(entries, frame_spec, _open)


DATASET = Dataset(
    "SVHN: static pictures of digits on houses",
    split=split_svhn,
    page="datasets/svhn/README.md",
    sensor_size=SIZE,
    classes=len(CLASSES),
    pictures=_read,
)
