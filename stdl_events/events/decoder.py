"""The interface between the readers of file formats and `Recording`, and helpers for fixed-size records.

A reader only decodes. It yields blocks as stored, in file order, and raises at the first damage, after the blocks
before it. `Recording` sorts, checks coordinates, repairs and cuts chunks for all formats.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, TruncatedRecordingError
from stdl_events.events.stream import EventArray

BLOCK_EVENTS = 1 << 15
# File systems fill what was not written before a crash with zeros; events never are so many zeros.
ZERO_TAIL = bytes(256)
_SCANNED_BYTES = 1 << 20
TODO_DAMAGE = "copy the file again, or use the events before the damage with --repair (repair=True)"

SizeFrom = Literal["header", "format", "argument", "inferred"]
TimeUnitFrom = Literal["header", "format", "option", "guessed"]


@dataclass(frozen=True)
class OffEverySensor:
    """Events of a block whose coordinates are below 0 or above 65535.

    Attributes:
        before: for each of them, the index of the event of the block that follows it.
        first: the coordinates of the first of them, in words.
    """

    before: npt.NDArray[np.intp]
    first: str


class Block(NamedTuple):
    """Decoded events of one part of the file, `EVENT_DTYPE`, not yet sorted or checked; `offset` in bytes.

    Attributes:
        is_reset: the file says that the clock was reset before these events.
        off: further events, which `EVENT_DTYPE` cannot hold; None if there are none.
    """

    events: EventArray
    offset: int
    is_reset: bool = False
    off: OffEverySensor | None = None


class Interpretation(Protocol):
    """The interpretation of values that a format leaves open, such as the unit of time in a table."""

    @property
    def time_unit(self) -> str:
        """Name in `TIME_UNITS`."""
        ...

    @property
    def time_unit_from(self) -> TimeUnitFrom:
        """Origin of `time_unit`."""
        ...

    def use_time_unit(self, unit: str) -> str | None:
        """Read times in `unit`; return a warning if the file states another."""
        ...

    def settle(self, count: int, t_first_us: int | None, t_last_us: int | None) -> bool:
        """Compare it with a whole pass of `count` events; False if it has changed and the pass must be repeated."""
        ...

    def warnings(self) -> list[str]:
        """Return what was guessed or changed, after `settle`."""
        ...


@dataclass(frozen=True)
class Header:
    """Header of a recording.

    Attributes:
        sensor_size: (width, height) from the header or the format, None if neither gives it.
        sensor_size_from: the origin of `sensor_size`.
        y_up: the stored y grows upwards; `Recording` flips it once the height is known.
        attributes: further entries of the header, by name.
        is_checked: the events come from a recording that was read before: no stray events, takes or outliers are
            looked for.
        interpretation: of the file's values, if the format leaves them open; None if the format counts microseconds.
    """

    sensor_size: tuple[int, int] | None = None
    sensor_size_from: Literal["header", "format"] | None = None
    y_up: bool = False
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    is_checked: bool = False
    interpretation: Interpretation | None = None


class Decoder(Protocol):
    """A recognised file whose header has been read."""

    @property
    def header(self) -> Header: ...

    def blocks(self) -> Iterator[Block]:
        """Decode the file from its start, one bounded block at a time; every call restarts."""
        ...


Records: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class RecordsDecoder:
    """Decoder of a file with a header followed by fixed-size records.

    `make_decode()` returns a new function for one pass. It turns a block of complete records into events and may carry
    state, such as the clock's wraps, from block to block. `t0_us` is added to all times.
    """

    path: Path
    header: Header
    record_dtype: np.dtype[Any]
    data_offset: int
    make_decode: Callable[[], Callable[[Records], EventArray]]
    t0_us: int = 0
    block_records: int = BLOCK_EVENTS
    zeros_are_events: bool = True

    def blocks(self) -> Iterator[Block]:
        decode = self.make_decode()
        found = read_records(
            self.path, self.data_offset, self.record_dtype, self.block_records, zeros_end_it=self.zeros_are_events
        )
        for records, offset in found:
            events = decode(records)
            if self.t0_us:
                events["t"] += self.t0_us
            yield Block(events, offset)


def read_records(
    path: Path,
    data_offset: int,
    record_dtype: np.dtype[Any],
    block_records: int = BLOCK_EVENTS,
    *,
    zeros_end_it: bool = False,
) -> Iterator[tuple[Records, int]]:
    """Yield (records, byte offset of the first) from `data_offset` to the end of the file.

    Args:
        zeros_end_it: many zeros at the end of the file are no records.

    Raises:
        TruncatedRecordingError: the file ends inside a record, or in zeros; raised after the records before.
    """
    size = record_dtype.itemsize
    with open(path, "rb") as file:  # `Path.open` takes half as long again
        file.seek(data_offset)
        offset = data_offset
        # A short file is read at once: the record that is missing shows its end.
        block_bytes = size * min(block_records, os.fstat(file.fileno()).st_size // size + 1)
        while data := file.read(block_bytes):
            if zeros_end_it and data.endswith(ZERO_TAIL) and only_zeros_follow(file):
                kept = -(-len(data.rstrip(b"\0")) // size)
                if kept:
                    yield np.frombuffer(data, record_dtype, kept), offset
                raise zero_tail(path, offset + kept * size)
            whole = len(data) // size
            if whole:
                yield np.frombuffer(data, record_dtype, whole), offset
            offset += whole * size
            if whole * size < len(data):
                raise truncated(path, offset, f"{len(data) - whole * size} of {size} bytes of a record")
            if len(data) < block_bytes:
                return


def only_zeros_follow(file: BinaryIO) -> bool:
    """True if nothing but zeros is between the place of an open file and its end; the place stays."""
    here = file.tell()
    found = not any(data.strip(b"\0") for data in iter(lambda: file.read(_SCANNED_BYTES), b""))
    file.seek(here)
    return found


def zero_tail(path: Path, offset: int) -> TruncatedRecordingError:
    """Return the error for a file of which nothing but zeros follows from byte `offset` on."""
    got = f"{path.stat().st_size - offset} bytes of zeros up to the end, from byte {offset} on"
    return TruncatedRecordingError(str(path), got=got, expected="events: it was not saved to the end", todo=TODO_DAMAGE)


def read_beginning(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of the file at `path`, fewer if it is shorter.

    Raises:
        OSError: the file is not readable.
    """
    # A file object takes longer to make than so few bytes to read.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, min(count, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)


def truncated(path: Path, offset: int, got: str) -> TruncatedRecordingError:
    """Return the error for a truncated file; `got` names the available part of the item at byte `offset`."""
    expected = "a complete one before the end of the file"
    return TruncatedRecordingError(
        str(path), got=f"{got}, which starts at byte {offset}", expected=expected, todo=TODO_DAMAGE
    )


def corrupt(path: Path, offset: int, got: str, expected: str) -> CorruptRecordingError:
    """Return the error for bytes at `offset` that violate the format."""
    return CorruptRecordingError(str(path), got=f"{got} at byte {offset}", expected=expected, todo=TODO_DAMAGE)
