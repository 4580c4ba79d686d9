"""Text and CSV: one event a line, with columns named in a header line or recognised by their values.

Comments begin with `#` or `%`; columns are separated by commas, semicolons, tabs or spaces. A first line of two
integers is the sensor's width and height. Integer times are microseconds (nanoseconds above 10^17), times with
fractions are seconds. jAER's export, recognised by its first line, counts rows upwards and is flipped.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats import columns
from stdl_events.events.formats.format import Format

_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22
_JAER = b"# jAER"
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class TextDecoder:
    """Decoder of lines of numbers.

    Attributes:
        data_offset: byte of the first event's line.
        order: assignment of the columns to t, x, y and p.
        width: number of columns in a line.
    """

    path: Path
    header: Header
    data_offset: int
    delimiter: str | None
    order: dict[str, int]
    width: int
    us_per_unit: float

    def blocks(self) -> Iterator[Block]:
        offset, left_over = self.data_offset, b""
        with self.path.open("rb") as file:
            file.seek(offset)
            while data := file.read(_BLOCK_BYTES):
                data = left_over + data
                end = data.rfind(b"\n") + 1
                left_over = data[end:]
                if len(left_over) > _BLOCK_BYTES:
                    raise corrupt(self.path, offset + end, "a line without an end", "one event a line")
                yield from self._block(data[:end], offset)
                offset += end
            if left_over.strip():
                yield from self._block(left_over, offset)

    def _block(self, data: bytes, offset: int) -> Iterator[Block]:
        """Yield the events of complete lines, up to the first bad line, for which it raises."""
        try:
            yield Block(self._events(data, offset), offset)
            return
        except ValueError:
            good, line = self._split_at_bad_line(data)
        if good:
            yield Block(self._events(data[:good], offset), offset)
        if not data.endswith(b"\n") and good + len(line) == len(data):
            raise truncated(self.path, offset + good, f"{line[:60]!r} as the last line")
        raise corrupt(self.path, offset + good, f"the line {line[:60]!r}", f"{self.width} numbers")

    def _split_at_bad_line(self, data: bytes) -> tuple[int, bytes]:
        """Return (bytes of the good lines, the first bad line)."""
        good = 0
        for line in _lines(data):
            try:
                self._events(line, 0)
            except ValueError:
                return good, line
            good += len(line)
        return 0, data

    def _events(self, data: bytes, offset: int) -> npt.NDArray[np.void]:
        table = _parse(data, self.delimiter, self.width)
        named = {field: table[:, index] for field, index in self.order.items()}
        return columns.to_events(self.path, offset, named, self.us_per_unit)


def _lines(data: bytes) -> list[bytes]:
    """Split `data` into lines with their line feeds; a carriage return alone does not end a line."""
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def _parse(data: bytes, delimiter: str | None, width: int) -> npt.NDArray[Any]:
    """Parse to [N, width] numbers, integers if all are; a ValueError if a line is not `width` numbers."""
    for comment in (b"%", b"#"):
        if comment in data:
            data = re.sub(rb"(?m)^\s*" + comment + rb".*$", b"", data)
    if not data.strip():
        return np.empty((0, width), np.int64)
    dtype = np.float64 if re.search(rb"[.eEnN]", data) else np.int64
    table = np.loadtxt(io.BytesIO(data), dtype, comments=None, delimiter=delimiter, ndmin=2)
    if table.shape[1] != width:
        raise ValueError(f"{table.shape[1]} columns")
    return table


def open_text(path: Path) -> TextDecoder:
    """Read the first lines of a text file: comments, sensor size, names of columns, and the kind of its values.

    Raises:
        UnknownFormatError: the file is not text of at least four columns of numbers, or its columns are ambiguous.
        CorruptRecordingError: its first events are not lines of numbers.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if b"\0" in head:
        raise UnknownFormatError(
            str(path), got="binary data", expected="text with one event a line", todo="check --format"
        )
    offset, size, names = 0, None, None
    first_line = b""
    for line in _lines(head):
        words = [word for word in re.split(rb"[\s,;]+", line.strip()) if word]
        is_comment = not words or line.lstrip()[:1] in (b"#", b"%")
        if len(words) == 2 and size is None and all(word.isdigit() and len(word) < 6 for word in words):
            size = int(words[0]), int(words[1])
        elif not is_comment and not all(_NUMBER.fullmatch(word) for word in words) and names is None:
            names = [word.decode("latin-1").strip("\"'") for word in words]
        elif not is_comment:
            first_line = line
            break
        offset += len(line)
    if size is not None and 0 in size:
        raise corrupt(path, 0, f"the sensor size {size[0]}x{size[1]}", "width and height above 0")
    delimiter = next((mark for mark in (",", ";", "\t") if mark.encode() in first_line), None)
    header = Header(size, "header" if size else None, y_up=head.startswith(_JAER))
    return _with_columns(path, header, head[offset:], offset, delimiter, names)


def _with_columns(
    path: Path, header: Header, data: bytes, offset: int, delimiter: str | None, names: list[str] | None
) -> TextDecoder:
    first = data[: data.rfind(b"\n") + 1] if len(data) > _HEAD_BYTES // 2 else data
    width = len(first.split(b"\n", 1)[0].split(delimiter.encode() if delimiter else None))
    if names is not None:
        order = {field: names.index(name) for field, name in columns.match_names(path, names).items()}
        if first.strip() and width != len(names):
            got = f"a line of {width} words under {len(names)} names of columns"
            raise corrupt(path, offset, got, f"{len(names)} numbers")
        width = len(names)
    elif width != 4:
        raise UnknownFormatError(
            str(path), got=f"lines of {width} words that no header line names", expected="lines of t, x, y and p",
            todo="name the columns in a first line, such as t,x,y,p",
        )  # fmt: skip
    good = first
    try:
        table = _parse(first, delimiter, width)
    except ValueError:
        # The pass over the events reports a bad line further down; the first line must be good.
        good = first.split(b"\n", 1)[0]
        try:
            table = _parse(good, delimiter, width)
        except ValueError:
            raise corrupt(path, offset, f"the line {good[:60]!r}", f"{width} numbers") from None
    if names is None:
        order = columns.match_values(path, table)
    return TextDecoder(path, header, offset, delimiter, order, width, columns.time_scale(table[:, order["t"]]))


FORMAT = Format("text, one event a line", open_text, (".txt", ".csv", ".tsv"))
