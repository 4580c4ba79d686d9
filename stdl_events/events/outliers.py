"""Outliers among coordinates, from which a sensor size would be inferred: one bad address makes a sensor of 65536."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.events.stream import EventArray

_KEPT = 64
_SAMPLE = 4096
# A few values at least this many times as large as all others are outliers.
_FACTOR = 2
_LEAST = 64
_EVENTS_PER_OUTLIER = 200


class LargestValues:
    """The largest values of one coordinate, collected block by block."""

    def __init__(self, axis: Literal["x", "y"]) -> None:
        self._axis = axis
        self._values: npt.NDArray[Any] = np.zeros(0, np.uint16)
        self._least = -1

    def add(self, events: EventArray, bound: int) -> None:
        """Collect from the next `events`, whose values are below `bound`."""
        if bound - 1 <= self._least:
            return
        values = events[self._axis]
        if self._least >= 0:
            values = values[values > self._least]
        if len(values) > _SAMPLE:
            # The smallest of the largest of some is a bound for the largest of all, which is found faster.
            values = values[values >= _largest(values[:_SAMPLE]).min()]
        values = np.concatenate([self._values, values])
        if len(values) > _KEPT:
            values = _largest(values)
            self._least = int(values.min())
        self._values = values

    def bound(self, count: int) -> int | None:
        """Return the bound of all of `count` values but the outliers; None if there are none."""
        values = np.sort(self._values)[::-1].astype(np.int64) + 1
        allowed = min(count // _EVENTS_PER_OUTLIER, len(values) - 1)
        for outliers in range(1, allowed + 1):
            if values[outliers - 1] >= max(_LEAST, _FACTOR * values[outliers]):
                return int(values[outliers])
        return None


def _largest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.partition(values, len(values) - _KEPT)[-_KEPT:]
