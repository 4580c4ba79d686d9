"""Samples as labelled recordings, and their data sets as entries of the registry of datasets."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from stdl_events.errors import DatasetError
from stdl_events.recordings.datasets.sample_events import sample_columns
from stdl_events.recordings.datasets.sample_labels import class_indices
from stdl_events.recordings.datasets.samples import (
    SIDES,
    OwnFactory,
    SampleFactory,
    SampleReader,
    Samples,
    SampleSource,
    Side,
    files_of,
    forget_opened,
    read_sample,
    sample_name,
    side_keyword,
)
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.registry import Dataset

Facts: TypeAlias = tuple[object, str | None]
"""Label of a sample, and its content if no file of its own tells it."""


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
    forget_opened()
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
            path, key, own_reader = container, f"{name}/{index:06d}", replace(reader, index=index)
        else:
            path, own_reader = files[index], reader
            key = (path.relative_to(source.root) if path.is_relative_to(source.root) else path).as_posix()
        entries.append(Entry(key, path, label, group=group, subject=group, reader=own_reader, content=content))
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
        for column in sample_columns(sample_name(source.root, index), events, sensor_size).values():
            digest.update(column.tobytes())
        if not len(events):  # nothing leaks by what holds no event
            digest.update(str(index).encode())
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
    try:
        size = tuple(int(side) for side in own)
        is_size = len(size) in (2, 3) and all(side == given for side, given in zip(size, own, strict=True))
    except (TypeError, ValueError):
        is_size = False
    if not is_size:
        raise DatasetError(
            name, got=f"sensor_size {own!r}", expected="whole numbers (width, height) or (width, height, polarities)",
            todo="correct sensor_size of the data set",
        )  # fmt: skip
    if given is not None and size[:2] != given:
        raise DatasetError(
            name, got=f"the sensor size {given[0]}x{given[1]}", expected=f"{size[0]}x{size[1]}, its own",
            todo="leave data.sensor_size (--sensor) out",
        )  # fmt: skip
    return size[0], size[1], size[2] if len(size) > 2 else 2


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
