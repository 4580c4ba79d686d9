"""The headerless .bin of N-MNIST and N-Caltech101: 5 bytes an event: x, y, then polarity and a 23-bit time.

The third byte is `p << 7 | t[22:16]`, then `t[15:8]`, `t[7:0]`: big-endian microseconds. Pictures are stored upright.
The row 240, one below the ATIS sensor, marks an overflow: it is no event, and adds 2^13 us to all later times. Longer
recordings without markers wrap after 2^23 us.
Sources: G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", 2015,
and its reader `event-Python` for the overflows.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.events.decoder import Decoder, Header, Records, RecordsDecoder, read_beginning
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import Pieces, follow_records
from stdl_events.events.stream import EVENT_DTYPE, EventArray

RECORD_DTYPE = np.dtype([("x", "u1"), ("y", "u1"), ("p_t22", "u1"), ("t15", ">u2")])
_WORD_DTYPE = np.dtype(">u4")
NMNIST_SIZE = (34, 34)
_OVERFLOW_ROW = 240
_OVERFLOW_US = 1 << 13
_CLOCK_BITS = 23
_POLARITY = 1 << _CLOCK_BITS
_TIME_MASK = _POLARITY - 1
# More than N-MNIST's largest file has.
_LOOKED_AT = 1 << 16
# A clock steps back at its wraps, at overflows and where events were mixed up; in other content every second time.
_MOST_BACK = 1 / 8
_FEW_RECORDS = 32
_OF_THE_CLOCK = 1024


def open_nmnist(path: Path) -> RecordsDecoder:
    """Open an N-MNIST recording, 34x34 by its format."""
    return RecordsDecoder(path, Header(NMNIST_SIZE, "format"), RECORD_DTYPE, 0, _make_decode)


def open_ncaltech(path: Path) -> RecordsDecoder:
    """Open an N-Caltech101 recording; each has its own sensor size, which the format does not store."""
    return RecordsDecoder(path, Header(), RECORD_DTYPE, 0, _make_decode)


def fits_nmnist(path: Path) -> bool:
    """True if the file's first records are events of 34x34 pixels whose clock goes forward."""
    records = _first_records(path)
    width, height = NMNIST_SIZE
    if not len(records) or (records["x"].max() < width and records["y"].max() < height):
        return _goes_forward(records)
    fits = (records["x"] < width) & ((records["y"] < height) | (records["y"] == _OVERFLOW_ROW))
    return bool(fits.all()) and _goes_forward(records)


def fits_ncaltech(path: Path) -> bool:
    """True if the file's first records have a clock that goes forward; batches of CIFAR have this suffix too."""
    return _goes_forward(_first_records(path))


def _first_records(path: Path) -> Records:
    data = read_beginning(path, RECORD_DTYPE.itemsize * _LOOKED_AT)
    return np.frombuffer(data, RECORD_DTYPE, len(data) // RECORD_DTYPE.itemsize)


def _goes_forward(records: Records) -> bool:
    t_us = _words(records[:_OF_THE_CLOCK]) & _TIME_MASK
    steps_back = int(np.count_nonzero(t_us[1:] < t_us[:-1]))
    return len(t_us) < _FEW_RECORDS or steps_back <= _MOST_BACK * len(t_us)


def _words(records: Records) -> npt.NDArray[np.uint32]:
    """Return y, p and time of each record as one number: a pass over it is quicker than one over each field."""
    return records.getfield(_WORD_DTYPE, RECORD_DTYPE.itemsize - _WORD_DTYPE.itemsize).astype(np.uint32)


def _make_decode() -> Callable[[Records], EventArray]:
    clock = UnwrappedClock(_CLOCK_BITS)
    overflows = 0

    def decode(records: Records) -> EventArray:
        nonlocal overflows
        words = _words(records)
        t_us = clock.unwrap(words & _TIME_MASK)
        if overflows or np.maximum.reduce(words, initial=0) >> 24 >= _OVERFLOW_ROW:
            is_overflow = records["y"] == _OVERFLOW_ROW
            count = overflows + np.cumsum(is_overflow)
            overflows = int(count[-1])
            t_us += _OVERFLOW_US * count
            records, words, t_us = (each[~is_overflow] for each in (records, words, t_us))
        events = np.empty(len(records), EVENT_DTYPE)
        events["t"] = t_us
        events["x"] = records["x"]
        events["y"] = records["y"]
        events["p"] = words & _POLARITY
        return events

    return decode


def _follow(decoder: Decoder, stream: int | None) -> Pieces:
    return follow_records(decoder)


NMNIST = Format("N-MNIST, 34x34", open_nmnist, (".bin",), (Signature(fits=fits_nmnist),), follow=_follow)
NCALTECH = Format("N-Caltech101", open_ncaltech, (".bin",), (Signature(fits=fits_ncaltech),), follow=_follow)
