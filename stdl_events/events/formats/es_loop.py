"""Decoder of Event Stream as a loop over records, compiled by numba; `es` decodes the same without it.

Imported only where `LOADING` says that it pays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import cached_njit
from stdl_events.events.formats.es import RECORD_BYTES, FirstByte
from stdl_events.events.stream import EVENT_DTYPE, EventArray


def decode_records(data: npt.NDArray[np.uint8], t_us: int, first_byte: FirstByte) -> tuple[EventArray, int, int]:
    """Return (events of `data`, time after them, bytes used: all but an incomplete last record)."""
    events = np.empty(len(data) // RECORD_BYTES, EVENT_DTYPE)
    meaning = (
        first_byte.time_shift, first_byte.alone_from, first_byte.overflow_us, first_byte.polarity_bit,
        first_byte.has_exposure,
    )  # fmt: skip
    count, t_end_us, used = _decode(data, t_us, meaning, events["t"], events["x"], events["y"], events["p"])
    return events[:count], t_end_us, used


@cached_njit()
def _decode(
    data: npt.NDArray[np.uint8],
    t_us: Any,
    meaning: tuple[int, int, int, int, bool],
    t: npt.NDArray[np.int64],
    x: npt.NDArray[np.uint16],
    y: npt.NDArray[np.uint16],
    p: npt.NDArray[np.bool_],
) -> tuple[int, int, int]:
    """Write the events of `data`; return (their number, time after them, bytes used)."""
    time_shift, alone_from, overflow_us, polarity_bit, has_exposure = meaning
    count = position = 0
    while position < len(data):
        first = np.int64(data[position])
        if first >= alone_from:
            t_us += (first - alone_from) * overflow_us
            position += 1
            continue
        if position + RECORD_BYTES > len(data):
            break
        t_us += first >> time_shift
        if not (has_exposure and first & 1):
            t[count], p[count] = t_us, first >> polarity_bit & 1
            x[count] = np.int64(data[position + 1]) | np.int64(data[position + 2]) << 8
            y[count] = np.int64(data[position + 3]) | np.int64(data[position + 4]) << 8
            count += 1
        position += RECORD_BYTES
    return count, t_us, position
