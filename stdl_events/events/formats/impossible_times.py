"""Times in tables that are no number, or too large for one of microseconds: their events are left out later."""

from typing import Any

import numpy as np
import numpy.typing as npt

_BOUND = 2**62


def are_impossible(t: npt.NDArray[Any], us_per_unit: float = 0.0) -> npt.NDArray[np.bool_] | None:
    """Return the mask of the impossible times; None if there are none.

    Args:
        t: numbers or, as whole ones, dates.
        us_per_unit: 0 while it is not known.
    """
    if not len(t):
        return None
    scale = us_per_unit or 1.0
    most = _BOUND // round(scale) if scale >= 1 else _BOUND
    if t.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            odd = ~(np.abs(t.astype(np.float64, copy=False)) * scale < _BOUND)
    elif t.dtype.kind == "u":
        odd = t > np.uint64(most) if t.dtype.itemsize == np.dtype(np.uint64).itemsize else t > most
    else:
        odd = (t > most) | (t < -most)
    return odd if odd.any() else None


def filled(t: npt.NDArray[Any], odd: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return `t` with the last time before each of the `odd` ones in its place, so that they show no pause."""
    good = np.flatnonzero(~odd)
    if not len(good):
        return np.zeros_like(t)
    last = np.searchsorted(good, np.arange(len(t)), side="right") - 1
    return t[good[np.maximum(last, 0)]]
