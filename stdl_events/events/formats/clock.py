"""Clocks that wrap, unwrapped."""

import numpy as np
import numpy.typing as npt


class UnwrappedClock:
    """Turns a counter of `bits` bits, block by block, into one that does not wrap.

    A step back of more than half the range is a wrap. After a wrap, a step forward of more than half the range is
    something from before the wrap that arrived late. Smaller steps back stay as they are: they are disorder, not wraps.
    """

    def __init__(self, bits: int = 32) -> None:
        self.last: int | None = None
        self._bits = bits
        self._half = 1 << (bits - 1)
        self._wraps = 0

    def unwrap(self, counter: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """`counter`, in the order of the stream and continuing the block before, as int64 with wraps added."""
        t = counter.astype(np.int64)
        if not len(t):
            return t
        steps = np.diff(t, prepend=t[0] if self.last is None else self.last)
        self.last = int(t[-1])
        if self._wraps == 0 and steps.min() >= -self._half:
            return t
        wraps = self._wraps + np.cumsum((steps < -self._half).astype(np.int64) - (steps > self._half))
        # A long pause before any wrap is no late event: the count of wraps is reflected at zero.
        wraps -= np.minimum(np.minimum.accumulate(wraps), 0)
        self._wraps = int(wraps[-1])
        return t + (wraps << self._bits)
