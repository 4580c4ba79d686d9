"""N-MNIST: handwritten digits shown to a moving camera, 34x34 pixels, 10 classes, about 300 ms each.

Two layouts are read: that of Tonic's class, `<root>/NMNIST/{Train,Test}/<digit>/*.bin` with the archives beside,
through this class, and plain folders `<root>/{Train,Test}/<digit>/*.bin` or `<root>/<digit>/*.bin`.

G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", 2015.
"""

from pathlib import Path

from stdl_events.errors import DatasetError, MissingExtraError
from stdl_events.recordings.datasets.folder import is_split, read_folder, read_given_split
from stdl_events.recordings.datasets.tonic_sets import labels_by_tonic
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.splits.sides import sides_of
from stdl_events.recordings.splits.split import by_order

SENSOR_SIZE = (34, 34)
CLASSES = tuple("0123456789")
TRAIN_SHARE = 0.8


def read_nmnist(root: str | Path) -> RecordingSet:
    """Return all recordings of a folder of digits without a test side: `<root>/train/<digit>` or `<root>/<digit>`.

    Raises:
        DatasetError: the folder has another layout, or lacks a digit.
    """
    root = Path(root)
    digits = sides_of(root).get("train", root)
    recordings = read_folder(digits, format="nmnist", sensor_size=SENSOR_SIZE, labels=None)
    _require_digits(digits, recordings)
    return recordings


def split_nmnist(root: str | Path) -> Split:
    """Return the official split if both sides exist; else the first 80 % by file number to train, the rest held out.

    Raises:
        DatasetError: the folder has another layout, or is incomplete.
        MissingExtraError: the folder has Tonic's layout, and Tonic is not installed.
    """
    root = Path(root)
    if _is_plain_split(root / "NMNIST"):
        root = root / "NMNIST"
    elif (root / "NMNIST").is_dir():
        train, test = (
            RecordingSet(CLASSES, SENSOR_SIZE, _entries_of_tonic(root, train=train)) for train in (True, False)
        )
        return Split(train, test, "N-MNIST's own")
    if is_split(root):
        split = read_given_split(root, format="nmnist", sensor_size=SENSOR_SIZE, labels=None)
        _require_digits(root, split.train)
        return split
    recordings = read_nmnist(root)
    train_count = round(TRAIN_SHARE * len(recordings))
    return by_order(recordings, train=train_count, test=len(recordings) - train_count)


def _is_plain_split(folder: Path) -> bool:
    """True if both sides are there without the archives that Tonic's class asks for, or with other suffixes."""
    if not is_split(folder):
        return False
    has_archives = any(child(folder, name) for name in ("train.zip", "test.zip"))
    return not has_archives or any(path.suffix.lower() == ".bin" != path.suffix for path in folder.glob("*/*/*"))


def _require_digits(root: Path, recordings: RecordingSet) -> None:
    if recordings.classes != CLASSES:
        raise DatasetError(
            str(root), got=f"the folders {', '.join(recordings.classes[:12])}", expected="one folder per digit, 0 to 9",
            todo="unpack N-MNIST there",
        )  # fmt: skip


def _entries_of_tonic(root: Path, *, train: bool) -> tuple[Entry, ...]:
    labels = labels_by_tonic("NMNIST", root, ("train" if train else "test",))
    if labels is None:
        raise MissingExtraError(
            str(root), got="Tonic's layout, and no package tonic", expected="the extra `train`",
            todo="pip install 'stdl-events[train]', or name the folder that holds train/ and test/",
        )  # fmt: skip
    return tuple(
        Entry(path.relative_to(root).as_posix(), path, label, format="nmnist", sensor_size=SENSOR_SIZE)
        for path, label in labels.items()
    )


DATASET = Dataset(
    "N-MNIST: handwritten digits before a moving ATIS camera",
    read_nmnist,
    split_nmnist,
    page="datasets/nmnist/README.md",
    sensor_size=SENSOR_SIZE,
    classes=len(CLASSES),
)
