"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 pictures of 32x32 pixels in 10 or 100 classes, in the binary version.

    <root>/cifar-10-batches-bin/data_batch_{1..5}.bin, test_batch.bin, batches.meta.txt
    <root>/cifar-100-binary/train.bin, test.bin, fine_label_names.txt

A record is one byte of label (CIFAR-100: the coarse and the fine one) and 3072 bytes of pixels: 32 rows of red, of
green and of blue. `<root>` may also be the inner folder. The Python version is a pickle and is not read.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes the files.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child
from stdl_events.recordings.labels.lists import numbered_lines
from stdl_events.recordings.pictures import Pixels, gather
from stdl_events.recordings.registry import Dataset

SIZE = (32, 32)
_PIXELS = 3 * 32 * 32
_SITE = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class Cifar:
    """The layout of one of the two sets.

    Attributes:
        labels: bytes before the pixels; the last one is the class.
        pictures: (to train, held out).
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    classes: int
    labels: int
    download: Download
    pickled: str
    pictures: tuple[int, int] = (50_000, 10_000)

    @property
    def record_bytes(self) -> int:
        return self.labels + _PIXELS

    def find(self, root: Path) -> Path:
        """Return the folder that holds the files.

        Raises:
            DatasetError: a file is missing; the message says which archive to get.
        """
        inner = child(root, self.folder) if root.is_dir() else None
        folder = root if inner is None else inner
        expected = f"{self.folder}/ with {', '.join((*self.train, self.test, self.names))}"
        missing = [name for name in (*self.train, self.test, self.names) if not (folder / name).is_file()]
        if not missing:
            return folder
        if any((place / self.pickled).exists() for place in (root, folder, root / self.pickled)):
            got = f"{self.pickled}/, the Python version, which is a pickle"
        elif len(missing) <= len(self.train) and folder.is_dir():
            got = f"no {', '.join(missing)}"
        else:
            got = found_in(folder)
        raise not_there(root, got=got, expected=expected, downloads=(self.download,))

    def open(self, path: Path) -> tuple[npt.NDArray[np.uint8], Pixels]:
        """Return (class of each record, pictures_NCHW), as views of the file.

        Raises:
            RecordingError: the file does not hold whole records.
        """
        size = path.stat().st_size
        if not size or size % self.record_bytes:
            raise RecordingError(
                str(path), got=f"{size} bytes", expected=f"records of {self.record_bytes} bytes",
                todo=f"unpack {self.download.name} again",
            )  # fmt: skip
        records = np.memmap(path, np.uint8, "r").reshape(-1, self.record_bytes)
        return np.asarray(records[:, self.labels - 1]), records[:, self.labels :].reshape(-1, 3, 32, 32)

    def split(self, root: Path) -> Split:
        folder = self.find(root)
        classes = tuple(line for _, line in numbered_lines(folder / self.names))
        if len(classes) != self.classes:
            raise DatasetError(
                str(folder / self.names), got=f"{len(classes)} names", expected=f"{self.classes}, one per line",
                todo=f"unpack {self.download.name} again",
            )  # fmt: skip
        sides = []
        for names, count in zip((self.train, (self.test,)), self.pictures, strict=True):
            entries = [entry for name in names for entry in self._entries(folder / name)]
            if len(entries) != count:
                text = f"{folder}: {len(entries)} pictures in {', '.join(names)}, where the archive has {count}"
                warnings.warn(text, RecordingWarning, stacklevel=4)
            sides.append(RecordingSet(classes, SIZE, tuple(entries)))
        return Split(sides[0], sides[1], f"of {self.name}")

    def _entries(self, path: Path) -> list[Entry]:
        labels, _ = self.open(path)
        odd = np.flatnonzero(labels >= self.classes)
        if len(odd):
            raise DatasetError(
                str(path), got=f"the class {labels[odd[0]]} of record {odd[0]}", expected=f"0 to {self.classes - 1}",
                todo=f"unpack {self.download.name} again",
            )  # fmt: skip
        keys = [f"{path.stem}/{number:05d}" for number in range(len(labels))]
        return [
            Entry(key, path, label, picture=number, content=f"{self.name}/{key}")
            for number, (key, label) in enumerate(zip(keys, labels.tolist(), strict=True))
        ]

    def read(self, entries: Sequence[Entry], frame_spec: FrameSpec) -> Pixels:
        return gather(entries, frame_spec, lambda path: self.open(path)[1])


_TEN = Cifar(
    "CIFAR-10", "cifar-10-batches-bin", tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin",
    "batches.meta.txt", 10, 1,
    Download("cifar-10-binary.tar.gz", f"{_SITE}/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar-10-batches-py",
)  # fmt: skip
_HUNDRED = Cifar(
    "CIFAR-100", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 100, 2,
    Download("cifar-100-binary.tar.gz", f"{_SITE}/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    "cifar-100-python",
)  # fmt: skip


def split_cifar10(root: str | Path) -> Split:
    """Return the official split: data_batch_1 to 5 to train, test_batch held out.

    Raises:
        DatasetError: a file is missing or damaged; the message says which archive to get.
    """
    return _TEN.split(Path(root))


def split_cifar100(root: str | Path) -> Split:
    """Return the official split, labelled by the 100 fine classes.

    Raises:
        DatasetError: a file is missing or damaged; the message says which archive to get.
    """
    return _HUNDRED.split(Path(root))


CIFAR10 = Dataset(
    "CIFAR-10: static pictures of 10 kinds of things",
    split=split_cifar10,
    page="datasets/cifar10/README.md",
    sensor_size=SIZE,
    classes=_TEN.classes,
    pictures=_TEN.read,
)
CIFAR100 = Dataset(
    "CIFAR-100: static pictures of 100 kinds of things",
    split=split_cifar100,
    page="datasets/cifar100/README.md",
    sensor_size=SIZE,
    classes=_HUNDRED.classes,
    pictures=_HUNDRED.read,
)
