"""Unwrapping of clocks."""

import numpy as np
import numpy.typing as npt

_BITS_OF_HOURS = 28


class UnwrappedClock:
    """Unwraps a counter of `bits` bits, block by block.

    A backward step of more than half the range is a wrap; of more than three quarters if the range is hours long, where
    a smaller one is rather a reset of the clock than a pause of a quarter of the range. After a wrap, a forward step of
    more than half the range is a late event from before the wrap. Smaller backward steps are disorder and stay.
    """

    def __init__(self, bits: int = 32) -> None:
        self.last: int | None = None
        self._bits = bits
        self._half = 1 << (bits - 1)
        self._wrap = 3 << (bits - 2) if bits >= _BITS_OF_HOURS else self._half
        self._wraps = 0

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
