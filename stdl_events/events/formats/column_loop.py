"""Columns t, x, y and p to events as one loop, compiled by numba; `column_reading` does the same without it.

It takes usual values only: pixels of a possible sensor, known codes of polarity, and times that fit. Imported only
where `LOADING` says that it pays.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import cached_njit
from stdl_events.events.formats.columns import NAMES
from stdl_events.events.stream import EVENT_DTYPE, EventArray

_PIXELS = np.uint64(65536)
_MOST_US = 1 << 62


class Usual(NamedTuple):
    """What usual columns hold.

    Attributes:
        us_per_unit: of the times, whole or one over a whole number.
        off, on: the codes of polarity.
    """

    us_per_unit: float
    off: int
    on: int


def to_events(columns: Mapping[str, npt.NDArray[Any]], usual: Usual) -> EventArray | None:
    """Return the events of int64 columns, of which t may be float64; None if one is not usual.

    Fractions of microseconds are rounded down in whole numbers, and to the nearest in numbers with fractions.
    """
    t, x, y, p = (columns[name] for name in NAMES)
    events = np.empty(len(t), EVENT_DTYPE)
    scale, divisor = (round(usual.us_per_unit), 1) if usual.us_per_unit >= 1 else (1, round(1 / usual.us_per_unit))
    if t.dtype.kind == "f":
        is_usual = scale > 1 and _real_times(t, events["t"], float(scale))
    else:
        is_usual = _whole_times(t, events["t"], scale, divisor)
    if not is_usual or not _pixels(x, y, p, usual.off, usual.on, events["x"], events["y"], events["p"]):
        return None
    return events


@cached_njit()
def _whole_times(t: Any, t_us: Any, scale: int, divisor: int) -> Any:
    most = _MOST_US // scale
    low = high = np.int64(0)
    for index in range(len(t)):
        low, high = min(low, t[index]), max(high, t[index])
        t_us[index] = t[index] * scale if divisor == 1 else t[index] // divisor
    return -most <= low and high <= most


@cached_njit()
def _real_times(t: Any, t_us: Any, scale: float) -> Any:
    are_usual: Any = True
    for index in range(len(t)):
        time_us = np.rint(t[index] * scale)
        are_usual &= abs(time_us) < _MOST_US  # False for what is not a number
        t_us[index] = np.int64(time_us)
    return are_usual


@cached_njit()
def _pixels(x: Any, y: Any, p: Any, off: int, on: int, new_x: Any, new_y: Any, new_p: Any) -> Any:
    are_usual: Any = True
    for index in range(len(x)):
        new_x[index], new_y[index], new_p[index] = x[index], y[index], p[index] == on
        # As unsigned numbers negative ones are large.
        are_usual &= (np.uint64(x[index]) | np.uint64(y[index])) < _PIXELS
        are_usual &= (p[index] == on) | (p[index] == off)
    return are_usual
