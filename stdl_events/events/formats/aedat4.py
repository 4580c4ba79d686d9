"""AEDAT 4: a FlatBuffers header that declares streams in XML, then packets, each compressed on its own.

Everything is decoded here, with every size and offset checked before it is used: the packages that read AEDAT 4 abort
the whole process on a damaged file, and once the checks have walked a packet, its events are one `frombuffer` away.
Times are absolute, Unix microseconds; pictures are stored upright. Packets of other streams (frames, IMU, triggers)
are skipped. Sources: iniVation's AEDAT 4 page and the FlatBuffers schemas of dv-processing.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias
from xml.etree import ElementTree

import lz4.frame
import numpy as np
import zstandard

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats.flatbuffers import root_table
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.stream import EVENT_DTYPE

MAGIC = b"#!AER-DAT4.0\r\n"
STORED_DTYPE = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16})
_COMPRESSIONS = {0: "none", 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
_PACKET_HEADER = struct.Struct("<iI")
_MAX_HEADER_BYTES = 1 << 24
_MAX_PACKET_BYTES = 1 << 26
_SMALL_PACKET_BYTES = 1 << 16
_UNPACK_STEP_BYTES = 1 << 21
_LZ4_NAMES_SIZE = 1 << 3
_BLOCK_BYTES = STORED_DTYPE.itemsize << 14

Unpacker: TypeAlias = Callable[[bytes], bytes]


@dataclass(frozen=True)
class EventStream:
    """One declared stream of events."""

    id: int
    sensor_size: tuple[int, int]


@dataclass(frozen=True)
class Aedat4Decoder:
    """Decoder of one event stream of an AEDAT 4 file."""

    path: Path
    stream: EventStream
    compression: str
    data_offset: int
    table_offset: int | None

    @property
    def header(self) -> Header:
        return Header(self.stream.sensor_size, "header")

    def blocks(self) -> Iterator[Block]:
        with self.path.open("rb") as file:
            unpack = make_unpacker(self.compression)
            waiting: list[memoryview] = []
            waiting_bytes, first_offset = 0, 0
            try:
                for stream_id, offset, size in walk_packets(file, self.path, self.data_offset, self.table_offset):
                    if stream_id != self.stream.id:
                        continue
                    file.seek(offset)
                    stored = self._stored_events(file.read(size), offset, unpack)
                    first_offset = first_offset if waiting else offset
                    waiting.append(stored)
                    waiting_bytes += len(stored)
                    if waiting_bytes >= _BLOCK_BYTES:
                        yield from _blocks_of(waiting, first_offset)
                        waiting, waiting_bytes = [], 0
            except (TruncatedRecordingError, CorruptRecordingError):
                yield from _blocks_of(waiting, first_offset)
                raise
            yield from _blocks_of(waiting, first_offset)

    def _stored_events(self, packet: bytes, offset: int, unpack: Unpacker) -> memoryview:
        """The bytes of the event structs of one packet, which begins at `offset`."""

        def fail(got: str) -> CorruptRecordingError:
            return corrupt(self.path, offset, f"{got}, in the packet", "a packet of events")

        try:
            data = unpack(packet)
        except (RuntimeError, EOFError, ValueError, MemoryError, zstandard.ZstdError) as error:
            raise fail(f"{self.compression} data that does not unpack ({error})") from None
        if len(data) < 4 or int.from_bytes(data[:4], "little") > len(data) - 4:
            raise fail(f"{len(data)} bytes of a larger buffer")
        table = memoryview(data)[4:]
        start, count = root_table(table, b"EVTS", fail).vector(0, STORED_DTYPE.itemsize)
        return table[start : start + count * STORED_DTYPE.itemsize]


def _blocks_of(packets: list[memoryview], offset: int) -> Iterator[Block]:
    """The events of the structs of some packets, the first of which begins at `offset`; few enough for the caches."""
    data = packets[0] if len(packets) == 1 else b"".join(packets)
    for start in range(0, len(data), _BLOCK_BYTES):
        stored = np.frombuffer(data[start : start + _BLOCK_BYTES], STORED_DTYPE)
        events = np.empty(len(stored), EVENT_DTYPE)
        for name in ("t", "x", "y"):
            # A negative coordinate becomes one above 32767, outside every sensor of this format.
            events[name] = stored[name]
        events["p"] = stored["p"] != 0
        yield Block(events, offset)


def _unpack_lz4(packet: bytes) -> bytes:
    # LZ4 unpacks to at most 255 times its size, but the package believes the size that the frame's header may name.
    names_size = len(packet) > 4 and packet[4] & _LZ4_NAMES_SIZE
    if len(packet) <= _SMALL_PACKET_BYTES and not names_size:
        data: bytes = lz4.frame.decompress(packet)
        return data
    unpacker = lz4.frame.LZ4FrameDecompressor()
    parts = [unpacker.decompress(packet, max_length=_UNPACK_STEP_BYTES)]
    while not unpacker.eof and len(parts) * _UNPACK_STEP_BYTES < _MAX_PACKET_BYTES:
        parts.append(unpacker.decompress(b"", max_length=_UNPACK_STEP_BYTES))
        if not parts[-1]:
            break
    if not unpacker.eof:
        raise ValueError(f"cut off, or more than {_MAX_PACKET_BYTES} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def make_unpacker(compression: str) -> Unpacker:
    """A function from a packet to its buffer of at most `_MAX_PACKET_BYTES`: damage must not ask for all memory.

    It raises what the packages raise, or a ValueError where the packet is cut off or unpacks to more.
    """
    if compression == "none":
        return lambda packet: packet
    if compression == "lz4":
        return _unpack_lz4
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_PACKET_BYTES)

    def unpack_zstd(packet: bytes) -> bytes:
        data = decompressor.stream_reader(packet).read(_MAX_PACKET_BYTES)
        if len(data) == _MAX_PACKET_BYTES:
            raise ValueError(f"more than {_MAX_PACKET_BYTES} bytes")
        return data

    return unpack_zstd


def walk_packets(
    file: BinaryIO, path: Path, data_offset: int, table_offset: int | None
) -> Iterator[tuple[int, int, int]]:
    """Yield (stream id, byte offset of the data, bytes) of every packet, up to the table of packets or the file's end.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: a packet does not end where it must.
    """
    file_bytes = file.seek(0, 2)
    end = file_bytes if table_offset is None else table_offset
    offset = data_offset
    while offset < min(end, file_bytes):
        file.seek(offset)
        header = file.read(_PACKET_HEADER.size)
        if len(header) < _PACKET_HEADER.size:
            raise truncated(path, offset, f"{len(header)} of {_PACKET_HEADER.size} bytes of a packet's header")
        stream_id, size = _PACKET_HEADER.unpack(header)
        packet_end = offset + _PACKET_HEADER.size + size
        if packet_end > file_bytes:
            raise truncated(path, offset, f"{file_bytes - offset} of {packet_end - offset} bytes of a packet")
        if packet_end > end:
            raise corrupt(path, offset, f"a packet of {size} bytes", f"packets that end at byte {end}")
        yield stream_id, offset + _PACKET_HEADER.size, size
        offset = packet_end
    if end > file_bytes:
        raise truncated(path, offset, f"nothing of the {end - offset} bytes")


def open_aedat4(path: Path, stream: int | None = None) -> Aedat4Decoder:
    """Read the header of an AEDAT 4 file and choose its stream of events.

    Args:
        stream: the id of the stream, needed where several streams hold events.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
        RecordingError: no stream of events is declared, or several hold events and none was chosen.
    """
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise corrupt(path, 0, f"{magic!r}", f"the first line of AEDAT 4, {MAGIC.decode().strip()}")
        compression, table_offset, xml, data_offset = _read_header(file, path)
        streams = _event_streams(path, xml)
        chosen = _choose(file, path, streams, stream, data_offset, table_offset)
    return Aedat4Decoder(path, chosen, compression, data_offset, table_offset)


def _read_header(file: BinaryIO, path: Path) -> tuple[str, int | None, str, int]:
    """(compression, byte offset of the table of packets, XML, byte offset of the first packet)."""

    def fail(got: str) -> CorruptRecordingError:
        return corrupt(path, len(MAGIC), f"{got}, in the header", "a header of AEDAT 4")

    prefix = file.read(4)
    size = int.from_bytes(prefix, "little")
    if len(prefix) == 4 and not 8 <= size <= _MAX_HEADER_BYTES:
        raise fail(f"{size} bytes")
    data = file.read(size)
    if len(prefix) < 4 or len(data) < size:
        raise truncated(path, len(MAGIC), f"{len(data)} of {size} bytes of the header")
    table = root_table(data, b"IOHE", fail)
    code = table.int32(0)
    if code not in _COMPRESSIONS:
        raise fail(f"the compression {code}")
    data_offset = len(MAGIC) + 4 + size
    table_offset = table.int64(1, -1)
    if -1 < table_offset < data_offset:
        raise fail(f"a table of packets at byte {table_offset}")
    return _COMPRESSIONS[code], None if table_offset < 0 else table_offset, table.string(2), data_offset


def _event_streams(path: Path, xml: str) -> list[EventStream]:
    """The streams of type EVTS that the header's XML declares."""
    if "<!" in xml:
        raise corrupt(path, len(MAGIC), "a document type or entity in the header's XML", "plain elements")
    try:
        root = ElementTree.fromstring(xml)
        streams = []
        for node in root.iterfind("./node[@name='outInfo']/node"):
            if (node.findtext("attr[@key='typeIdentifier']") or "").strip() != "EVTS":
                continue
            size = [int(node.findtext(f"node[@name='info']/attr[@key='{key}']") or "") for key in ("sizeX", "sizeY")]
            streams.append(EventStream(int(node.get("name") or ""), (size[0], size[1])))
    except (ElementTree.ParseError, ValueError) as error:
        raise corrupt(path, len(MAGIC), f"header XML that does not parse ({error})", "declared streams") from None
    for stream in streams:
        if not (0 < stream.sensor_size[0] <= 32768 and 0 < stream.sensor_size[1] <= 32768):
            raise corrupt(path, len(MAGIC), f"the sensor size {stream.sensor_size}", "width and height up to 32768")
    return streams


def _choose(
    file: BinaryIO,
    path: Path,
    streams: list[EventStream],
    wanted: int | None,
    data_offset: int,
    table_offset: int | None,
) -> EventStream:
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
            for stream_id, _, _ in walk_packets(file, path, data_offset, table_offset):
                filled.add(stream_id)
        except (TruncatedRecordingError, CorruptRecordingError):
            pass  # reading the packets raises it again, or repairs it
        streams = [stream for stream in streams if stream.id in filled] or streams[:1]
    if not streams:
        raise RecordingError(
            str(path), got="no stream of events", expected="a recording with events", todo="use another recording"
        )
    if len(streams) > 1:
        ids = [stream.id for stream in streams]
        raise RecordingError(
            str(path), got=f"{len(ids)} streams with events", expected="one stream",
            todo=f"choose one of {ids} with --stream (stream=ID)",
        )  # fmt: skip
    return streams[0]


FORMAT = Format(
    "AEDAT 4, as DV and dv-processing write it",
    open_aedat4,
    (".aedat4",),
    (Signature(MAGIC),),
    open_stream=open_aedat4,
)
