"""Times in two columns, whole seconds and their parts, as ROS writes them: `sec` and `nsec`, `t_sec` and `t_usec`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.events.decoder import corrupt

# The field of the second column by its unit; that of the first one is t.
PART_FIELDS = {"ns": "t_ns", "us": "t_us"}
_PER_SECOND = {"ns": 10**9, "us": 10**6}
_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ns": ("ns", "nsec", "nsecs", "nanosec", "nanosecs", "nanosecond", "nanoseconds"),
    "us": ("us", "µs", "μs", "usec", "usecs", "microsec", "microsecs", "microsecond", "microseconds"),
}
_UNIT = {word: unit for unit, words in _WORDS.items() for word in words}


def find_pair(names: Sequence[str]) -> dict[str, str]:
    """Return the names of the columns t and t_ns or t_us; nothing if no two names are a pair."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        *stem, word = re.split(r"[_./\s-]+", name.strip().lower())
        if word in _UNIT:
            found.setdefault("_".join(stem), {}).setdefault(_UNIT[word], name)
    for units in found.values():
        for unit, field in PART_FIELDS.items():
            if "s" in units and unit in units:
                return {"t": units["s"], field: units[unit]}
    return {}


def unit_of_pair(fields: Mapping[str, Any]) -> str | None:
    """Return the unit of the joined times of the columns `fields`; None if they hold no pair."""
    return next((unit for unit, field in PART_FIELDS.items() if field in fields), None)


def joined(path: Path, offset: int, columns: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
    """Return `columns` with the pair, if there is one, as whole numbers of the part's unit in t.

    Raises:
        CorruptRecordingError: seconds have fractions, or a part is no part of a second.
    """
    unit = unit_of_pair(columns)
    if unit is None:
        return columns
    seconds, parts = columns["t"], columns[PART_FIELDS[unit]]
    per_second = _PER_SECOND[unit]
    for values, least, most in ((seconds, -(2**33), 2**33), (parts, 0, per_second - 1)):
        if (
            values.dtype.kind not in "iuf"
            or values.ndim != 1
            or not ((values >= least) & (values <= most) & (values == np.floor(values))).all()
        ):
            raise corrupt(
                path, offset, f"columns of seconds and {unit} that are no whole seconds and their parts",
                "such, or one column of times, chosen with --columns such as -,t,x,y,p",
            )  # fmt: skip
    times = seconds.astype(np.int64) * per_second + parts.astype(np.int64)
    return {name: values for name, values in columns.items() if name != PART_FIELDS[unit]} | {"t": times}
