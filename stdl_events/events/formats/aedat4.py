"""AEDAT 4: a FlatBuffers header that declares streams in XML, then packets, each compressed on its own.

Events are decoded here, with every size and offset checked before use. The packages that read AEDAT 4 abort the process
on a damaged file; after the checks, one `frombuffer` reads a packet's events. Times are absolute, Unix microseconds.
Pictures are stored upright. Packets of other streams (pictures, IMU, triggers) are skipped; `aedat4_extras` reads them.
Sources: iniVation's AEDAT 4 page and the FlatBuffers schemas of dv-processing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import lz4.frame
import numpy as np

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events.decoder import Block, Decoder, Header, corrupt
from stdl_events.events.formats.aedat4_layout import (
    MAGIC,
    PACKET_HEADER,
    EventStream,
    Layout,
    read_layout,
    walk_packets,
)
from stdl_events.events.formats.flatbuffers import root_table
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import Pieces
from stdl_events.events.stream import EVENT_DTYPE
from stdl_events.events.zstd import zstd

if TYPE_CHECKING:
    from stdl_events.events.other_streams import OtherStreams

STORED_DTYPE = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16})
# The fields of an event lie in the same order as in `EVENT_DTYPE`: they are copied as one.
_STORED_EVENT = np.dtype(
    {"names": ["event"], "formats": [f"V{EVENT_DTYPE.itemsize}"], "itemsize": STORED_DTYPE.itemsize}
)
MAX_PACKET_BYTES = 1 << 26
_ZSTD_OPTIONS: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_PACKET_BYTES.bit_length() - 1}
# Of the functions of `make_unpacker`.
UNPACK_ERRORS = (RuntimeError, EOFError, ValueError, MemoryError, zstd.ZstdError)
_SMALL_PACKET_BYTES = 1 << 16
_UNPACK_STEP_BYTES = 1 << 21
_LZ4_NAMES_SIZE = 1 << 3
# Several small packets are decoded at once, as a block that is small enough for the CPU's caches.
_BLOCK_BYTES = STORED_DTYPE.itemsize << 14
# A small packet takes less time than a system call.
_READ_AHEAD_BYTES = 1 << 16

Bytes: TypeAlias = bytes | memoryview
Unpacker: TypeAlias = Callable[[Bytes], Bytes]


@dataclass(frozen=True)
class Aedat4Decoder:
    """Decoder of one event stream of an AEDAT 4 file."""

    path: Path
    stream: EventStream
    layout: Layout

    @property
    def header(self) -> Header:
        size = self.stream.sensor_size
        return Header(size, "header" if size else None)

    def blocks(self) -> Iterator[Block]:
        with self.path.open("rb", buffering=_READ_AHEAD_BYTES) as file:
            unpack = make_unpacker(self.layout.compression)
            waiting: list[memoryview] = []
            waiting_bytes, first_offset = 0, 0
            try:
                for stream_id, offset, size in walk_packets(file, self.path, self.layout):
                    if stream_id != self.stream.id:
                        continue
                    stored = self._stored_events(file.read(size), offset, unpack)
                    if waiting_bytes + len(stored) > _BLOCK_BYTES:
                        yield from _blocks_of(waiting, first_offset)
                        waiting, waiting_bytes = [], 0
                    first_offset = first_offset if waiting else offset
                    waiting.append(stored)
                    waiting_bytes += len(stored)
            except (TruncatedRecordingError, CorruptRecordingError):
                yield from _blocks_of(waiting, first_offset)
                raise
            yield from _blocks_of(waiting, first_offset)

    def blocks_of(self, packet: Bytes, offset: int, unpack: Unpacker) -> Iterator[Block]:
        """Yield the events of one packet, whose data is at byte `offset`.

        Raises:
            CorruptRecordingError: it does not unpack, or holds no events.
        """
        yield from _blocks_of([self._stored_events(packet, offset, unpack)], offset)

    def _stored_events(self, packet: Bytes, offset: int, unpack: Unpacker) -> memoryview:
        """Return the bytes of the event structs of the packet at byte `offset`."""

        def fail(got: str) -> CorruptRecordingError:
            return corrupt(self.path, offset, f"{got}, in the packet", "a packet of events")

        try:
            data = unpack(packet)
        except UNPACK_ERRORS as error:
            raise fail(f"{self.layout.compression} data that does not unpack ({error})") from None
        if len(data) < 4 or int.from_bytes(data[:4], "little") > len(data) - 4:
            raise fail(f"{len(data)} bytes of a larger buffer")
        table = memoryview(data)[4:]
        start, count = root_table(table, b"EVTS", fail).vector(0, STORED_DTYPE.itemsize)
        return table[start : start + count * STORED_DTYPE.itemsize]


def _follow(decoder: Decoder, asked: int | None) -> Pieces:
    """Return the decoder of packets that are still appended.

    The table of packets follows the last one when the file is closed; then the header says where it is.
    """
    aedat4 = cast(Aedat4Decoder, decoder)
    path, layout, chosen = aedat4.path, aedat4.layout, aedat4.stream.id
    others = [stream.id for stream in layout.event_streams if stream.id != chosen and asked is None]
    known = {*layout.other_streams, *(stream.id for stream in layout.event_streams)}
    unpack = make_unpacker(layout.compression)
    is_closed = False

    def take(data: bytearray, offset: int) -> Iterator[tuple[Block | None, int]]:
        nonlocal is_closed
        used = 0
        if is_closed:
            yield None, len(data)
            return
        while len(data) - used >= PACKET_HEADER.size:
            stream_id, size = PACKET_HEADER.unpack_from(data, used)
            if stream_id not in known or layout.table_offset == offset + used:
                is_closed = _begins_table(path, offset + used)
                if is_closed:
                    yield None, len(data)
                elif len(data) - used > MAX_PACKET_BYTES:
                    raise corrupt(path, offset + used, f"a packet of the stream {stream_id}", "a declared stream")
                return
            if size > MAX_PACKET_BYTES:
                raise corrupt(path, offset + used, f"a packet of {size} bytes", f"at most {MAX_PACKET_BYTES}")
            begin = used + PACKET_HEADER.size
            if len(data) - begin < size:
                return
            if stream_id in others:
                raise _several_streams(path, [chosen, stream_id])
            used = begin + size
            if stream_id != chosen:
                yield None, used
                continue
            packet = bytes(data[begin:used])
            for block in _blocks_of([aedat4._stored_events(packet, offset + begin, unpack)], offset + begin):
                yield block, used

    return Pieces(path, layout.data_offset, take)


def _begins_table(path: Path, offset: int) -> bool:
    """True if the table of packets of the file, which is closed then, begins at or before `offset`."""
    with path.open("rb") as file:
        table_offset = read_layout(file, path).table_offset
    return table_offset is not None and table_offset <= offset


def _blocks_of(packets: list[memoryview], offset: int) -> Iterator[Block]:
    """Decode the event structs of packets, the first at byte `offset`; none without packets."""
    data = packets[0] if len(packets) == 1 else b"".join(packets)
    for start in range(0, len(data), _BLOCK_BYTES):
        stored = np.frombuffer(data[start : start + _BLOCK_BYTES], _STORED_EVENT)["event"]
        # A negative coordinate becomes one above 32767, outside every sensor of this format.
        events = stored.copy().view(EVENT_DTYPE)
        polarities = events["p"].view(np.uint8)
        if polarities.max(initial=0) > 1:
            np.minimum(polarities, 1, out=polarities)
        yield Block(events, offset)


def _unpack_lz4(packet: Bytes) -> bytes:
    # LZ4 expands at most 255 times, but the package trusts the size in the frame's header.
    names_size = len(packet) > 4 and packet[4] & _LZ4_NAMES_SIZE
    if len(packet) <= _SMALL_PACKET_BYTES and not names_size:
        data: bytes = lz4.frame.decompress(packet)
        return data
    unpacker = lz4.frame.LZ4FrameDecompressor()
    parts = [unpacker.decompress(packet, max_length=_UNPACK_STEP_BYTES)]
    while not unpacker.eof and len(parts) * _UNPACK_STEP_BYTES < MAX_PACKET_BYTES:
        parts.append(unpacker.decompress(b"", max_length=_UNPACK_STEP_BYTES))
        if not parts[-1]:
            break
    if not unpacker.eof:
        raise ValueError(f"cut off, or more than {MAX_PACKET_BYTES} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpack_zstd(packet: Bytes) -> bytes:
    unpacker = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
    data = unpacker.decompress(packet, max_length=MAX_PACKET_BYTES)
    if not unpacker.eof:
        raise ValueError("cut off" if unpacker.needs_input else f"more than {MAX_PACKET_BYTES} bytes")
    return data


def compress_lz4(data: bytes) -> bytes:
    """Return a packet's data as an LZ4 frame."""
    packed: bytes = lz4.frame.compress(data)
    return packed


def make_unpacker(compression: str) -> Unpacker:
    """Return a function that unpacks a packet to at most `MAX_PACKET_BYTES`, so that damage cannot exhaust the memory.

    It raises one of `UNPACK_ERRORS`, a ValueError for a truncated packet or a larger result.
    """
    if compression == "none":
        return lambda packet: packet
    if compression == "lz4":
        return _unpack_lz4
    return _unpack_zstd


def open_aedat4(path: Path, stream: int | None = None) -> Aedat4Decoder:
    """Read the header of an AEDAT 4 file and choose its stream of events.

    Args:
        stream: the id of the stream; required if several streams hold events.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
        RecordingError: no stream of events is declared, or several hold events and `stream` is None.
    """
    with path.open("rb") as file:
        layout = read_layout(file, path)
        chosen = _choose(file, path, layout, stream)
    return Aedat4Decoder(path, chosen, layout)


def _choose(file: BinaryIO, path: Path, layout: Layout, wanted: int | None) -> EventStream:
    streams = layout.event_streams
    ids = [stream.id for stream in streams]
    if wanted is not None:
        if wanted not in ids:
            raise RecordingError(
                str(path), got=f"the stream {wanted}", expected=f"one of its event streams {ids}", todo="choose one"
            )
        return streams[ids.index(wanted)]
    if len(streams) > 1:
        filled = set()
        try:
            for stream_id, _, _ in walk_packets(file, path, layout):
                filled.add(stream_id)
        except (TruncatedRecordingError, CorruptRecordingError):
            pass  # the pass over the packets raises it again, or repairs it
        streams = [stream for stream in streams if stream.id in filled] or streams[:1]
    if not streams:
        raise RecordingError(
            str(path), got="no stream of events", expected="a recording with events", todo="use another recording"
        )
    if len(streams) > 1:
        raise _several_streams(path, [stream.id for stream in streams])
    return streams[0]


def _several_streams(path: Path, ids: list[int]) -> RecordingError:
    return RecordingError(
        str(path), got=f"{len(ids)} streams with events", expected="one stream",
        todo=f"choose one of {ids} with --stream (stream=ID)",
    )  # fmt: skip


def _read_other_streams(path: Path, pixels: Collection[int] | None) -> "OtherStreams | None":
    from stdl_events.events.formats.aedat4_extras import read_streams  # that module imports the registry of formats

    return read_streams(path, pixels)


FORMAT = Format(
    "AEDAT 4, as DV and dv-processing write it",
    open_aedat4,
    (".aedat4",),
    (Signature(MAGIC),),
    open_stream=open_aedat4,
    read_other_streams=_read_other_streams,
    follow=_follow,
)
