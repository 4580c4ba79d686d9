"""Text and CSV: one event a line, with columns named in a header line or recognised by their values.

Comments begin with `#` or `%`; columns are separated by commas, semicolons, tabs or spaces. `text_header` reads the
lines before the first event. A first column without a name, or one that numbers the lines, is left out. jAER's export,
recognised by its first line, counts rows upwards and is flipped.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, UnknownFormatError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats import columns, text_header
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format
from stdl_events.events.formats.polarity import polarity_of_word

_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22
_JAER = b"# jAER"
_BOM = b"\xef\xbb\xbf"
_WORDS = re.compile(rb"(?i)\b(on|true|pos|positive|off|false|neg|negative)\b")


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
    reading: ColumnReading
    has_words: bool = False

    def blocks(self) -> Iterator[Block]:
        offset, left_over = self.data_offset, b""
        self.reading.restart()
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
        except UnknownFormatError:
            raise
        except ValueError:
            good, line, error = self._split_at_bad_line(data, offset)
        if good:
            yield Block(self._events(data[:good], offset), offset)
        if isinstance(error, CorruptRecordingError):
            raise error
        if not data.endswith(b"\n") and good + len(line) == len(data):
            raise truncated(self.path, offset + good, f"{line[:60]!r} as the last line")
        raise corrupt(self.path, offset + good, f"the line {line[:60]!r}", f"{self.width} numbers")

    def _split_at_bad_line(self, data: bytes, offset: int) -> tuple[int, bytes, ValueError | None]:
        """Return (bytes of the good lines, the first bad line, its error)."""
        good = 0
        for line in _lines(data):
            try:
                self._events(line, offset + good)
            except ValueError as error:
                return good, line, error
            good += len(line)
        return 0, data, None

    def _events(self, data: bytes, offset: int) -> npt.NDArray[np.void]:
        table = _parse(data, self.delimiter, self.width, self.has_words)
        named = {field: table[:, index] for field, index in self.order.items()}
        return self.reading.to_events(offset, named)


def _lines(data: bytes) -> list[bytes]:
    """Split `data` into lines with their line feeds; a carriage return alone does not end a line."""
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def _parse(data: bytes, delimiter: str | None, width: int, has_words: bool = False) -> npt.NDArray[Any]:
    """Parse to [N, width] numbers, integers if all are; a ValueError if a line is not `width` numbers.

    Args:
        has_words: polarity is written as a word, or values are quoted; an empty or quoted first column is a row's name.
    """
    for comment in (b"%", b"#"):
        if comment in data:
            data = re.sub(rb"(?m)^\s*" + comment + rb".*$", b"", data)
    if has_words:
        data = _WORDS.sub(lambda found: str(polarity_of_word(found[1])).encode(), data.replace(b'"', b""))
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
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head:
        raise UnknownFormatError(
            str(path), got="text in UTF-16" if is_utf16 else "binary data", expected="text with one event a line",
            todo="save it as UTF-8" if is_utf16 else "check --format",
        )  # fmt: skip
    start = len(_BOM) if head.startswith(_BOM) else 0
    top = text_header.read_header(path, head[start:])
    top = replace(top, offset=top.offset + start)
    return _with_columns(path, top, head[top.offset :], y_up=head.startswith(_JAER))


def _with_columns(path: Path, top: text_header.TextHeader, data: bytes, y_up: bool) -> TextDecoder:
    first = data[: data.rfind(b"\n") + 1] if len(data) > _HEAD_BYTES // 2 else data
    line = first.split(b"\n", 1)[0]
    delimiter, names, offset = top.delimiter, top.names, top.offset
    width = len(line.split(delimiter.encode() if delimiter else None))
    has_words = not all(text_header.NUMBER.fullmatch(word) for word in text_header.words_of(line, delimiter))
    is_empty = not first.strip()
    if names is not None and width == len(names) + 1 and _counts_rows(first, delimiter, width, has_words):
        names = ["", *names]
    if names is None and top.comment_names is not None and width == len(top.comment_names):
        names = top.comment_names
    if names is not None:
        order = {field: names.index(name) for field, name in columns.match_names(path, names).items()}
        if not is_empty and width != len(names):
            got = f"a line of {width} words under {len(names)} names of columns"
            raise corrupt(path, offset, got, f"{len(names)} numbers")
        width = len(names)
    has_index = names is None and width == 5 and _counts_rows(first, delimiter, width, has_words, at_least=10)
    if names is None and width != 4 and not has_index:
        raise UnknownFormatError(
            str(path), got=f"lines of {width} words that no header line names", expected="lines of t, x, y and p",
            todo="name the columns in a first line, such as t,x,y,p",
        )  # fmt: skip
    try:
        table = _parse(first, delimiter, width, has_words)
    except ValueError:
        # The pass over the events reports a bad line further down; the first line must be good.
        try:
            table = _parse(line, delimiter, width, has_words)
        except ValueError:
            raise corrupt(path, offset, f"the line {line[:60]!r}", f"{width} numbers") from None
    if names is None:
        order = columns.match_values(path, table[:, 1:] if has_index else table)
        order = {field: index + has_index for field, index in order.items()}
    unit = columns.unit_of_name(names[order["t"]]) if names is not None else None
    reading = ColumnReading(path, unit)
    header = Header(top.size, "header" if top.size else None, y_up=y_up, interpretation=reading)
    return TextDecoder(path, header, offset, delimiter, order, width, reading, has_words)


def _counts_rows(data: bytes, delimiter: str | None, width: int, has_words: bool, at_least: int = 1) -> bool:
    """True if the first column numbers the lines from 0 or 1, as pandas writes them."""
    lines = _lines(data)[:100]
    try:
        column = _parse(b"".join(lines), delimiter, width, has_words)[:, 0]
    except ValueError:
        return False
    return bool(
        len(column) >= at_least and column[0] in (0, 1) and (column == column[0] + np.arange(len(column))).all()
    )


FORMAT = Format("text, one event a line", open_text, (".txt", ".csv", ".tsv"))
