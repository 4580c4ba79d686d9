"""AEDAT 3.1, as cAER writes it (DvsGesture): `#` header lines, then packets of one type of event each.

A packet is a header of 28 bytes, little-endian: i16 type, i16 source, i32 bytes of an event, offset of its time,
time overflows, capacity, number, valid number; its events follow. A polarity event is a u32 of valid (bit 0), polarity
(bit 1), y (bits 2-16) and x (bits 17-31), and an i32 of microseconds; every overflow adds 2^31 us. A special event of
type 1 (bits 1-7 of its first word) says that the clock was reset. Other types are skipped. Pictures are stored upright.
Sources: iniVation's AEDAT 3.1 page; libcaer's headers.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from stdl_events.errors import RecordingError, UnknownFormatError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import Pieces
from stdl_events.events.stream import EVENT_DTYPE

MAGIC = b"#!AER-DAT3.1\r\n"
_END_OF_HEADER = b"#!END-HEADER\r\n"
_MAX_HEADER_BYTES = 1 << 20
_MAX_PACKET_BYTES = 1 << 28
_PACKET_HEADER = struct.Struct("<hhiiiiii")
_SPECIAL, _POLARITY = 0, 1
_RESET = 1
_EVENT_DTYPE = np.dtype([("data", "<u4"), ("t", "<i4")])
_SIZES = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
}


@dataclass
class _Packets:
    """Decoder of the packets of one file, in order: what follows from earlier ones."""

    path: Path
    source_read: int | None = None
    is_reset: bool = False

    def parse(self, head: bytes, offset: int) -> tuple[int, int, int, int, int]:
        """Return (type, source, bytes of an event, overflows of the time, bytes of all events) of the header `head`."""
        kind, source, event_bytes, _, overflows, _, count, _ = _PACKET_HEADER.unpack(head)
        size = event_bytes * count
        if event_bytes <= 0 or count < 0 or size > _MAX_PACKET_BYTES:
            got = f"a packet of {count} events of {event_bytes} bytes"
            raise corrupt(self.path, offset, got, f"at most {_MAX_PACKET_BYTES} bytes")
        if kind == _POLARITY and (event_bytes != _EVENT_DTYPE.itemsize or overflows < 0):
            got = f"polarity events of {event_bytes} bytes with {overflows} overflows of their time"
            raise corrupt(self.path, offset, got, "8 bytes and no fewer than 0 overflows")
        if kind == _POLARITY and self.source_read not in (None, source):
            raise RecordingError(
                str(self.path), got=f"events of the sources {self.source_read} and {source}",
                expected="one source of events", todo="split the file by source",
            )  # fmt: skip
        return kind, source, event_bytes, overflows, size

    def block(self, head: tuple[int, int, int, int, int], data: bytes, offset: int) -> Block | None:
        """Return the events of a packet of header `head`; None if it is of another type."""
        kind, source, event_bytes, overflows, _ = head
        if kind == _POLARITY:
            self.source_read = source
            whole = len(data) // _EVENT_DTYPE.itemsize
            block = Block(_events(np.frombuffer(data, _EVENT_DTYPE, whole), overflows), offset, self.is_reset)
            self.is_reset = self.is_reset and not len(block.events)
            return block
        if kind == _SPECIAL and event_bytes == _EVENT_DTYPE.itemsize:
            self.is_reset = _says_reset(data) or self.is_reset
        return None


@dataclass(frozen=True)
class Aedat3Decoder:
    """Decoder of the polarity events of one AEDAT 3.1 file."""

    path: Path
    header: Header
    data_offset: int

    def blocks(self) -> Iterator[Block]:
        file_bytes = self.path.stat().st_size
        offset, packets = self.data_offset, _Packets(self.path)
        with self.path.open("rb") as file:
            while offset < file_bytes:
                file.seek(offset)
                data = file.read(_PACKET_HEADER.size)
                if len(data) < _PACKET_HEADER.size:
                    raise truncated(
                        self.path, offset, f"{len(data)} of {_PACKET_HEADER.size} bytes of a packet's header"
                    )
                head = packets.parse(data, offset)
                size = head[-1]
                block = packets.block(head, file.read(size) if head[0] in (_SPECIAL, _POLARITY) else b"", offset)
                if block is not None:
                    yield block
                if offset + len(data) + size > file_bytes:
                    got = f"{file_bytes - offset} of {len(data) + size} bytes of a packet"
                    raise truncated(self.path, offset, got)
                offset += len(data) + size

    def follow(self) -> Pieces:
        """Return the decoder of packets that are still appended."""
        packets = _Packets(self.path)

        def take(data: bytearray, offset: int) -> Iterator[tuple[Block | None, int]]:
            used = 0
            while len(data) - used >= _PACKET_HEADER.size:
                begin = used + _PACKET_HEADER.size
                head = packets.parse(bytes(data[used:begin]), offset + used)
                if len(data) - begin < head[-1]:
                    return
                block = packets.block(head, bytes(data[begin : begin + head[-1]]), offset + used)
                used = begin + head[-1]
                yield block, used

        return Pieces(self.path, self.data_offset, take)


def _says_reset(data: bytes) -> bool:
    """True if one of these special events is valid, and says that the clock was reset."""
    words = np.frombuffer(data, _EVENT_DTYPE, len(data) // _EVENT_DTYPE.itemsize)["data"]
    return bool(((words & 1 == 1) & (words >> 1 & 0x7F == _RESET)).any())


def _events(stored: np.ndarray, overflows: int) -> np.ndarray:
    data = stored["data"]
    is_valid = data & 1 == 1
    if not is_valid.all():
        stored, data = stored[is_valid], data[is_valid]
    events = np.empty(len(data), EVENT_DTYPE)
    events["t"] = stored["t"].astype(np.int64) + (overflows << 31)
    events["x"] = data >> 17
    events["y"] = data >> 2 & 0x7FFF
    events["p"] = data >> 1 & 1
    return events


def open_aedat3(path: Path) -> Aedat3Decoder:
    """Read the header of an AEDAT 3.1 file.

    Raises:
        CorruptRecordingError, TruncatedRecordingError: the header is damaged.
        UnknownFormatError: its packets are compressed.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise corrupt(path, 0, f"{head[:12]!r}", f"the first line of AEDAT 3.1, {MAGIC.decode().strip()}")
    end = head.find(_END_OF_HEADER)
    if end < 0:
        raise truncated(path, 0, "a header without its last line")
    lines = head[:end].decode("latin-1").splitlines()
    format = next((line.partition(":")[2].strip() for line in lines if line.startswith("#Format:")), "RAW")
    if format != "RAW":
        raise UnknownFormatError(
            str(path), got=f"AEDAT 3.1 in the format {format!r}", expected="RAW", todo="convert it with DV or jAER"
        )
    source = next((line for line in lines if re.match(r"#Source \d+:", line)), "")
    size = next((size for name, size in _SIZES.items() if name in source.upper()), None)
    return Aedat3Decoder(path, Header(size, "header" if size else None), end + len(_END_OF_HEADER))


FORMAT = Format(
    "AEDAT 3.1, as cAER writes it",
    open_aedat3,
    (".aedat", ".aedat3"),
    (Signature(MAGIC),),
    follow=lambda decoder, stream: cast(Aedat3Decoder, decoder).follow(),
)
