"""Data sets of samples (events, label) as recordings: any `torch.utils.data.Dataset` or `tonic.Dataset` of that kind.

A user's own one is one line:

    DATASETS.register("mine", sample_dataset("My people, by gait", MyPeople))

`MyPeople(folder)` is its whole; `MyPeople(folder, train=True)` or `MyPeople(folder, split="train")` one side of its
own split. Events are structured arrays with t, x, y and p, or tables of four columns, as in NPY files. A sample is read
when its clips are cut, and not kept.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from stdl_events.errors import DatasetError, RecordingError, StdlEventsError
from stdl_events.events import Recording
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.sample_events import SampleDecoder, sample_columns
from stdl_events.recordings.sample_labels import class_indices

Side = Literal["train", "test"]
SIDES: tuple[Side, Side] = ("train", "test")
Facts: TypeAlias = tuple[object, str | None]
"""Label of a sample, and its content if no file of its own tells it."""


class Samples(Protocol):
    """A data set: `len(samples)` and `samples[index] -> (events, label)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class SampleFactory(Protocol):
    """Opens a data set of samples; two equal ones open the same, since opened sets are kept by it.

    Attributes:
        name: of the data set, in messages and keys.
        is_documented: `data` and `targets` of the opened set hold the files and labels of its samples, and times are
            microseconds. Otherwise each sample is read once for its label and its content.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_documented(self) -> bool: ...

    def __call__(self, root: Path, side: Side | None) -> Samples:
        """Open the whole set in the folder `root`, or one side of its split."""
        ...


@dataclass(frozen=True)
class SampleSource:
    """One side of a data set in a folder; side None is the whole set."""

    factory: SampleFactory
    root: Path
    side: Side | None

    def open(self) -> Samples:
        """Return the opened set, which is kept for the next call.

        Raises:
            DatasetError: it cannot be opened.
        """
        return _opened(self)


@lru_cache(maxsize=4)
def _opened(source: SampleSource) -> Samples:
    return source.factory(source.root, source.side)


@dataclass(frozen=True)
class SampleReader:
    """Reads one sample as a recording; the `reader` of its entry.

    Attributes:
        index: of the sample; None if the sample is found by its file.
        sensor_size: (width, height), and the number of polarities.
    """

    source: SampleSource
    index: int | None
    sensor_size: tuple[int, int, int]
    time_unit: str | None

    @property
    def factory(self) -> SampleFactory:
        """What a helper process must be able to import."""
        return self.source.factory

    @property
    def description(self) -> str:
        """Everything that a prepared shard depends on, besides the file."""
        return f"{self.source.factory.name} {self.source.side} {self.index} {self.sensor_size} {self.time_unit}"

    def __call__(self, path: Path) -> Recording:
        samples = self.source.open()
        index = _index_of(self.source)[path] if self.index is None else self.index
        decoder = SampleDecoder(path, lambda: read_sample(samples, index, path)[0], self.sensor_size, self.time_unit)
        return Recording(path, "samples", decoder)


def read_sample(samples: Samples, index: int, path: Path) -> tuple[Any, object]:
    """Return (events, label) of a sample.

    Raises:
        RecordingError: reading it raises, or it is no pair.
    """
    try:
        events, label = samples[index]
    except StdlEventsError:
        raise
    except Exception as error:
        raise RecordingError(
            str(path), got=f"{type(error).__name__} while reading sample {index}: {error}",
            expected="a pair of events and a label", todo="correct the file or its data set",
        ) from error  # fmt: skip
    return events, label


def files_of(samples: Samples) -> list[Path] | None:
    """Return the file of each sample, from the attribute `data`; None if samples have no files of their own."""
    data = getattr(samples, "data", None)
    if not isinstance(data, list) or not data or len(data) != len(samples):
        return None
    paths = [Path(file) for file in data if isinstance(file, str | Path)]
    return paths if len(set(paths)) == len(data) and paths[0].is_file() else None


@lru_cache(maxsize=4)
def _index_of(source: SampleSource) -> dict[Path, int]:
    return {path: index for index, path in enumerate(files_of(source.open()) or ())}


def recordings_of_samples(
    factory: SampleFactory,
    root: Path,
    sides: tuple[Side | None, ...],
    sensor_size: tuple[int, int] | None,
    time_unit: str | None,
) -> list[RecordingSet]:
    """Return the samples of each side as recordings, ordered by file or by index.

    Args:
        sensor_size: (width, height), if the data set does not tell it.
        time_unit: of the events; None for microseconds, or for that of tables if the data set is not documented.

    Raises:
        DatasetError: it cannot be opened, its sensor size is unknown, or its labels are no classes.
    """
    _opened.cache_clear()
    _index_of.cache_clear()
    sources = [SampleSource(factory, root.absolute(), side) for side in sides]
    sets = [source.open() for source in sources]
    size = _sensor_size(factory.name, sets, sensor_size)
    found = [list(_facts(source, samples, size)) for source, samples in zip(sources, sets, strict=True)]
    names = next((own for key in ("classes", "class_map") if (own := getattr(sets[0], key, None)) is not None), None)
    classes, labels = class_indices(factory.name, [[label for label, _ in side] for side in found], names)
    unit = "us" if factory.is_documented else time_unit
    recordings = []
    for source, samples, facts, side_labels in zip(sources, sets, found, labels, strict=True):
        entries = _entries(source, samples, side_labels, facts, SampleReader(source, None, size, unit))
        recordings.append(RecordingSet(classes, size[:2], tuple(entries)))
    return recordings


def _entries(
    source: SampleSource, samples: Samples, labels: list[int], facts: list[Facts], reader: SampleReader
) -> list[Entry]:
    """Return one entry for each sample; `reader` reads samples with files of their own."""
    files, groups = files_of(samples), _groups(samples)
    container = source.root if files else _container(samples, source.root)
    name = source.side or source.factory.name.rpartition(":")[2]
    entries = []
    for index, (label, (_, content), group) in enumerate(zip(labels, facts, groups, strict=True)):
        if files is None:
            numbered = replace(reader, index=index)
            entries.append(
                Entry(f"{name}/{index:06d}", container, label, group=group, reader=numbered, content=content)
            )
        else:
            path = files[index]
            key = path.relative_to(source.root) if path.is_relative_to(source.root) else path
            entries.append(Entry(key.as_posix(), path, label, group=group, reader=reader, content=content))
    # Sets list folders in the order of the file system.
    return sorted(entries, key=lambda entry: entry.key)


def _container(samples: Samples, root: Path) -> Path:
    """Return the file or folder that holds all samples, as Tonic's classes name it; else the data set's folder."""
    folder = Path(getattr(samples, "location_on_system", root))
    inner = (getattr(samples, name, "") for name in ("data_filename", "images_file", "filename", "folder_name"))
    return next((folder / name for name in inner if isinstance(name, str) and (folder / name).exists()), folder)


def _groups(samples: Samples) -> list[str] | list[None]:
    """Return the person of each sample, if the set names them: `users` of Tonic's DVSGesture."""
    users = getattr(samples, "users", None)
    if isinstance(users, list) and len(users) == len(samples):
        return [f"user{user:02d}" if isinstance(user, int) else str(user) for user in users]
    return [None] * len(samples)


def _facts(source: SampleSource, samples: Samples, sensor_size: tuple[int, int, int]) -> Iterator[Facts]:
    """Yield (label, content or None where the file decides) of each sample."""
    targets, files = getattr(samples, "targets", None), files_of(samples)
    if source.factory.is_documented and isinstance(targets, list) and len(targets) == len(samples):
        for index, label in enumerate(targets):
            yield label, None if files else f"{source.factory.name}/{source.side}/{index}"
        return
    for index in range(len(samples)):
        events, label = read_sample(samples, index, source.root)
        digest = hashlib.sha256()
        for column in sample_columns(source.root, events, sensor_size).values():
            digest.update(column.tobytes())
        yield label, None if files else digest.hexdigest()


def _sensor_size(name: str, sets: list[Samples], given: tuple[int, int] | None) -> tuple[int, int, int]:
    own = getattr(sets[0], "sensor_size", None)
    if own is None:
        if given is None:
            raise DatasetError(
                name, got="no sensor size", expected="width and height, which hold all its events",
                todo="give --set data.sensor_size=WxH (prepare: --sensor WxH)",
            )  # fmt: skip
        return (*given, 2)
    size = tuple(int(side) for side in own)
    if given is not None and size[:2] != given:
        raise DatasetError(
            name, got=f"the sensor size {given[0]}x{given[1]}", expected=f"{size[0]}x{size[1]}, its own",
            todo="leave data.sensor_size (--sensor) out",
        )  # fmt: skip
    return size[0], size[1], size[2] if len(size) > 2 else 2


@dataclass(frozen=True)
class OwnFactory:
    """Opens a user's data set: `make(folder)`, with `train=` or `split=` if it takes one of them."""

    make: Callable[..., Any]

    is_documented = False

    @property
    def name(self) -> str:
        return getattr(self.make, "__name__", type(self.make).__name__)

    def __call__(self, root: Path, side: Side | None) -> Samples:
        try:
            samples: Samples = self.make(root, **side_argument(self.make, side))
            len(samples)
        except StdlEventsError:
            raise
        except Exception as error:
            raise DatasetError(
                str(root), got=f"{type(error).__name__} while opening {self.name}: {error}",
                expected=f"a folder that {self.name} opens", todo="check the folder, or correct the data set",
            ) from error  # fmt: skip
        return samples


def side_keyword(make: Callable[..., Any]) -> str | None:
    """Return the keyword that chooses a side, "train" or "split"; None if there is none."""
    takes = inspect.signature(make).parameters
    return next((word for word in ("train", "split") if word in takes), None)


def side_argument(make: Callable[..., Any], side: Side | None) -> dict[str, object]:
    """Return the keyword argument that chooses `side`."""
    keyword = side_keyword(make)
    if side is None or keyword is None:
        return {}
    return {keyword: side == "train" if keyword == "train" else side}


def dataset_of(
    factory: SampleFactory, summary: str, *, has_sides: bool, options: tuple[str, ...], **facts: Any
) -> Dataset:
    """Return the `Dataset` that opens samples by `factory`.

    Args:
        has_sides: the set has a split of its own.
        facts: further fields of `Dataset`.
    """

    def read(
        root: str | Path, *, sensor_size: tuple[int, int] | None = None, time_unit: str | None = None
    ) -> RecordingSet:
        [recordings] = recordings_of_samples(factory, Path(root), (None,), sensor_size, time_unit)
        return recordings

    def split(root: str | Path, *, sensor_size: tuple[int, int] | None = None, time_unit: str | None = None) -> Split:
        train, test = recordings_of_samples(factory, Path(root), SIDES, sensor_size, time_unit)
        return Split(train, test, f"of {factory.name}")

    if has_sides:
        return Dataset(summary, split=split, options=options, **facts)
    return Dataset(summary, read=read, options=options, **facts)


def sample_dataset(summary: str, make: Callable[..., Any]) -> Dataset:
    """Return a `Dataset` of the samples of a PyTorch or Tonic data set, to be registered in `DATASETS`.

    Every sample is read once for its label and its content, so that equal samples are never on both sides of a split.

    Args:
        summary: one line without a full stop.
        make: (folder) -> the data set, such as its class; with a parameter `train` or `split` it has its own split.
    """
    options = ("sensor_size", "time_unit")
    return dataset_of(OwnFactory(make), summary, has_sides=side_keyword(make) is not None, options=options)
