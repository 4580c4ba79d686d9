"""The time in microseconds that an HDF5 file says to add to its times: `t_offset`.

DSEC has a dataset of this name beside the group of events. Files of other writers have it in that group, or as an
attribute of the group or of the file, which is said.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.events.decoder import corrupt
from stdl_events.events.formats.hdf5 import attribute, is_dataset
from stdl_events.events.stream import RecordingWarning

_NAME, _ATTRIBUTE = "t_offset", "an attribute"


def find_offset(path: Path, file: Any, dataset: str) -> int:
    """Return the `t_offset` of the times in `dataset`; 0 if there is none.

    Of several a dataset is taken before an attribute, and the inner one before the outer one.

    Raises:
        CorruptRecordingError: it is no number of microseconds.
    """
    found = [*_in_datasets(file, dataset), *_in_attributes(file, dataset)]
    if not found:
        return 0
    offset, where = found[0]
    if np.size(offset) != 1 or np.asarray(offset).dtype.kind not in "iuf":
        raise corrupt(path, 0, f"the t_offset {offset}", "a number of microseconds")
    value = np.ravel(offset)[0]
    if not -(2**62) < float(value) < 2**62:
        raise corrupt(path, 0, f"the t_offset {offset}", "a number of microseconds")
    others = [f"{float(np.ravel(other)[0]):.15g} us, {place}," for other, place in found[1:] if _differs(other, value)]
    if others or (value and where.startswith(_ATTRIBUTE)):
        unused = f"; {', '.join(others)} is not used" if others else ""
        text = f"the t_offset {float(value):.15g} us, {where}, is added to its times{unused}"
        warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=5)
    return int(value)


def _in_datasets(file: Any, dataset: str) -> Iterator[tuple[Any, str]]:
    """Yield (value, place in words) of each dataset of this name, from the group of `dataset` outwards."""
    for name in _groups(dataset):
        found = f"{name}/{_NAME}".lstrip("/")
        if found in file and is_dataset(file[found]) and file[found].shape is not None:
            yield file[found][()], f"the dataset {found}"


def _in_attributes(file: Any, dataset: str) -> Iterator[tuple[Any, str]]:
    for name in _groups(dataset):
        group = file[name or "/"]
        if _NAME in group.attrs:
            yield attribute(group, _NAME), f"{_ATTRIBUTE} of {name or 'the file'}"


def _groups(dataset: str) -> Iterator[str]:
    """Yield the names of the groups around `dataset`, outwards; the last one is empty."""
    while dataset:
        dataset = dataset.rpartition("/")[0]
        yield dataset


def _differs(other: Any, value: Any) -> bool:
    return np.size(other) == 1 and np.asarray(other).dtype.kind in "iuf" and bool(np.ravel(other)[0] != value)
