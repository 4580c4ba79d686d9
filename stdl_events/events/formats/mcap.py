"""MCAP of our own recordings, as `live --record FILE.mcap` writes it, without the package mcap.

Records of (opcode, size, content) follow the magic; chunks hold further records, each chunk compressed on its own. The
schemas and channels come before all messages. Messages of the schema `EVENTS_SCHEMA` are JSON with the sensor's size
and events as base64 of `RECORD_DTYPE`; those of other schemas, pictures and predictions, are skipped. A file that was
never closed ends behind any record.
Source: mcap.dev, "MCAP Format Specification", version 0.
"""

import base64
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats.aedat4 import MAX_PACKET_BYTES, UNPACK_ERRORS, make_unpacker
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.stream import EVENT_DTYPE, EventArray

MAGIC = b"\x89MCAP0\r\n"
EVENTS_SCHEMA = "stdl_events.Events"
# Records of a message of events: t in microseconds, x, y, and p, 1 for brighter.
RECORD_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])

_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 3, 4, 5, 6, 15
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_COMPRESSIONS = {"": "none", "lz4": "lz4", "zstd": "zstd"}


@dataclass(frozen=True)
class Message:
    """A message of events, whose record or chunk is at byte `offset` of the file."""

    offset: int
    size: tuple[int, int]
    events: EventArray


@dataclass(frozen=True)
class McapDecoder:
    """Decoder of the events of one file."""

    path: Path
    header: Header

    def blocks(self) -> Iterator[Block]:
        for message in read_messages(self.path):
            yield Block(message.events, message.offset)


def open_mcap(path: Path) -> McapDecoder:
    """Read the file up to its first message of events.

    Raises:
        UnknownFormatError: it declares no events of ours.
        TruncatedRecordingError, CorruptRecordingError: it is damaged before.
    """
    first = next(read_messages(path), None)
    return McapDecoder(path, Header() if first is None else Header(first.size, "header"))


def read_messages(path: Path) -> Iterator[Message]:
    """Yield the messages of events of the file at `path`, in its order.

    Raises:
        UnknownFormatError, TruncatedRecordingError, CorruptRecordingError: see `open_mcap`; after all messages before.
    """
    channels = _Channels(path)
    with path.open("rb") as file:
        for opcode, offset, content in _records_of_file(file, path):
            try:
                records = _records_of_chunk(content) if opcode == _CHUNK else [(opcode, content)]
                for kind, record in records:
                    data = channels.events_in(kind, record)
                    if data is not None:
                        yield Message(offset, *_parsed(data))
            except _Damage as damage:
                raise corrupt(path, offset, str(damage), "a record of MCAP") from None
    if channels.topics:  # a run without events declares none
        channels.require_events()


class _Damage(ValueError):
    """A record contradicts the format; the text says how."""


class _Channels:
    """The channels of a file so far, and which of them carry events.

    Attributes:
        topics: of all channels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schemas: dict[int, str] = {}
        self.topics: list[str] = []
        self._with_events: set[int] = set()

    def events_in(self, opcode: int, record: memoryview) -> memoryview | None:
        """Return the data of a message of events; None for other records, of which schemas and channels are noted."""
        if opcode == _SCHEMA:
            (number,) = _unpack("<H", record)
            self._schemas[number] = _text(record, 2)[0]
        elif opcode == _CHANNEL:
            number, schema = _unpack("<HH", record)
            self.topics.append(_text(record, 4)[0])
            if self._schemas.get(schema) == EVENTS_SCHEMA:
                self._with_events.add(number)
        elif opcode == _MESSAGE:
            self.require_events()
            if _unpack(_MESSAGE_HEAD.format, record)[0] in self._with_events:
                return record[_MESSAGE_HEAD.size :]
        return None

    def require_events(self) -> None:
        """Check that a channel of events was declared.

        Raises:
            UnknownFormatError: none was.
        """
        if not self._with_events:
            topics = ", ".join(self.topics[:5]) or "none"
            raise UnknownFormatError(
                str(self._path), got=f"an MCAP file without events of ours (topics: {topics})",
                expected=f"a topic of the schema {EVENTS_SCHEMA}, as `live --record` writes it",
                todo="convert it to another format with the software that wrote it",
            )  # fmt: skip


def _records_of_file(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (opcode, byte, content) of the schemas, channels, messages and chunks outside of other chunks."""
    file_bytes = os.fstat(file.fileno()).st_size
    offset = len(MAGIC)
    file.seek(offset)
    while head := file.read(_RECORD.size):
        if len(head) < _RECORD.size:
            raise truncated(path, offset, f"{len(head)} of {_RECORD.size} bytes of a record's head")
        opcode, size = _RECORD.unpack(head)
        if opcode == _DATA_END:
            return
        if offset + _RECORD.size + size > file_bytes:
            raise truncated(path, offset, f"{file_bytes - offset} of {_RECORD.size + size} bytes of a record")
        if opcode in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK):
            if size > MAX_PACKET_BYTES:
                raise corrupt(path, offset, f"a record of {size} bytes", f"at most {MAX_PACKET_BYTES}")
            yield opcode, offset, memoryview(file.read(size))
        offset += _RECORD.size + size
        file.seek(offset)


def _records_of_chunk(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    *_, crc = _unpack(_CHUNK_HEAD.format, content)
    compression, begin = _text(content, _CHUNK_HEAD.size)
    (size,) = _unpack("<Q", content[begin:])
    begin += 8
    if compression not in _COMPRESSIONS:
        raise _Damage(f"a chunk of the compression {compression!r}")
    if begin + size > len(content):
        raise _Damage("a chunk that is smaller than its records")
    try:
        data = memoryview(make_unpacker(_COMPRESSIONS[compression])(content[begin : begin + size]))
    except UNPACK_ERRORS as error:
        raise _Damage(f"a chunk that does not unpack ({error})") from None
    if crc and zlib.crc32(data) != crc:
        raise _Damage("a chunk with a wrong checksum")
    at = 0
    while at < len(data):
        opcode, size = _unpack(_RECORD.format, data[at:])
        at += _RECORD.size
        if at + size > len(data):
            raise _Damage("a record that ends outside its chunk")
        yield opcode, data[at : at + size]
        at += size


def _parsed(data: memoryview) -> tuple[tuple[int, int], EventArray]:
    """Return (sensor size, events) of a message."""
    try:
        message = json.loads(bytes(data))
        size = message["width"], message["height"]
        packed = base64.b64decode(message["events"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _Damage("a message that is no JSON object of events") from None
    if not all(type(side) is int and 0 < side <= 1 << 16 for side in size):
        raise _Damage(f"a message of a sensor of {str(size)[:60]}")
    if len(packed) % RECORD_DTYPE.itemsize or message.get("count") != len(packed) // RECORD_DTYPE.itemsize:
        raise _Damage(f"a message of {len(packed)} bytes of events, which are not as many as it counts")
    stored = np.frombuffer(packed, RECORD_DTYPE)
    events = np.empty(len(stored), EVENT_DTYPE)
    for name in ("t", "x", "y"):
        events[name] = stored[name]
    np.not_equal(stored["p"], 0, out=events["p"])
    return size, events


def _unpack(layout: str, data: memoryview) -> tuple[Any, ...]:
    """Return the values at the beginning of `data`."""
    try:
        return struct.unpack_from(layout, data)
    except struct.error:
        raise _Damage("a record that is cut off") from None


def _text(data: memoryview, at: int) -> tuple[str, int]:
    """Return (the text whose length is at byte `at`, the byte behind it)."""
    (size,) = _unpack("<I", data[at:])
    end = at + 4 + size
    if end > len(data):
        raise _Damage("a text that ends outside its record")
    return bytes(data[at + 4 : end]).decode("utf-8", "replace"), end


FORMAT = Format("MCAP, as `live --record` writes it", open_mcap, (".mcap",), (Signature(MAGIC),))
