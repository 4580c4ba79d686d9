"""Prophesee's and ATIS's .dat: 8-byte records of u32 microseconds and a u32 of x, y and polarity.

A text header (`%` lines) is followed by two bytes, event type and event size. Version 2: x in bits 0-13, y in 14-27,
polarity from 28. Version 1 (no `Version` line, or no header at all): x in bits 0-8, y in 9-16, polarity in 17.
Pictures are not flipped. Sources: Prophesee's documentation; `load_atis_data.m` of the Metavision toolbox.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Header, Records, RecordsDecoder, corrupt, truncated
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import follow_records
from stdl_events.events.formats.prophesee import read_header
from stdl_events.events.stream import EVENT_DTYPE, EventArray

RECORD_DTYPE = np.dtype([("t", "<u4"), ("address", "<u4")])
_CHANGE_TYPES = (0x00, 0x0C)
_V1_BITS = 18
_LOOK_RECORDS = 4096


def open_dat(path: Path) -> RecordsDecoder:
    """Read the header of a .dat file, if it has one.

    Raises:
        CorruptRecordingError: records are not of 8 bytes, or a number in the header is invalid.
        UnknownFormatError: the file holds other events than change events.
    """
    text = read_header(path)
    if text.data_offset == 0:
        return RecordsDecoder(path, Header(), RECORD_DTYPE, 0, _make_v1)
    with path.open("rb") as file:
        file.seek(text.data_offset)
        type_and_size = file.read(2)
    if len(type_and_size) < 2:
        raise truncated(path, text.data_offset, f"{len(type_and_size)} of the 2 bytes of event type and size")
    if type_and_size[1] != RECORD_DTYPE.itemsize:
        raise corrupt(path, text.data_offset + 1, f"events of {type_and_size[1]} bytes", "8 bytes")
    if type_and_size[0] not in _CHANGE_TYPES:
        raise UnknownFormatError(
            str(path), got=f"events of type {type_and_size[0]}", expected=f"change events, type {_CHANGE_TYPES}",
            todo="use the file of change detection events",
        )  # fmt: skip
    version = text.values.get("version", "1")
    if version not in ("0", "1", "2"):
        raise corrupt(path, 0, f"the version {version!r}", "version 1 or 2")
    size = text.sensor_size(path)
    make = _make_v2 if version == "2" else _make_v1
    header = Header(size, "header" if size else None)
    return RecordsDecoder(path, header, RECORD_DTYPE, text.data_offset + 2, make, t0_us=text.t0_us)


def _make_v1() -> Callable[[Records], EventArray]:
    return _make(x_bits=9, y_bits=8)


def _make_v2() -> Callable[[Records], EventArray]:
    return _make(x_bits=14, y_bits=14)


def _make(x_bits: int, y_bits: int) -> Callable[[Records], EventArray]:
    clock = UnwrappedClock()

    def decode(records: Records) -> EventArray:
        address = records["address"]
        events = np.empty(len(records), EVENT_DTYPE)
        events["t"] = clock.unwrap(records["t"])
        events["x"] = address & (1 << x_bits) - 1
        events["y"] = address >> x_bits & (1 << y_bits) - 1
        events["p"] = address >> (x_bits + y_bits) & 1
        return events

    return decode


def _begins_like_dat(path: Path) -> bool:
    """True for a header whose first line says so, or, in a .dat, whose data begin with type and size of events."""
    text = read_header(path)
    if text.first_line.lower().startswith("data file"):
        return True
    if path.suffix.lower() not in FORMAT.suffixes or text.evt is not None:
        return False
    with path.open("rb") as file:
        file.seek(text.data_offset)
        data = file.read(2)
    return len(data) == 2 and data[0] in _CHANGE_TYPES and data[1] == RECORD_DTYPE.itemsize


def _looks_like_v1(path: Path) -> bool:
    """True if most of the first records fit: no bits above the polarity, and times that mostly grow.

    Other kinds of files are called .dat too, and every byte is a possible record.
    """
    records = np.fromfile(path, RECORD_DTYPE, count=_LOOK_RECORDS)
    t_us = records["t"].astype(np.int64)
    fits = np.count_nonzero(records["address"] >> _V1_BITS == 0)
    backward = np.count_nonzero(np.diff(t_us) < 0)
    return bool(fits >= 0.9 * len(records) and backward <= 0.25 * len(records))


FORMAT = Format(
    "Prophesee and ATIS DAT",
    open_dat,
    (".dat",),
    (Signature(b"%", _begins_like_dat), Signature(fits=_looks_like_v1)),
    follow=lambda decoder, stream: follow_records(decoder),
)
