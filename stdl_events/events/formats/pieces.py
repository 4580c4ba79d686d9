"""Decoding of a file that is still written: its bytes arrive in pieces, cut anywhere."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from stdl_events.events.decoder import Block, RecordsDecoder, truncated

if TYPE_CHECKING:
    from stdl_events.events.decoder import Decoder

_LOOK_BYTES = 4096
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")

# Decodes what is complete in bytes that begin at an offset of the file: yields (block or None, bytes used so far).
Take: TypeAlias = Callable[[bytearray, int], Iterator[tuple[Block | None, int]]]


@dataclass
class Pieces:
    """Decoder of one file's events, piece by piece; what a piece leaves incomplete waits for the next.

    Attributes:
        offset: byte of the file at which the next events begin.
        take: see `Take`.
        end: decodes what is left at the end of the file; by default it raises for any.
    """

    path: Path
    offset: int
    take: Take
    end: Take | None = None
    _left: bytearray = field(default_factory=bytearray)

    @property
    def next_byte(self) -> int:
        """Byte of the file that `push` expects next."""
        return self.offset + len(self._left)

    def push(self, data: bytes) -> Iterator[Block]:
        """Yield the events that are complete with `data`, the next bytes of the file.

        Raises:
            CorruptRecordingError: the bytes contradict the format; raised after the events before.
        """
        self._left += data
        yield from self._taken(self.take)

    def finish(self) -> Iterator[Block]:
        """Yield what is left when nothing more is written.

        Raises:
            TruncatedRecordingError: that is an incomplete event or packet.
        """
        if self.end is not None:
            yield from self._taken(self.end)
        if self._left:
            raise truncated(self.path, self.offset, f"{len(self._left)} bytes of an event or packet")

    def _taken(self, take: Take) -> Iterator[Block]:
        used = 0
        try:
            for block, so_far in take(self._left, self.offset):
                used = so_far
                if block is not None:
                    yield block
        finally:
            del self._left[:used]
            self.offset += used


def follow_records(decoder: "Decoder", least_bytes: int = 1, header_mark: bytes = b"") -> Pieces:
    """Return the decoder of appended records of a fixed size.

    Args:
        least_bytes: of the data, on which the opening of the file depends.
        header_mark: first byte of the lines of the header, which may not be complete.

    Raises:
        TruncatedRecordingError: the file has less than that yet, or its header may go on.
    """
    records = cast(RecordsDecoder, decoder)
    refuse_open_header(records.path, records.data_offset, header_mark, least_bytes)
    decode, dtype = records.make_decode(), records.record_dtype
    most_bytes = records.block_records * dtype.itemsize

    def take(data: bytearray, offset: int) -> Iterator[tuple[Block, int]]:
        whole = len(data) - len(data) % dtype.itemsize
        for start in range(0, whole, most_bytes):
            stop = min(start + most_bytes, whole)
            events = decode(np.frombuffer(bytes(data[start:stop]), dtype))
            if records.t0_us:
                events["t"] += records.t0_us
            yield Block(events, offset + start), stop

    return Pieces(records.path, records.data_offset, take)


def refuse_open_header(path: Path, offset: int, mark: bytes, least_bytes: int = 1) -> None:
    """Refuse a file whose header may go on at byte `offset`: what is there could be the beginning of another line.

    Raises:
        TruncatedRecordingError: it may, or fewer than `least_bytes` follow.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(max(_LOOK_BYTES, least_bytes))
    is_line = bool(mark) and data.startswith(mark) and len(data) < _LOOK_BYTES and not _CONTROL.search(data)
    if len(data) < least_bytes or is_line:
        raise truncated(path, offset, f"{len(data)} bytes after the lines of the header")
