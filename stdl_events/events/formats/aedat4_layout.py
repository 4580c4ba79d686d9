"""The structure of an AEDAT 4 file: its header, its declared streams, and the positions of its packets.

Every size and offset is checked before use. Sources: iniVation's AEDAT 4 page and the FlatBuffers schemas of
dv-processing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from stdl_events.errors import CorruptRecordingError
from stdl_events.events.decoder import corrupt, truncated
from stdl_events.events.formats.flatbuffers import root_table
from stdl_events.events.formats.stated_size import find_size

MAGIC = b"#!AER-DAT4.0\r\n"
_COMPRESSIONS = {0: "none", 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
PACKET_HEADER = struct.Struct("<iI")
_MAX_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class EventStream:
    """One declared stream of events; `sensor_size` is None if it is not declared, as in files of some writers."""

    id: int
    sensor_size: tuple[int, int] | None


@dataclass(frozen=True)
class Layout:
    """Header of an AEDAT 4 file.

    Attributes:
        compression: of each packet: "none", "lz4" or "zstd".
        event_streams: the streams of type EVTS.
        other_streams: number -> type of the others: FRME (pictures), IMUS, TRIG (triggers), or an unknown type.
        data_offset: byte of the first packet.
        table_offset: byte of the table of packets at the end of the file, None if the file was never closed.
    """

    compression: str
    event_streams: list[EventStream]
    other_streams: dict[int, str]
    data_offset: int
    table_offset: int | None


def read_layout(file: BinaryIO, path: Path) -> Layout:
    """Read the header of an AEDAT 4 file from its first byte.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is damaged, or not of AEDAT 4.
    """
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise corrupt(path, 0, f"{magic!r}", f"the first line of AEDAT 4, {MAGIC.decode().strip()}")
    compression, table_offset, xml, data_offset = _read_header(file, path)
    event_streams, other_streams = _declared_streams(path, xml)
    return Layout(compression, event_streams, other_streams, data_offset, table_offset)


def _read_header(file: BinaryIO, path: Path) -> tuple[str, int | None, str, int]:
    """Return (compression, byte offset of the table of packets, XML, byte offset of the first packet)."""

    def fail(got: str) -> CorruptRecordingError:
        return corrupt(path, len(MAGIC), f"{got}, in the header", "a header of AEDAT 4")

    prefix = file.read(4)
    size = int.from_bytes(prefix, "little")
    if len(prefix) < 4:
        raise truncated(path, len(MAGIC), f"{len(prefix)} of 4 bytes of the header's length")
    if not 8 <= size <= _MAX_HEADER_BYTES:
        raise fail(f"{size} bytes")
    data = file.read(size)
    if len(data) < size:
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


def _declared_streams(path: Path, xml: str) -> tuple[list[EventStream], dict[int, str]]:
    """Return (streams of events, number -> type of the others) from the header's XML."""
    if "<!" in xml:
        raise corrupt(path, len(MAGIC), "a document type or entity in the header's XML", "plain elements")
    try:
        root = ElementTree.fromstring(xml)
        streams, others = [], {}
        for node in root.iterfind("./node[@name='outInfo']/node"):
            kind = (node.findtext("attr[@key='typeIdentifier']") or "").strip()
            if kind != "EVTS":
                if (node.get("name") or "").isdecimal():
                    others[int(node.get("name") or "")] = kind
                continue
            streams.append(EventStream(int(node.get("name") or ""), _declared_size(path, node)))
    except (ElementTree.ParseError, ValueError) as error:
        raise corrupt(path, len(MAGIC), f"header XML that does not parse ({error})", "declared streams") from None
    return streams, others


def _declared_size(path: Path, node: ElementTree.Element) -> tuple[int, int] | None:
    """Return the (width, height) of a stream; None if both are missing, empty or 0, or they are no size."""
    info = {key: (node.findtext(f"node[@name='info']/attr[@key='{key}']") or "").strip() for key in ("sizeX", "sizeY")}
    return None if set(info.values()) <= {"", "0"} else find_size(path, info, lambda name: [info[name]])


def walk_packets(file: BinaryIO, path: Path, layout: Layout) -> Iterator[tuple[int, int, int]]:
    """Yield (stream id, byte offset of the data, bytes) of every packet, up to the table of packets or the file's end.

    Each time the file is at that byte; the caller may move it.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: a packet does not end at the expected byte.
    """
    file_bytes = file.seek(0, 2)
    end = file_bytes if layout.table_offset is None else layout.table_offset
    offset = layout.data_offset
    while offset < min(end, file_bytes):
        file.seek(offset)
        header = file.read(PACKET_HEADER.size)
        if len(header) < PACKET_HEADER.size:
            raise truncated(path, offset, f"{len(header)} of {PACKET_HEADER.size} bytes of a packet's header")
        stream_id, size = PACKET_HEADER.unpack(header)
        packet_end = offset + PACKET_HEADER.size + size
        if packet_end > file_bytes:
            raise truncated(path, offset, f"{file_bytes - offset} of {packet_end - offset} bytes of a packet")
        if packet_end > end:
            raise corrupt(path, offset, f"a packet of {size} bytes", f"packets that end at byte {end}")
        yield stream_id, offset + PACKET_HEADER.size, size
        offset = packet_end
    if end > file_bytes:
        raise truncated(path, offset, f"nothing of the {end - offset} bytes")
