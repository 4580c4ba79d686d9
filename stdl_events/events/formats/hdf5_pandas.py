"""Tables of pandas in HDF5 files, as `DataFrame.to_hdf` writes them: the names of their columns, and where these are.

The fixed format has a dataset [N, k] for the k columns of each type, `block0_values`, with their names in
`block0_items`. The table format has one dataset of records with a field for each type, whose names are pickled in an
attribute; strings are taken from pickles without executing them. An index with a name is a column too. Source:
pandas/io/pytables.py.
"""

import pickletools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from stdl_events.events.formats.hdf5 import attribute

_DATES = re.compile(r"(?:datetime|timedelta)64\[([mun]?s)")

_NO_NAMES = ("", "N.")  # of an index: the second one is a pickled None
# The dataset, and the column in it: its index, its field, or the index within a field; None for all of the dataset.
Where = tuple[str, str | int | tuple[str, int] | None]


def find_frames(file: Any, datasets: Iterable[str]) -> Iterator[tuple[str, dict[str, Where]]]:
    """Yield (group, the place of each column by its name, in the frame's order) of every frame in `file`."""
    for group in sorted({name.rpartition("/")[0] for name in datasets}):
        kind = _text(_attribute(file[group or "/"], "pandas_type"))
        if kind in ("frame", "frame_table"):
            named = _fixed(file, group) if kind == "frame" else _table(file, group)
            yield group, {name: where for name, where in named if name not in _NO_NAMES}


def unit_of_frame(file: Any, where: Where) -> str | None:
    """Return the unit of the dates or durations in a column, None of others."""
    name, column = where
    key = f"{column[0]}_dtype" if isinstance(column, tuple) else "value_type"
    found = _DATES.match(_text(_attribute(file[name], key)))
    return found[1] if found else None


def _fixed(file: Any, group: str) -> Iterator[tuple[str, Where]]:
    places: dict[str, Where] = {}
    for block in range(int(_attribute(file[group], "nblocks") or 0)):
        values = f"{group}/block{block}_values"
        names = _names(file[f"{group}/block{block}_items"])
        if len(file[values].shape) == 2 and file[values].shape[1] == len(names):
            places |= {name: (values, index) for index, name in enumerate(names)}
    index = f"{group}/axis1"
    if index in file and file[index].ndim == 1:
        yield _text(_attribute(file[index], "name")), (index, None)
    yield from ((name, places[name]) for name in _names(file[f"{group}/axis0"]) if name in places)


def _table(file: Any, group: str) -> Iterator[tuple[str, Where]]:
    table = file[f"{group}/table"]
    places: dict[str, Where] = {}
    for field in table.dtype.names:
        if f"{field}_kind" in table.attrs and table.dtype[field].shape:
            names = _strings(_attribute(table, f"{field}_kind"))
            places |= {name: (table.name, (field, index)) for index, name in enumerate(names)}
        else:
            places[field] = (table.name, field)
    if "index" in places:
        yield _index_name(file, group), places["index"]
    yield from ((name, places[name]) for name in _strings(_attribute(file[group], "non_index_axes")) if name in places)


def _names(dataset: Any) -> list[str]:
    return list(map(_text, dataset[()])) if dataset.dtype.kind == "S" else []


def _attribute(item: Any, name: str) -> Any:
    """Return an attribute of numbers or text; nothing if there is none."""
    return attribute(item, name, "")


def _index_name(file: Any, group: str) -> str:
    """Return the name of a table's index, which is empty for one without."""
    info = [*_pickled(_attribute(file[group], "info")), None]
    return (info[info.index("index_name") + 1] if "index_name" in info else None) or ""


def _strings(pickled: Any) -> list[str]:
    return [value for value in _pickled(pickled) if value is not None]


def _pickled(pickled: Any) -> list[str | None]:
    """Return the strings and the Nones in a pickle, which is not executed."""
    data = bytes(pickled) if isinstance(pickled, bytes) else b"."
    operations = [(operation.name, value) for operation, value, _ in pickletools.genops(data)]
    return [None if name == "NONE" else str(value) for name, value in operations if name == "NONE" or "UNICODE" in name]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, np.bytes_)) else str(value)
