"""The columns of a text file: which of them are t, x, y and p, by their names, by the caller or by their values.

Other columns are left out, whatever they hold: words, nothing, or the number of the line as pandas writes it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import corrupt
from stdl_events.events.formats import columns, text_header
from stdl_events.events.formats.text_header import TextHeader
from stdl_events.events.formats.text_numbers import NUMBER, Columns, LineParser

SAMPLE_BYTES = 1 << 14
# A comma that can only be a decimal one: it is not in front of three digits, or behind a zero alone.
_DECIMAL_COMMA = re.compile(rb"\d,(?!\d{3}(?!\d))\d|(?<!\d)0,\d")
_COMMA = re.compile(rb"\d,\d")


@dataclass(frozen=True)
class TextColumns:
    """The columns of one file.

    Attributes:
        lines: the parser of its lines.
        order: the places of t, x, y and p.
        unit: of the times, if a name states it.
        are_named: the file or the caller names the columns; otherwise their values told them.
    """

    lines: LineParser
    order: dict[str, int]
    unit: str | None
    are_named: bool


def find_columns(path: Path, top: TextHeader, data: bytes, asked: tuple[str, ...] | None) -> TextColumns:
    """Find the columns in `data`, which begins with the first event's line.

    Args:
        asked: the fields of the columns, by their place.

    Raises:
        UnknownFormatError: there are no such columns, or their numbers are not decimal ones.
        CorruptRecordingError: the first line has more or fewer words than the columns have names.
    """
    first = data[: data.rfind(b"\n", 0, SAMPLE_BYTES) + 1 or None] if len(data) > SAMPLE_BYTES else data
    line = first.split(b"\n", 1)[0]
    words, names = text_header.words_of(line, top.delimiter), top.names
    width, is_empty = len(words), not first.strip()
    ends_with_mark = top.delimiter is not None and width > 1 and not words[-1]
    has_words = not all(NUMBER.fullmatch(word) for word in words)
    has_comma = _has_decimal_comma(path, first, top.delimiter)
    lines = LineParser(top.delimiter, width, example=words, has_words=has_words, has_decimal_comma=has_comma)
    if names is not None and ends_with_mark and width == len(names) + 1:
        names = [*names, ""]
    elif names is not None and width == len(names) + 1 and _counts_rows(first, lines):
        names = ["", *names]
    if names is None and top.comment_names is not None and width == len(top.comment_names):
        names = top.comment_names
    if asked is not None:
        order = columns.places_of(path, asked, _width_asked(asked, names if is_empty else None, width, ends_with_mark))
        names = names if names is not None and len(names) == width else None
    elif names is not None:
        order = {field: names.index(name) for field, name in columns.match_names(path, names).items()}
        if not is_empty and width != len(names):
            got = f"a line of {width} words under {len(names)} names of columns"
            raise corrupt(path, top.offset, got, f"{len(names)} numbers")
        lines = LineParser(top.delimiter, len(names), has_words=has_words) if is_empty else lines
    else:
        order = _order_by_values(path, first, top.offset, lines, ends_with_mark)
    are_named = asked is not None or names is not None
    if are_named:
        lines.only(order.values())
        _parse_start(path, first, lines, top.offset)
    unit = columns.unit_of_times({field: names[place] for field, place in order.items()}) if names is not None else None
    return TextColumns(lines, order, unit, are_named)


def split_lines(data: bytes) -> list[bytes]:
    """Split `data` into lines with their line feeds; a carriage return alone does not end a line."""
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def _has_decimal_comma(path: Path, first: bytes, delimiter: str | None) -> bool:
    """True if numbers in the first lines have decimal commas.

    Raises:
        UnknownFormatError: their commas may separate thousands as well.
    """
    if delimiter == "," or b"," not in first or not _COMMA.search(first):  # a search for one byte is far quicker
        return False
    if _DECIMAL_COMMA.search(first):
        return True
    line = first.split(b"\n", 1)[0]
    raise UnknownFormatError(
        str(path), got=f"the line {line[:60]!r}, with commas in numbers", expected="decimal points",
        todo="save it with decimal points, and without marks of thousands",
    )  # fmt: skip


def _width_asked(asked: tuple[str, ...], names: list[str] | None, width: int, ends_with_mark: bool) -> int:
    if names is not None:
        return len(names)
    return width - 1 if ends_with_mark and width == len(asked) + 1 else width


def _order_by_values(path: Path, first: bytes, offset: int, lines: LineParser, ends_with_mark: bool) -> dict[str, int]:
    """Return the places of t, x, y and p in lines of four numbers, after the number of the line or before a mark."""
    width = lines.width
    has_index = width == 5 and not ends_with_mark and _counts_rows(first, lines, at_least=10)
    if width - ends_with_mark - has_index != 4:
        raise UnknownFormatError(
            str(path), got=f"lines of {width} words that no header line names", expected="lines of t, x, y and p",
            todo="name the columns in a first line, such as t,x,y,p",
        )  # fmt: skip
    lines.only(range(has_index, has_index + 4))
    table = np.stack(_parse_start(path, first, lines, offset)[has_index : has_index + 4], axis=1)
    return {field: place + has_index for field, place in columns.match_values(path, table).items()}


def _parse_start(path: Path, first: bytes, lines: LineParser, offset: int) -> Columns:
    """Return the columns of the first lines, or of the first one where a bad line follows, which a pass reports.

    Raises:
        UnknownFormatError: the first line is no numbers.
    """
    line = first.split(b"\n", 1)[0]
    try:
        return lines.parse(first)
    except ValueError:
        try:
            return lines.parse(line)
        except ValueError:
            raise UnknownFormatError(
                str(path), got=f"the line {line[:60]!r} at byte {offset}",
                expected=f"{lines.width} numbers, or a polarity such as ON or false among them",
                todo="write its times, coordinates and polarities as numbers",
            ) from None  # fmt: skip


def _counts_rows(data: bytes, lines: LineParser, at_least: int = 1) -> bool:
    """True if the first column numbers the lines from 0 or 1, as pandas writes them."""
    try:
        column = lines.parse(b"".join(split_lines(data)[:100]))[0]
    except ValueError:
        return False
    return bool(
        len(column) >= at_least and column[0] in (0, 1) and (column == column[0] + np.arange(len(column))).all()
    )
