"""Text and CSV: one event a line, with columns named in a header line or recognised by their values.

Comments begin with `#`, `%` or `//`; columns are separated by commas, semicolons, tabs, bars or spaces. `text_header`
reads the lines before the first event, `text_columns` finds the columns, `text_numbers` parses the lines. jAER's
export, recognised by its first line, counts rows upwards and is flipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from stdl_events.errors import CorruptRecordingError, RecordingError, UnknownFormatError
from stdl_events.events.decoder import Block, Header, corrupt, truncated
from stdl_events.events.formats import text_header
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format, Writer
from stdl_events.events.formats.pieces import Pieces
from stdl_events.events.formats.text_columns import SAMPLE_BYTES, find_columns, split_lines
from stdl_events.events.formats.text_numbers import LineParser
from stdl_events.events.recording import Recording

_HEAD_BYTES = 1 << 16
# Memory of so few bytes stays with the process, where that of larger blocks is mapped anew for each.
_BLOCK_BYTES = 1 << 18
_JAER = b"# jAER"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextDecoder:
    """Decoder of lines of numbers.

    Attributes:
        data_offset: byte of the first event's line.
        order: assignment of the columns to t, x, y and p.
        are_named: the file or the caller names the columns; otherwise their values told them.
    """

    path: Path
    header: Header
    data_offset: int
    lines: LineParser
    order: dict[str, int]
    reading: ColumnReading
    are_named: bool = True

    def blocks(self) -> Iterator[Block]:
        offset = self.data_offset
        self.reading.restart()
        self.lines.expect(self.path.stat().st_size)
        with self.path.open("rb") as file:
            file.seek(offset)
            while data := file.read(_BLOCK_BYTES):
                data += file.readline(_BLOCK_BYTES)
                end = len(data) if data.endswith(b"\n") else data.rfind(b"\n") + 1
                yield from self._block(data[:end], offset)
                offset += end
                if len(data) - end >= _BLOCK_BYTES:
                    raise corrupt(self.path, offset, "a line without an end", "one event a line")
                if data[end:].strip():  # the last line
                    yield from self._block(data[end:], offset)

    def follow(self) -> Pieces:
        """Return the decoder of lines that are still appended.

        Raises:
            TruncatedRecordingError: no line of an event is complete yet.
            RecordingError: names of columns or the unit of time would have to be guessed from the whole file.
        """
        with self.path.open("rb") as file:
            before = file.read(self.data_offset)
            first = file.read(SAMPLE_BYTES)
        if b"\n" not in first or (before and not before.endswith(b"\n") and before != _BOM):
            raise truncated(self.path, self.data_offset, f"{first[:60]!r} as the first line of an event")
        if not self.are_named:
            raise _open_to_guesses(self.path, "columns without names", "names in a first line", "--columns t,x,y,p")
        if self.reading.time_unit_from not in ("header", "option"):
            raise _open_to_guesses(self.path, "times without a unit", "a stated unit", "--time-unit us")
        self.reading.restart()

        def take(data: bytearray, offset: int) -> Iterator[tuple[Block, int]]:
            used, end = 0, data.rfind(b"\n") + 1
            while used < end:  # in steps, as for a whole file
                stop = end if end - used <= _BLOCK_BYTES else data.rfind(b"\n", used, used + _BLOCK_BYTES) + 1
                yield from ((block, stop) for block in self._block(bytes(data[used:stop]), offset + used))
                used = stop
            if len(data) - end >= _BLOCK_BYTES:
                raise corrupt(self.path, offset + end, "a line without an end", "one event a line")
            if not self.reading.settle(0, None, None):
                got = "the polarity 2, after lines with 1 alone, which was taken for brighter"
                raise corrupt(self.path, offset, got, "0 and 1, or -1 and 1")

        def end(data: bytearray, offset: int) -> Iterator[tuple[Block | None, int]]:
            if data.strip():
                yield from ((block, len(data)) for block in self._block(bytes(data), offset))
            else:
                yield None, len(data)

        return Pieces(self.path, self.data_offset, take, end)

    def _block(self, data: bytes, offset: int) -> Iterator[Block]:
        """Yield the events of complete lines, up to the first bad line, for which it raises."""
        before = self.reading.copy()
        try:
            yield self._to_block(self.reading, data, offset)
            return
        except UnknownFormatError:
            raise
        except ValueError:
            good, line, error = self._find_bad_line(before, data, offset)
        if good:
            yield self._to_block(self.reading, data[:good], offset)
        if isinstance(error, CorruptRecordingError):
            raise error
        if not data.endswith(b"\n") and good + len(line) == len(data):
            raise truncated(self.path, offset + good, f"{line[:60]!r} as the last line")
        number = _line_number(self.path, offset + good)
        raise corrupt(
            self.path, offset + good, f"the line {line[:60]!r}, number {number},", f"{self.lines.width} numbers"
        )

    def _find_bad_line(self, reading: ColumnReading, data: bytes, offset: int) -> tuple[int, bytes, ValueError | None]:
        """Return (bytes of the good lines, the first bad line, its error), found by halving."""
        lines = split_lines(data)
        good, start, stop = 0, 0, len(lines)
        while stop - start > 1:
            middle = (start + stop) // 2
            part, trial = b"".join(lines[start:middle]), reading.copy()
            try:
                self._to_block(trial, part, offset + good)
            except ValueError:
                stop = middle
            else:
                reading, start, good = trial, middle, good + len(part)
        try:
            self._to_block(reading, lines[start], offset + good)
        except ValueError as error:
            return good, lines[start], error
        return 0, data, None

    def _to_block(self, reading: ColumnReading, data: bytes, offset: int) -> Block:
        columns = self.lines.parse(data)
        return reading.to_block(offset, {field: columns[index] for field, index in self.order.items()})


def _line_number(path: Path, offset: int) -> int:
    """Return the number, from 1, of the line that starts at byte `offset`."""
    number, left = 1, offset
    with path.open("rb") as file:
        while left and (data := file.read(min(left, _BLOCK_BYTES))):
            number += data.count(b"\n")
            left -= len(data)
    return number


def open_text(path: Path, asked: tuple[str, ...] | None = None) -> TextDecoder:
    """Read the first lines of a text file: comments, sensor size, names of columns, and the kind of its values.

    Args:
        asked: the fields of the columns, by their place.

    Raises:
        UnknownFormatError: the file is not text of at least four columns of numbers, or its columns are ambiguous.
        CorruptRecordingError: its first line has more or fewer words than the columns have names.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head:
        raise UnknownFormatError(
            str(path), got="text in UTF-16" if is_utf16 else "binary data", expected="text with one event a line",
            todo="save it as UTF-8" if is_utf16 else "check --format",
        )  # fmt: skip
    if b"\n" not in head and b"\r" in head.strip():
        raise UnknownFormatError(
            str(path), got="lines that end with a carriage return alone", expected="lines that end with a line feed",
            todo="save it with line ends of Unix or Windows",
        )  # fmt: skip
    start = len(_BOM) if head.startswith(_BOM) else 0
    top = text_header.read_header(path, head[start:])
    top = replace(top, offset=top.offset + start)
    found = find_columns(path, top, head[top.offset :], asked)
    reading = ColumnReading(path, found.unit or top.unit)
    header = Header(top.size, "header" if top.size else None, y_up=head.startswith(_JAER), interpretation=reading)
    return TextDecoder(path, header, top.offset, found.lines, found.order, reading, found.are_named)


def _open_to_guesses(path: Path, got: str, expected: str, option: str) -> RecordingError:
    return RecordingError(
        str(path), got=f"{got} in a file that is still written", expected=expected, todo=f"say them with {option}"
    )


def write_text(path: Path, recording: Recording) -> None:
    """Write a line `t,x,y,p` for each event, after comments with the sensor's size and the unit of time.

    Raises:
        RecordingError: see `Recording.chunks` and `Recording.sensor_size`.
    """
    width, height = recording.sensor_size
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(f"# sensor_size {width}x{height}\n# time_unit us\nt,x,y,p\n")
        for events in recording.chunks():
            file.writelines(f"{t},{x},{y},{p:d}\n" for t, x, y, p in events.tolist())


FORMAT = Format(
    "text, one event a line",
    open_text,
    (".txt", ".csv", ".tsv"),
    open_columns=lambda path, asked, stream: open_text(path, asked),
    follow=lambda decoder, stream: cast(TextDecoder, decoder).follow(),
)
WRITER = Writer(write_text, (".txt", ".csv"))
