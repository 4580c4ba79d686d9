"""HDF5 files of other software: the layouts of their events.

| layout | location |
|---|---|
| columns | a group (often `events`) with one dataset each for t, x, y and p; DSEC adds `t_offset` |
| records | one dataset of t, x, y and p, as in Metavision's `CD/events` |
| table | one dataset of four columns called `events`, as MVSEC's |

Compression that needs a missing plugin is reported by name before reading.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import MissingExtraError, RecordingError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt
from stdl_events.events.formats import columns
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.hdf5 import MAGIC, hdf5_file, is_dataset, missing_filters

_ECF_FILTER = 0x8ECF
_MAX_ITEMS = 10_000


@dataclass(frozen=True)
class Layout:
    """For t, x, y and p: the dataset, and the name or index of the column if it has several."""

    columns: dict[str, tuple[str, str | int | None]]
    name: str

    def read(self, file: Any, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return rows `start` to `stop` of every column."""
        parts = {name: file[name][start:stop] for name in sorted({name for name, _ in self.columns.values()})}
        return {field: _column(parts[name], column) for field, (name, column) in self.columns.items()}


def _column(part: npt.NDArray[Any], column: str | int | None) -> npt.NDArray[Any]:
    if column is None:
        return part
    return part[column] if isinstance(column, str) else part[:, column]


@dataclass(frozen=True)
class Hdf5Decoder:
    """Decoder of one layout of an HDF5 file."""

    path: Path
    header: Header
    layout: Layout
    count: int
    us_per_unit: float
    t_offset_us: int

    def blocks(self) -> Iterator[Block]:
        with hdf5_file(self.path) as file:
            for start in range(0, self.count, BLOCK_EVENTS):
                parts = self.layout.read(file, start, min(start + BLOCK_EVENTS, self.count))
                events = columns.to_events(self.path, 0, parts, self.us_per_unit)
                events["t"] += self.t_offset_us
                yield Block(events, 0)


def open_hdf5(path: Path) -> Hdf5Decoder:
    """Find the events in an HDF5 file of other software.

    Raises:
        UnknownFormatError: no layout fits.
        RecordingError: several layouts fit.
        MissingExtraError: the data are compressed with a filter that is not installed.
        CorruptRecordingError: the file is damaged.
    """
    with hdf5_file(path) as file:
        layouts = _find_layouts(path, file)
        if not layouts:
            raise UnknownFormatError(
                str(path), got=f"an HDF5 file with {', '.join(list(file)[:8]) or 'nothing'} in it",
                expected="datasets t, x, y and p in one group, or one dataset of these",
                todo="convert it with its own software",
            )  # fmt: skip
        if len(layouts) > 1:
            raise RecordingError(
                str(path), got=f"events in {len(layouts)} places ({', '.join(layout.name for layout in layouts[:8])})",
                expected="events in one place", todo="copy the one that is wanted to a file of its own",
            )  # fmt: skip
        layout = layouts[0]
        for name, _ in layout.columns.values():
            _check_filters(path, file[name])
        counts = {field: int(file[name].shape[0]) for field, (name, _) in layout.columns.items()}
        if len(set(counts.values())) > 1:
            raise corrupt(path, 0, f"columns of different lengths ({counts})", "columns of one length")
        first_t = layout.read(file, 0, min(BLOCK_EVENTS, counts["t"]))["t"]
        offset = file["t_offset"][()] if "t_offset" in file and is_dataset(file["t_offset"]) else 0
        if np.ndim(offset) != 0 or not -(2**62) < float(offset) < 2**62:
            raise corrupt(path, 0, f"the t_offset {offset}", "a number of microseconds")
        size = _sensor_size(path, file)
        header = Header(size, "header" if size else None)
        return Hdf5Decoder(path, header, layout, counts["t"], columns.time_scale(first_t), int(offset))


def _find_layouts(path: Path, file: Any) -> list[Layout]:
    """Return all locations of t, x, y and p in the file."""
    datasets: dict[str, Any] = {}

    def note(name: str, item: Any) -> bool | None:
        if is_dataset(item):
            datasets[name] = item
        return True if len(datasets) > _MAX_ITEMS else None

    file.visititems(note)
    layouts = []
    groups: dict[str, dict[str, str]] = {}
    for name, dataset in datasets.items():
        group, _, own_name = name.rpartition("/")
        if dataset.dtype.names and len(dataset.shape) == 1 and columns.has_all_names(dataset.dtype.names):
            matched = columns.match_names(path, dataset.dtype.names)
            layouts.append(Layout({field: (name, column) for field, column in matched.items()}, name))
        elif own_name == "events" and len(dataset.shape) == 2 and dataset.shape[1] == 4:
            _check_filters(path, dataset)
            order = columns.match_values(path, dataset[:BLOCK_EVENTS])
            layouts.append(Layout({field: (name, index) for field, index in order.items()}, name))
        elif len(dataset.shape) == 1:
            groups.setdefault(group, {})[own_name] = name
    for group, names in groups.items():
        if columns.has_all_names(list(names)):
            matched = columns.match_names(path, list(names))
            layouts.append(Layout({field: (names[column], None) for field, column in matched.items()}, group or "/"))
    return layouts


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


def _sensor_size(path: Path, file: Any) -> tuple[int, int] | None:
    """Return (width, height) from the file's attributes `width` and `height`, or Metavision's `geometry`."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(file.attrs.get("geometry", "")))
    if found:
        size = int(found.group(1)), int(found.group(2))
    elif "width" in file.attrs and "height" in file.attrs:
        size = int(file.attrs["width"]), int(file.attrs["height"])
    else:
        return None
    if not (0 < size[0] <= 65536 and 0 < size[1] <= 65536):
        raise corrupt(path, 0, f"the sensor size {size[0]}x{size[1]} in the attributes", "1 to 65536 pixels")
    return size


FORMAT = Format("HDF5 of other software", open_hdf5, (".h5", ".hdf5"), (Signature(MAGIC),))
