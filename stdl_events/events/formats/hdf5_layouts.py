"""HDF5 files of other software: the layouts of their events.

| layout | location |
|---|---|
| columns | a group (often `events`) with one dataset each for t, x, y and p; DSEC adds `t_offset`, see `hdf5_offset` |
| records | one dataset of t, x, y and p, as in Metavision's `CD/events` |
| table | one dataset [N, 4] or [4, N] whose name contains `event`, as MVSEC's |

A table of pandas (`to_hdf`) is one by the names of its columns, see `hdf5_pandas`.
Columns may be [N, 1] or [1, N]. A file with several of these has as many streams, numbered in the order of their names.

Compression that needs a missing plugin is reported by name before reading.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stdl_events.errors import MissingExtraError, RecordingError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt
from stdl_events.events.formats import columns
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.hdf5 import MAGIC, attribute, hdf5_file, is_dataset, missing_filters
from stdl_events.events.formats.hdf5_offset import find_offset
from stdl_events.events.formats.hdf5_pandas import find_frames, unit_of_frame
from stdl_events.events.formats.hdf5_size import find_sensor_size
from stdl_events.events.formats.split_seconds import unit_of_pair

_MATLAB_73 = b"MATLAB 7.3 MAT-file"  # HDF5 after 512 bytes of text
_ECF_FILTER = 0x8ECF
_MAX_ITEMS, _NAMED = 10_000, 8
_GROUP_UNITS = ("time_unit", "time_units", "timestamp_unit", "timestamp_units")


@dataclass(frozen=True)
class Place:
    """The place of one column: the dataset, the axis of its events, and the column in it, see `hdf5_pandas.Where`."""

    dataset: str
    event_axis: int = 0
    column: str | int | tuple[str, int] | None = None

    def read(self, file: Any, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows `start` to `stop` of the dataset: [n], or [n, 4] of a table."""
        dataset = file[self.dataset]
        if dataset.ndim == 1:
            return dataset[start:stop]
        part = dataset[:, start:stop].T if self.event_axis else dataset[start:stop]
        return part if isinstance(self.column, int) else part[:, 0]


@dataclass(frozen=True)
class Layout:
    """The places of t, x, y and p, and the unit of time that the name of a column in a frame of pandas states."""

    places: dict[str, Place]
    name: str
    unit: str | None = None

    def read(self, file: Any, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return rows `start` to `stop` of every column."""
        parts: dict[str, npt.NDArray[Any]] = {}
        for place in self.places.values():
            if place.dataset not in parts:
                parts[place.dataset] = place.read(file, start, stop)
        return {field: _column(parts[place.dataset], place.column) for field, place in self.places.items()}


def _column(part: npt.NDArray[Any], column: str | int | tuple[str, int] | None) -> npt.NDArray[Any]:
    if column is None:
        return part
    if isinstance(column, tuple):
        return part[column[0]][:, column[1]]
    return part[column] if isinstance(column, str) else part[:, column]


@dataclass(frozen=True)
class Hdf5Decoder:
    """Decoder of one layout of an HDF5 file."""

    path: Path
    header: Header
    layout: Layout
    count: int
    reading: ColumnReading

    def blocks(self) -> Iterator[Block]:
        self.reading.restart()
        with hdf5_file(self.path) as file:
            for start in range(0, self.count, BLOCK_EVENTS):
                parts = self.layout.read(file, start, min(start + BLOCK_EVENTS, self.count))
                yield self.reading.to_block(0, parts)


def open_hdf5(path: Path, stream: int | None = None, asked: tuple[str, ...] | None = None) -> Hdf5Decoder:
    """Find the events in an HDF5 file of other software.

    Args:
        stream: the number of one of several places of events, in the order of their names.
        asked: the fields of the columns, by their place; datasets of a group are in the order of their names.

    Raises:
        UnknownFormatError: no layout fits.
        RecordingError: several layouts fit and `stream` is None, or `stream` is none of them.
        MissingExtraError: the data are compressed with a filter that is not installed.
        CorruptRecordingError: the file is damaged.
    """
    with hdf5_file(path) as file:
        layout = _choose(path, *_find_layouts(path, file, asked), stream)
        for place in layout.places.values():
            _check_filters(path, file[place.dataset])
        counts = {field: int(file[place.dataset].shape[place.event_axis]) for field, place in layout.places.items()}
        if len(set(counts.values())) > 1:
            raise corrupt(path, 0, f"columns of different lengths ({counts})", "columns of one length")
        t_offset_us = find_offset(path, file, layout.places["t"].dataset)
        size = find_sensor_size(path, file, layout.name)
        unit = unit_of_pair(layout.places) or layout.unit or _unit(path, file, layout.places["t"])
        reading = ColumnReading(path, unit, t_offset_us)
        header = Header(size, "header" if size else None, interpretation=reading)
        return Hdf5Decoder(path, header, layout, counts["t"], reading)


def _choose(path: Path, layouts: list[Layout], content: list[str], stream: int | None) -> Layout:
    if not layouts:
        more = f" and {len(content) - _NAMED} more" if len(content) > _NAMED else ""
        raise UnknownFormatError(
            str(path), got=f"an HDF5 file with {', '.join(content[:_NAMED]) or 'nothing'}{more} in it",
            expected="datasets t, x, y and p in one group, or one dataset of these",
            todo="say what the columns of its only table or group hold with --columns (columns=), or convert it",
        )  # fmt: skip
    names = ", ".join(f"{number}: {layout.name}" for number, layout in enumerate(layouts[:8]))
    if stream is None and len(layouts) > 1:
        raise RecordingError(
            str(path), got=f"events in {len(layouts)} places ({names})",
            expected="the number of one of them", todo="pass it as --stream N (stream=N)",
        )  # fmt: skip
    if stream is not None and not 0 <= stream < len(layouts):
        raise RecordingError(
            str(path), got=f"the stream {stream}", expected=f"one of {names}", todo="pass its number as --stream N"
        )
    return layouts[stream or 0]


def _unit(path: Path, file: Any, place: Place) -> str | None:
    """Return the unit of time that the attribute `units`, the name of the column, or an attribute of a group states."""
    item = file[place.dataset]
    stated = next((attribute(item, name, "") for name in ("units", "unit", *_GROUP_UNITS) if name in item.attrs), "")
    name = place.column if isinstance(place.column, str) else place.dataset.rpartition("/")[2]
    named = columns.unit_of_name(name) if place.column is None or isinstance(place.column, str) else None
    dtype = file[place.dataset].dtype
    dated = columns.unit_of_dates(path, dtype[place.column] if isinstance(place.column, str) else dtype)
    dated = dated or unit_of_frame(file, (place.dataset, place.column))
    return dated or columns.stated_unit(path, stated) or named or _unit_of_groups(file, place.dataset)


def _unit_of_groups(file: Any, dataset: str) -> str | None:
    """Return the unit that an attribute of the innermost group around `dataset` states."""
    while dataset:
        dataset = dataset.rpartition("/")[0]
        group = file[dataset or "/"]
        for name in _GROUP_UNITS:
            unit = columns.unit_of_word(attribute(group, name, ""))
            if unit is not None:
                return unit
    return None


def _find_layouts(path: Path, file: Any, asked: tuple[str, ...] | None) -> tuple[list[Layout], list[str]]:
    """Return (all locations of t, x, y and p, or of as many columns as asked; the names of all datasets), in order.

    A table without names is one if it is called an event, or if it is the only one of four columns.
    """
    datasets: dict[str, Any] = {}

    def note(name: str, item: Any) -> bool | None:
        if is_dataset(item) and item.shape is not None:
            datasets[name] = item
        return True if len(datasets) > _MAX_ITEMS else None

    file.visititems(note)
    layouts, odd, tables = [], [], []
    frames = dict(find_frames(file, datasets))
    inside = tuple(f"{frame}/" for frame in frames)
    for group, by_name in frames.items():
        if _has_columns(list(by_name), asked):
            found = columns.match(path, list(by_name), asked)
            places = {field: Place(by_name[name][0], column=by_name[name][1]) for field, name in found.items()}
            layouts.append(Layout(places, group or "/", columns.unit_of_times(found) if asked is None else None))
    groups: dict[str, dict[str, str]] = {}
    for name, dataset in datasets.items():
        group, _, own_name = name.rpartition("/")
        if name.startswith(inside):
            continue
        if dataset.dtype.names:
            if _is_column(dataset.shape) and _has_columns(dataset.dtype.names, asked):
                matched = columns.match(path, dataset.dtype.names, asked)
                places = {
                    field: Place(name, _event_axis(dataset.shape, 1), column) for field, column in matched.items()
                }
                layouts.append(Layout(places, name))
        elif asked is not None and len(dataset.shape) == 2 and len(asked) in dataset.shape:
            axis = _event_axis(dataset.shape, len(asked))
            order = columns.places_of(path, asked, len(asked))
            layouts.append(Layout({field: Place(name, axis, index) for field, index in order.items()}, name))
        elif asked is None and len(dataset.shape) == 2 and 4 in dataset.shape:
            tables.append((name, "event" in own_name.lower()))
        elif _is_column(dataset.shape):
            groups.setdefault(group, {})[own_name] = name
    for group, names in groups.items():
        if _has_columns(list(names), asked):
            places = {
                field: Place(names[column], _event_axis(datasets[names[column]].shape, 1))
                for field, column in columns.match(path, list(names), asked).items()
            }
            layouts.append(Layout(places, group or "/"))
    if not layouts and len(tables) == 1:
        tables = [(name, True) for name, _ in tables]
    for name, is_named in tables:
        try:
            layouts += [_table(path, name, datasets[name])] if is_named else []
        except UnknownFormatError as error:
            odd.append(error)
    if odd and not layouts:
        raise odd[0]
    others = [name for name in datasets if not name.startswith(inside)]
    content = [f"{frame}/{name}" for frame, by_name in frames.items() for name in by_name if name]
    return sorted(layouts, key=lambda layout: layout.name), content + others


def _has_columns(names: Sequence[str], asked: tuple[str, ...] | None) -> bool:
    return columns.has_all_names(names) if asked is None else len(names) == len(asked)


def _table(path: Path, name: str, dataset: Any) -> Layout:
    _check_filters(path, dataset)
    axis = _event_axis(dataset.shape, 4)
    order = columns.match_values(path, dataset[:, :BLOCK_EVENTS].T if axis else dataset[:BLOCK_EVENTS])
    return Layout({field: Place(name, axis, index) for field, index in order.items()}, name)


def _is_column(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or (len(shape) == 2 and 1 in shape)


def _event_axis(shape: tuple[int, ...], width: int) -> int:
    """Return the axis of the events in a dataset of `width` numbers per event."""
    return 0 if len(shape) == 1 or shape[1] == width else 1


def _check_filters(path: Path, dataset: Any) -> None:
    if missing_filters(dataset):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401  # importing it installs its filters
    missing = missing_filters(dataset)
    if not missing:
        return
    if _ECF_FILTER in missing:
        raise MissingExtraError(
            str(path), got="data compressed with Prophesee's ECF codec, which is not installed",
            expected="the HDF5 plugin hdf5_ecf on HDF5_PLUGIN_PATH",
            todo="install it, or convert the file to RAW with Metavision's metavision_hdf5_to_raw or to CSV",
        )  # fmt: skip
    raise MissingExtraError(
        str(path), got=f"data compressed with the HDF5 filter {missing[0]}, which is not installed",
        expected="the package hdf5plugin, which brings Blosc, Zstandard and others",
        todo="pip install 'stdl-events[formats]'",
    )  # fmt: skip


FORMAT = Format(
    "HDF5 of other software",
    open_hdf5,
    (".h5", ".hdf5"),
    (Signature(MAGIC), Signature(_MATLAB_73)),
    open_stream=open_hdf5,
    open_columns=lambda path, asked, stream: open_hdf5(path, stream, asked),
)
