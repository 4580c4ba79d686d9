"""AEDAT 4 as a stream of bytes: a header, then packets, without an end that is known in advance.

Over TCP dv-processing's `NetworkWriter` sends the file format without its first line, and never a table of packets: the
FlatBuffers header with its size, its table's position -1, then each packet behind (stream, bytes). Sources:
`dv-processing/io/network_writer.hpp` and `writer.hpp` (`Connection::start`, `encodeFileHeader`, `writePacket`).
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events.formats.aedat4 import Aedat4Decoder, make_unpacker
from stdl_events.events.formats.aedat4_layout import MAGIC, PACKET_HEADER, EventStream, read_layout
from stdl_events.events.sources.received import say
from stdl_events.events.stream import EventArray

MAX_PACKET_BYTES = 1 << 26
_MAX_HEADER_BYTES = 1 << 24
_SIZE_BYTES = 4
# Its size, the offset of its root table, and its identifier.
_HEAD_BYTES = 12


class Aedat4Stream:
    """What the header says, and the decoder of the packets behind it.

    Args:
        name: of the source, for errors.
        header: the header with its size, without the first line of files.
        stream: number of the event stream; None if there is one.
        before: number of bytes before the header.

    Raises:
        RecordingError: the header is damaged, or has not one stream of events.
    """

    def __init__(self, name: str, header: bytes, stream: int | None = None, before: int = 0) -> None:
        try:
            layout = read_layout(io.BytesIO(MAGIC + header), Path(name))
        except CorruptRecordingError as error:
            raise _no_header(name, error.got) from None
        chosen = [known for known in layout.event_streams if stream is None or known.id == stream]
        if len(chosen) != 1:
            ids = [known.id for known in layout.event_streams]
            others = ", ".join(layout.other_streams.values())
            raise RecordingError(
                name, got=f"streams of events {ids}" if ids else f"no stream of events ({others or 'none at all'})",
                expected="one of events" if stream is None else f"the stream {stream}",
                todo="choose one with --stream (stream=ID)" if ids else "send the camera's events",
            )  # fmt: skip
        self.events: EventStream = chosen[0]
        table_offset = layout.table_offset
        # In a file that was closed, the packets end where its table begins.
        self.packet_bytes = None if table_offset is None else table_offset - before - len(header)
        self._decoder = Aedat4Decoder(Path(name), self.events, layout)
        self._unpack = make_unpacker(layout.compression)

    def decode(self, packet: "Packet") -> Iterator[EventArray]:
        """Yield the events of a packet.

        Raises:
            CorruptRecordingError: it does not unpack, or holds no events.
        """
        return (block.events for block in self._decoder.blocks_of(packet.data, packet.offset, self._unpack))


@dataclass(frozen=True, slots=True)
class Packet:
    """The data of a packet of events, as sent; `offset` is that of its first byte behind the header."""

    stream: Aedat4Stream
    offset: int
    data: memoryview


class _OpenPacket:
    """A packet whose bytes arrive in pieces, each copied once; bytes of other streams are counted alone."""

    def __init__(self, size: int, is_wanted: bool) -> None:
        # Memory that is not written is not used, whatever size a damaged packet states.
        self.data = np.empty(size, np.uint8).data if is_wanted else None
        self.size = self.missing = size

    def take(self, piece: memoryview) -> memoryview:
        """Add the next bytes of the packet; returns those behind it."""
        taken = min(self.missing, len(piece))
        if self.data is not None:
            begin = self.size - self.missing
            self.data[begin : begin + taken] = piece[:taken]
        self.missing -= taken
        return piece[taken:]


class Aedat4Packets:
    """Cuts a stream of bytes, which arrives in pieces, into the header and the packets of events.

    Attributes:
        stream: None until the header is complete.
        ended: True where the packets end before the stream does; nothing behind them is read.
    """

    def __init__(self, name: str, stream: int | None = None) -> None:
        self.stream: Aedat4Stream | None = None
        self.ended = False
        self._name, self._asked = name, stream
        # An incomplete header, or the header of the open packet, which begins at byte `_offset` behind the former.
        self._left = bytearray()
        self._open: _OpenPacket | None = None
        self._offset = 0

    @property
    def incomplete(self) -> int:
        """Number of bytes of a packet, or of the header, that is not complete."""
        arrived = 0 if self._open is None else self._open.size - self._open.missing
        return 0 if self.ended else len(self._left) + arrived

    def push(self, data: bytes | memoryview) -> Iterator[Packet]:
        """Yield the packets of events that are complete with `data`, which is copied.

        Raises:
            RecordingError: see `Aedat4Stream`; or, after all packets before, one cannot be as large as it says.
        """
        piece = memoryview(data)
        if self.stream is None:
            self._left += piece
            if not self._take_header():
                return
            piece = memoryview(bytes(self._left))
            self._left.clear()
        while True:
            assert self.stream is not None, "its header is complete"
            if self._open is None:
                piece = self._begin_packet(self.stream, piece)
            if self._open is None:
                return
            piece = self._open.take(piece)
            if self._open.missing:
                return
            data_of_packet, offset = self._open.data, self._offset
            self._offset += PACKET_HEADER.size + self._open.size
            self._open = None
            self._left.clear()
            if data_of_packet is not None:
                yield Packet(self.stream, offset, data_of_packet)

    def _begin_packet(self, stream: Aedat4Stream, piece: memoryview) -> memoryview:
        """Open the next packet, if its header is complete with `piece`; returns what is behind the header."""
        packet_bytes = stream.packet_bytes
        if packet_bytes is not None and self._offset >= packet_bytes:
            self.ended = True
            return piece
        missing = PACKET_HEADER.size - len(self._left)
        self._left += piece[:missing]
        if len(self._left) == PACKET_HEADER.size:
            stream_id, size = PACKET_HEADER.unpack(self._left)
            if size > MAX_PACKET_BYTES:
                raise RecordingError(
                    self._name, got=f"a packet of {size} bytes at byte {self._offset} behind the header",
                    expected=f"at most {MAX_PACKET_BYTES}", todo="connect again: the next packet cannot be found",
                )  # fmt: skip
            self._open = _OpenPacket(size, stream_id == stream.events.id)
        return piece[missing:]

    def _take_header(self) -> bool:
        before = len(MAGIC) if self._left.startswith(MAGIC) else 0
        if len(self._left) < before + _HEAD_BYTES:
            return False
        size = int.from_bytes(self._left[before : before + _SIZE_BYTES], "little")
        if not _HEAD_BYTES <= size <= _MAX_HEADER_BYTES or self._left[before + 8 : before + _HEAD_BYTES] != b"IOHE":
            where = " behind the first line" if before else ""
            raise _no_header(self._name, f"{bytes(self._left[before : before + 16])!r}{where}")
        end = before + _SIZE_BYTES + size
        if len(self._left) < end:
            return False
        self.stream = Aedat4Stream(self._name, bytes(self._left[before:end]), self._asked, before)
        del self._left[:end]
        return True


def decode_packets(name: str, packets: Iterable[Packet], counts: Counter[str]) -> Iterator[EventArray]:
    """Yield the events of packets; damaged ones are counted as `damaged_packets`, the first one with a warning."""
    for packet in packets:
        try:
            yield from packet.stream.decode(packet)
        except CorruptRecordingError as error:
            if not counts["damaged_packets"]:
                say(name, f"{error.got}: skipped, as are all that are damaged")
            counts["damaged_packets"] += 1


def size_of(
    name: str, own: tuple[int, int] | None, given: tuple[int, int] | None, default: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the sensor size: the header's own, else the given one, else the default.

    Raises:
        RecordingError: there is none.
    """
    if own is not None and given not in (None, own):
        say(name, "its header says {}x{}, so the sensor size {}x{} is not used".format(*own, *(given or own)))
    size = own or given or default
    if size is None:
        raise RecordingError(name, got="a header without the sensor size", expected="a size", todo="pass --sensor WxH")
    return size


def _no_header(name: str, got: str) -> RecordingError:
    return RecordingError(
        name, got=got, expected="a header of AEDAT 4, as dv-processing's NetworkWriter sends it",
        todo="check the port, and that the other side sends AEDAT 4",
    )  # fmt: skip
