"""Decoder of EVT 3 as a loop over words, compiled by numba; `evt3` decodes the same without it.

Imported only where `LOADING` says that it pays.
"""

from collections.abc import Callable

import numpy as np

from stdl_events.compiled import cached_njit
from stdl_events.events.decoder import Records
from stdl_events.events.formats.evt3 import (
    ADDR_X,
    ADDR_Y,
    BASE_X,
    OFF_EVERY_SENSOR,
    TIME_HIGH,
    TIME_LOW,
    VECT_8,
    VECT_12,
)
from stdl_events.events.stream import EVENT_DTYPE, EventArray

# The state between blocks. WRAPS counts those of the high time, see `UnwrappedClock`.
_HIGH, _WRAPS, _LOW, _ROW, _COLUMN, _IS_ON = range(6)
_UNSET = -1
_compiled = cached_njit()


def make_evt3_loop() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 3 words for one pass."""
    state = np.array([_UNSET, 0, 0, _UNSET, _UNSET, 0])

    def decode(words: Records) -> EventArray:
        events = np.empty(_count(words), EVENT_DTYPE)
        count = _decode(words, state, events["t"], events["x"], events["y"], events["p"])
        return events[:count]

    return decode


@_compiled
def _count(words: Records) -> int:
    """Return the number of events of `words`, those without a time or place too."""
    count = 0
    for word in words:
        kind = word >> 12
        if kind == ADDR_X:
            count += 1
        elif kind in (VECT_12, VECT_8):
            bits = word & (0xFFF if kind == VECT_12 else 0xFF)
            while bits:
                bits &= bits - 1
                count += 1
    return count


@_compiled
def _decode(words: Records, state: Records, t: Records, x: Records, y: Records, p: Records) -> int:
    """Write the events of `words` and return their number; `state` continues from block to block."""
    high, wraps, row, column, is_on = state[_HIGH], state[_WRAPS], state[_ROW], state[_COLUMN], state[_IS_ON]
    t_us = (high + (wraps << 12) << 12) + state[_LOW]
    count = 0
    for index in range(len(words)):
        word = np.int64(words[index])
        kind, value = word >> 12, word & 0xFFF
        if kind == ADDR_X:
            if row != _UNSET and high != _UNSET:
                t[count], x[count], y[count], p[count] = t_us, value & 0x7FF, row, value >> 11
                count += 1
        elif kind == ADDR_Y:
            row = value & 0x7FF
        elif kind in (VECT_12, VECT_8):
            if column != _UNSET:
                if row != _UNSET and high != _UNSET:
                    bits = value if kind == VECT_12 else value & 0xFF
                    # A column beyond every sensor stays beyond it: it must not wrap round to a pixel.
                    at = min(column, OFF_EVERY_SENSOR)
                    while bits:
                        if bits & 1:
                            t[count], x[count], y[count], p[count] = t_us, at, row, is_on
                            count += 1
                        bits >>= 1
                        at += 1
                column += 12 if kind == VECT_12 else 8
        elif kind == BASE_X:
            column, is_on = value & 0x7FF, value >> 11
        elif kind == TIME_LOW:
            t_us = t_us & ~0xFFF | value
        elif kind == TIME_HIGH and value != high:
            # A new high part restarts the low part at 0; a repeated one changes nothing.
            if high != _UNSET and value < high - 0x800:
                wraps += 1
            elif high != _UNSET and value > high + 0x800:
                wraps = max(wraps - 1, 0)
            high = value
            t_us = high + (wraps << 12) << 12
    state[_HIGH], state[_WRAPS], state[_LOW], state[_ROW] = high, wraps, t_us & 0xFFF, row
    state[_COLUMN], state[_IS_ON] = column, is_on
    return count
