"""CIFAR10-DVS: 10,000 images moved in front of a DVS128, 10 classes of 1000 recordings.

    <root>/<class>/cifar10_<class>_<0..999>.aedat       the original, AEDAT 2.0
    <root>/<class>/<...>_<number>.aedat4                Tonic's mirror; in <root>/CIFAR10DVS/ if Tonic unpacked it

The dataset has no official split. Papers train on the first 900 recordings of each class by file number and test on
the last 100; datasets/cifar10_dvs/split.tsv is the golden copy of this rule.

H. Li et al., "CIFAR10-DVS: an event-stream dataset for object classification", 2017.
"""

from pathlib import Path

from stdl_events.errors import SplitError
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child, is_hidden
from stdl_events.recordings.obtain import Download, found_in, not_there
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.split import by_order

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
    folder = _folder(root, "CIFAR10DVS") or root
    files = {name: _recordings_in(_folder(folder, name)) for name in CLASSES}
    missing = [name for name, paths in files.items() if not paths]
    if missing:
        got = found_in(folder) if len(missing) == len(CLASSES) else f"no recordings in {', '.join(missing)}"
        raise not_there(folder, got=got, expected=LAYOUT, downloads=DOWNLOADS)
    suffixes = {path.suffix.lower() for paths in files.values() for path in paths}
    if len(suffixes) > 1:
        raise not_there(folder, got=f"files of {' and '.join(sorted(suffixes))}", expected=LAYOUT, downloads=DOWNLOADS)
    entries = tuple(
        Entry(path.relative_to(folder).as_posix(), path, label, sensor_size=SENSOR_SIZE)
        for label, name in enumerate(CLASSES)
        for path in files[name]
    )
    return RecordingSet(CLASSES, SENSOR_SIZE, entries)


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
