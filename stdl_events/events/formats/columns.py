"""Columns of events in foreign names or orders: assignment to t, x, y and p, units, and conversion.

| column | interpretation |
|---|---|
| time | integers: microseconds, or nanoseconds above 10^17; numbers with fractions: seconds |
| polarity | True, or greater than 0: brighter; False, 0 or -1: darker |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import corrupt
from stdl_events.events.stream import EVENT_DTYPE, EventArray

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps", "t_us"),
    "x": ("x", "xs", "x_pos"),
    "y": ("y", "ys", "y_pos"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
_NANOSECONDS_ABOVE = 10**17
_PIXELS = 65536


def has_all_names(names: Sequence[str]) -> bool:
    """True if `names` has one each for t, x, y and p."""
    lower = {name.lower() for name in names}
    return all(lower.intersection(aliases) for aliases in NAMES.values())


def match_names(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Assign t, x, y and p to `names`.

    Raises:
        UnknownFormatError: a column is missing.
    """
    by_lower = {name.lower(): name for name in names}
    found = {
        field: by_lower[alias]
        for field, aliases in reversed(NAMES.items())
        for alias in reversed(aliases)
        if alias in by_lower
    }
    missing = [field for field in NAMES if field not in found]
    if missing:
        raise UnknownFormatError(
            str(path),
            got=f"columns named {', '.join(names) or 'nothing'}",
            expected=f"columns t, x, y and p ({', '.join(missing)} not found)",
            todo="rename the columns",
        )
    return found


def match_values(path: Path, table: npt.NDArray[Any]) -> dict[str, int]:
    """Assign t, x, y and p to the columns of an unnamed [N, 4] table: t increases, p has two values.

    The remaining columns are x and y, in this order.

    Raises:
        UnknownFormatError: the assignment is ambiguous, or the table is not [N, 4].
    """
    orders = ({"t": 0, "x": 1, "y": 2, "p": 3}, {"x": 0, "y": 1, "t": 2, "p": 3}, {"x": 0, "y": 1, "p": 2, "t": 3})
    fitting = [
        order
        for order in orders
        if table.ndim == 2
        and table.shape[1] == len(order)
        and _can_be_polarity(table[:, order["p"]])
        and _can_be_pixels(table[:, [order["x"], order["y"]]])
    ]
    if len(fitting) > 1:
        # Pixels seldom increase all the time, and never by as much as time does.
        fitting = [order for order in fitting if _rises(table[:, order["t"]])] or fitting
        fitting = sorted(fitting, key=lambda order: -float(np.ptp(table[:, order["t"]]))) if len(table) else fitting
    if not fitting:
        raise UnknownFormatError(
            str(path),
            got=f"an unnamed table of shape {list(table.shape)}",
            expected="four columns in the order t x y p, x y t p or x y p t",
            todo="name the columns t, x, y and p (a structured array, a header line, or arrays of these names)",
        )
    return fitting[0]


def _can_be_polarity(column: npt.NDArray[Any]) -> bool:
    return bool(np.isin(column, (0, 1)).all() or np.isin(column, (-1, 1)).all())


def _can_be_pixels(columns: npt.NDArray[Any]) -> bool:
    return bool(((columns >= 0) & (columns < _PIXELS) & (columns == np.floor(columns))).all())


def _rises(column: npt.NDArray[Any]) -> bool:
    return bool((column[1:] >= column[:-1]).all())


def time_scale(t: npt.NDArray[Any]) -> float:
    """Return microseconds per unit of `t`, judged by its first values."""
    if t.dtype.kind == "f":
        finite = t[np.isfinite(t)]
        return 1e6 if (finite != np.floor(finite)).any() else 1.0
    return 1e-3 if len(t) and int(t[0]) > _NANOSECONDS_ABOVE else 1.0


def to_events(path: Path, offset: int, columns: Mapping[str, npt.NDArray[Any]], us_per_unit: float) -> EventArray:
    """Return the events of the columns t, x, y and p, stored at byte `offset` of the file.

    Raises:
        CorruptRecordingError: the columns differ in length, a value is not finite, or a coordinate is out of range.
    """
    lengths = {name: len(columns[name]) for name in NAMES}
    if len(set(lengths.values())) > 1:
        raise corrupt(path, offset, f"columns of different lengths ({lengths})", "columns of one length")
    for name in NAMES:
        if columns[name].dtype.kind not in "iufb" or columns[name].ndim != 1:
            got = f"the column {name} of type {columns[name].dtype} and shape {columns[name].shape}"
            raise corrupt(path, offset, got, "one number per event")
    t = columns["t"]
    if t.dtype.kind == "f" and not (np.abs(t) * us_per_unit < 2**62).all():
        raise corrupt(path, offset, "a time that is not a finite number of microseconds", "times")
    if t.dtype == np.uint64 and (t > np.uint64(2**62)).any():
        raise corrupt(path, offset, "a time above 2^62", "microseconds")
    for name in "xy":
        pixel = columns[name]
        if not ((pixel >= 0) & (pixel < _PIXELS)).all():
            raise corrupt(path, offset, f"a value of {name} outside 0 to 65535", "pixels")
    events = np.empty(lengths["t"], EVENT_DTYPE)
    if us_per_unit == 1.0:
        events["t"] = t
    elif us_per_unit < 1.0:
        events["t"] = t.astype(np.int64) // round(1 / us_per_unit)
    else:
        events["t"] = np.rint(t.astype(np.float64) * us_per_unit)
    events["x"] = columns["x"]
    events["y"] = columns["y"]
    events["p"] = columns["p"] > 0
    return events
