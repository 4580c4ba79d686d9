"""Unwrapping of clocks."""

from typing import Any

import numpy as np
import numpy.typing as npt

_BITS_OF_HOURS = 28
_BITS, _RANGE, _EDGE = 32, 1 << 32, 1 << 26


class UnwrappedClock:
    """Unwraps a counter of `bits` bits, block by block.

    A backward step of more than half the range is a wrap; of more than three quarters if the range is hours long, where
    a smaller one is rather a reset of the clock than a pause of a quarter of the range. After a wrap, a forward step of
    more than half the range is a late event from before the wrap. Smaller backward steps are disorder and stay.

    Args:
        step: the least step that is a wrap, and a late event after one, if it is another one.
    """

    def __init__(self, bits: int = 32, step: int | None = None) -> None:
        self.last: int | None = None
        self._bits = bits
        self._half = step or 1 << (bits - 1)
        self._wrap = step or (3 << (bits - 2) if bits >= _BITS_OF_HOURS else self._half)
        self._wraps = 0

    @property
    def has_wrapped(self) -> bool:
        """True if the last time counts from after a wrap."""
        return self._wraps > 0

    def unwrap(self, counter: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return `counter`, which continues the previous block, as int64 with wraps added."""
        t = counter.astype(np.int64)
        if not len(t):
            return t
        previous, self.last = int(t[0]) if self.last is None else self.last, int(t[-1])
        if self._wraps == 0 and max(int(t.max()), previous) - int(t.min()) <= self._wrap:
            return t
        steps = np.diff(t, prepend=previous)
        if self._wraps == 0 and steps.min() >= -self._wrap:
            return t
        wraps = self._wraps + np.cumsum((steps < -self._wrap).astype(np.int64) - (steps > self._half))
        # A long pause before any wrap is not a late event: clamp the count of wraps at zero.
        wraps -= np.minimum(np.minimum.accumulate(wraps), 0)
        self._wraps = int(wraps[-1])
        return t + (wraps << self._bits)


def wide_clock() -> UnwrappedClock:
    """Return the clock for `unwrap_wide`: a wrap leads from the last minute of the range, of us, to its first one."""
    return UnwrappedClock(_BITS, _RANGE - _EDGE)


def may_wrap(clock: UnwrappedClock, counter: npt.NDArray[Any]) -> bool:
    """False if `counter`, the next block of the column of a `wide_clock`, holds no wrap and follows none."""
    if not len(counter):
        return False
    is_in_order = counter[0] <= counter[-1] and (clock.last is None or clock.last <= counter[0])
    return clock.has_wrapped or not is_in_order


def unwrap_wide(clock: UnwrappedClock, counter: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Return a counter of 32 bits that was stored in wider numbers, with wraps added; other numbers as they are.

    Args:
        clock: the `wide_clock` of the column, which `counter` continues.
    """
    if not len(counter):
        return counter
    is_of_32_bits = may_wrap(clock, counter) and counter.min() >= 0 and max(counter.max(), clock.last or 0) < _RANGE
    if clock.has_wrapped or is_of_32_bits:
        return clock.unwrap(counter)
    clock.last = int(counter[-1])
    return counter
