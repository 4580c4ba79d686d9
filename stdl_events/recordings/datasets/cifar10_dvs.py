"""CIFAR10-DVS: 10,000 images moved in front of a DVS128, 10 classes of 1000 recordings.

    <root>/<class>/cifar10_<class>_<0..999>.aedat       the original, AEDAT 2.0
    <root>/<class>/<...>_<number>.aedat4                Tonic's mirror; in <root>/CIFAR10DVS/ if Tonic unpacked it

Where Tonic is installed, its class labels what it has unpacked. Events are decoded by our reader, which survives
damage.

The dataset has no official split. Papers train on the first 900 recordings of each class by file number and test on
the last 100; datasets/cifar10_dvs/split.tsv is the golden copy of this rule.

H. Li et al., "CIFAR10-DVS: an event-stream dataset for object classification", 2017.
"""

import warnings
from pathlib import Path

from stdl_events.errors import SplitError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.datasets.tonic_sets import labels_by_tonic
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child, is_hidden
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.splits.split import by_order

SENSOR_SIZE = (128, 128)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN, TEST = 900, 100
LAYOUT = "the folders airplane to truck with 1000 .aedat or .aedat4 recordings each"
DOWNLOADS = (
    Download("CIFAR10DVS.zip", "https://figshare.com/ndownloader/files/38023437", "ce3a4a0682dc0943703bd8f749a7701c"),
)


def read_cifar10_dvs(root: str | Path) -> RecordingSet:
    """Return all recordings in `root`.

    Raises:
        DatasetError: a class is missing, or the original and the mirror are mixed.
    """
    root = Path(root)
    unpacked = _folder(root, "CIFAR10DVS")
    folder = unpacked or root
    files = {name: _recordings_in(_folder(folder, name)) for name in CLASSES}
    missing = [name for name, paths in files.items() if not paths]
    if missing:
        got = found_in(folder) if len(missing) == len(CLASSES) else f"no recordings in {', '.join(missing)}"
        raise not_there(folder, got=got, expected=LAYOUT, downloads=DOWNLOADS)
    suffixes = {path.suffix.lower() for paths in files.values() for path in paths}
    if len(suffixes) > 1:
        raise not_there(folder, got=f"files of {' and '.join(sorted(suffixes))}", expected=LAYOUT, downloads=DOWNLOADS)
    labels = {path: label for label, name in enumerate(CLASSES) for path in files[name]}
    if unpacked is not None:
        labels = _labels_of_tonic(root, labels)
    entries = tuple(
        Entry(path.relative_to(folder).as_posix(), path, label, sensor_size=SENSOR_SIZE)
        for path, label in labels.items()
    )
    return RecordingSet(CLASSES, SENSOR_SIZE, entries)


def _labels_of_tonic(root: Path, labels: dict[Path, int]) -> dict[Path, int]:
    """Return the labels that Tonic's class gives to the files; those of their folders if it does not list all of them.

    It knows suffixes in lower case alone.
    """
    if any(path.suffix != ".aedat4" for path in labels):
        return labels
    with warnings.catch_warnings():
        # How many recordings a split needs is checked when it is made.
        warnings.filterwarnings("ignore", message=".* where Tonic expects", category=RecordingWarning)
        found = labels_by_tonic("CIFAR10DVS", root, (None,))
    return labels if found is None or not labels.keys() <= found.keys() else {path: found[path] for path in labels}


def _folder(root: Path, name: str) -> Path | None:
    found = child(root, name) if root.is_dir() else None
    return found if found is not None and found.is_dir() else None


def _recordings_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    suffixes = (".aedat", ".aedat4")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_hidden(path))


def split_cifar10_dvs(root: str | Path, *, train: int = TRAIN, test: int = TEST) -> Split:
    """Split each class by file number: the first `train` and the last `test` recordings.

    Raises:
        DatasetError: a class is missing or has fewer recordings; an incomplete dataset needs smaller numbers.
    """
    try:
        return by_order(read_cifar10_dvs(root), train=train, test=test, per_class=True)
    except SplitError as error:
        raise not_there(
            Path(root), got=f"{error.subject.rpartition(' ')[2]} with {error.got}", expected=LAYOUT, downloads=DOWNLOADS
        ) from None


DATASET = Dataset(
    "CIFAR10-DVS: CIFAR-10 pictures moved before a DVS128",
    read_cifar10_dvs,
    split_cifar10_dvs,
    page="datasets/cifar10_dvs/README.md",
    sensor_size=SENSOR_SIZE,
    classes=len(CLASSES),
)
