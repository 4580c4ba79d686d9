"""The sensor size in HDF5 files of other software."""

from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.events.formats.hdf5 import attribute, is_dataset
from stdl_events.events.formats.hdf5_attributes import value_of
from stdl_events.events.formats.stated_size import find_size, is_size

_MOST_SIDES = 3


def find_sensor_size(path: Path, file: Any, place: str) -> tuple[int, int] | None:
    """Return (width, height) for the events at `place`, a group or dataset; None if the file does not store it.

    It is looked for at `place`, in the groups around it and in their groups `calib` (M3ED), in attributes and small
    datasets, see `stated_size`.
    """
    parts = [part for part in place.split("/") if part]
    for depth in range(len(parts), -1, -1):
        where = "/".join(parts[:depth]) or "/"
        for name in (where, f"{where}/calib"):
            size = _size_at(path, file[name]) if name in file else None
            if size is not None:
                return size
    return None


def _size_at(path: Path, item: Any) -> tuple[int, int] | None:
    names = [name for name in item.attrs if is_size(name)]
    if not is_dataset(item):
        names += [name for name in item if is_size(name) and name not in names and _is_small(item[name])]
    return find_size(path, names, lambda name: _values(item, name))


def _is_small(item: Any) -> bool:
    return is_dataset(item) and item.shape is not None and item.size <= _MOST_SIDES


def _values(item: Any, name: str) -> list[Any]:
    """Return the numbers or texts of an attribute, or of a small dataset."""
    array = np.asarray(attribute(item, name, ()) if name in item.attrs else value_of(item[name])).ravel()
    values: list[Any] = array[: _MOST_SIDES + 1].tolist() if array.dtype.kind in "iufSUO" else []
    return values
