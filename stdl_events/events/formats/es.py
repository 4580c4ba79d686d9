"""Event Stream (.es), version 2, of DVS and ATIS events.

`Event Stream`, three bytes of version, a type, and u16 width and height precede records of 5 bytes: a first byte with
the time since the previous record, then u16 x and u16 y. First bytes with the largest time stand alone: overflow
advances the time, reset does nothing. Rows are stored bottom up and flipped here.

| type | first byte | overflow | reset |
|---|---|---|---|
| 1, DVS | time in bits 1-7, polarity in bit 0 | 255: 127 us | 254 |
| 2, ATIS | time in bits 2-7, polarity in bit 1, exposure (left out) in bit 0 | 253 to 255: 63, 126, 189 us | 252 |

Source: the description of the format by its authors, neuromorphic-paris/event_stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import LOADING
from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import ZERO_TAIL, Block, Header, corrupt, only_zeros_follow, truncated, zero_tail
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.stream import EventArray, empty_events

MAGIC = b"Event Stream"
_DATA_OFFSET = 20
RECORD_BYTES = 5
_BLOCK_BYTES = RECORD_BYTES << 17
_TYPE_NAMES = {0: "generic", 3: "asynchronous and modular display", 4: "colour"}


@dataclass(frozen=True)
class FirstByte:
    """Meaning of a record's first byte, for one type of stream.

    Attributes:
        time_shift: the time's lowest bit.
        alone_from: the smallest byte that stands alone.
        overflow_us: time added by a byte that stands alone, per count above `alone_from`.
        polarity_bit: position of the polarity.
        has_exposure: bit 0 marks exposure measurements.
    """

    time_shift: int
    alone_from: int
    overflow_us: int
    polarity_bit: int
    has_exposure: bool


_TYPES = {1: FirstByte(1, 254, 127, 0, False), 2: FirstByte(2, 252, 63, 1, True)}


@dataclass(frozen=True)
class EsDecoder:
    """Decoder of the records of one .es file."""

    path: Path
    header: Header
    first_byte: FirstByte

    def blocks(self) -> Iterator[Block]:
        decode = decode_records
        if LOADING.pays(self.path.stat().st_size):
            from stdl_events.events.formats import es_loop

            decode = es_loop.decode_records
        t_us, offset, left_over = 0, _DATA_OFFSET, b""
        with self.path.open("rb") as file:
            file.seek(_DATA_OFFSET)
            while data := file.read(_BLOCK_BYTES):
                data = left_over + data
                ends_in_zeros = data.endswith(ZERO_TAIL) and only_zeros_follow(file)
                if ends_in_zeros:
                    data = data.rstrip(b"\0") + bytes(RECORD_BYTES - 1)  # the last record may end with zeros
                events, t_us, used = decode(np.frombuffer(data, np.uint8), t_us, self.first_byte)
                yield Block(events, offset)
                offset += used
                left_over = data[used:]
                if ends_in_zeros:
                    raise zero_tail(self.path, offset)
        if left_over:
            raise truncated(self.path, offset, f"{len(left_over)} of {RECORD_BYTES} bytes of a record")


def decode_records(data: npt.NDArray[np.uint8], t_us: int, first_byte: FirstByte) -> tuple[EventArray, int, int]:
    """Return (events of `data`, time after them, bytes used: all but an incomplete last record)."""
    starts, alone, used = record_starts(data, first_byte.alone_from)
    heads = np.concatenate([starts, alone])
    order = np.argsort(heads, kind="stable")
    is_alone = order >= len(starts)
    first = data[heads[order]].astype(np.int64)
    steps_us = np.where(
        is_alone,
        (first - first_byte.alone_from) * first_byte.overflow_us,
        first >> first_byte.time_shift,
    )
    times_us = t_us + np.cumsum(steps_us)
    t_end_us = int(times_us[-1]) if len(times_us) else t_us
    events = empty_events(len(starts))
    if not len(starts):
        return events, t_end_us, used
    events["t"] = times_us[~is_alone]
    events["x"] = data[starts + 1] | data[starts + 2].astype(np.uint16) << 8
    events["y"] = data[starts + 3] | data[starts + 4].astype(np.uint16) << 8
    events["p"] = data[starts] >> first_byte.polarity_bit & 1
    if first_byte.has_exposure:
        events = events[data[starts] & 1 == 0]
    return events, t_end_us, used


def record_starts(
    data: npt.NDArray[np.uint8], alone_from: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], int]:
    """Return (positions of complete records, positions of bytes that stand alone, bytes used) of `data`.

    `data` begins with a record. Records follow at every 5 bytes up to a byte that stands alone, so that the loop takes
    one iteration per run of records, not per record.
    """
    candidates = np.flatnonzero(data >= alone_from)
    by_remainder = [candidates[candidates % RECORD_BYTES == remainder].tolist() for remainder in range(RECORD_BYTES)]
    cursors = [0] * RECORD_BYTES
    runs: list[npt.NDArray[np.intp]] = []
    alone: list[int] = []
    position, end = 0, len(data)
    while position < end:
        remainder = position % RECORD_BYTES
        places, cursor = by_remainder[remainder], cursors[remainder]
        while cursor < len(places) and places[cursor] < position:
            cursor += 1
        cursors[remainder] = cursor
        stop = places[cursor] if cursor < len(places) else position + (end - position) // RECORD_BYTES * RECORD_BYTES
        runs.append(np.arange(position, stop, RECORD_BYTES))
        if cursor == len(places):
            return np.concatenate(runs), np.array(alone, np.intp), stop
        alone.append(stop)
        position = stop + 1
    return np.concatenate(runs) if runs else np.empty(0, np.intp), np.array(alone, np.intp), position


def open_es(path: Path) -> EsDecoder:
    """Read the header of an Event Stream file.

    Raises:
        CorruptRecordingError, TruncatedRecordingError: the header is damaged.
        UnknownFormatError: unsupported version, or a type without events of brightness changes.
    """
    with path.open("rb") as file:
        head = file.read(_DATA_OFFSET)
    if not head.startswith(MAGIC):
        raise corrupt(path, 0, f"{head[:12]!r}", f"the first bytes of Event Stream, {MAGIC.decode()!r}")
    if len(head) < _DATA_OFFSET:
        raise truncated(path, 0, f"{len(head)} of {_DATA_OFFSET} bytes of the header")
    if head[12] != 2:
        raise UnknownFormatError(
            str(path), got=f"Event Stream version {head[12]}", expected="version 2", todo="convert it to version 2"
        )
    if head[15] not in _TYPES:
        kind = _TYPE_NAMES.get(head[15], f"type {head[15]}")
        raise UnknownFormatError(
            str(path), got=f"an Event Stream of {kind} events", expected="DVS or ATIS events",
            todo="use a recording of brightness changes",
        )  # fmt: skip
    size = int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little")
    if 0 in size:
        raise corrupt(path, 16, f"the sensor size {size[0]}x{size[1]}", "width and height above 0")
    return EsDecoder(path, Header(size, "header", y_up=True), _TYPES[head[15]])


FORMAT = Format("Event Stream 2", open_es, (".es",), (Signature(MAGIC),))
