"""The lines of a text file before its first event: comments, sensor size and names of columns."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

from stdl_events.events.formats.columns import has_all_names, stated_unit
from stdl_events.events.formats.stated_size import usable_size
from stdl_events.events.formats.text_numbers import NUMBER

_SURE_DELIMITERS = (";", "\t", "|")
_FEWEST_NUMBERS = 3  # of an event: t, x and y
# `%geometry:1280,720` (Metavision), `# sensor_resolution: 640x480`, `# width 640` with `# height 480`.
_GEOMETRY = re.compile(
    r"(?i)\b(geometry|sensor[ _]?(?:size|shape)|(?:sensor[ _]?)?(?:resolution|dimensions?))\W{1,4}"
    r"(\d{1,6})(?:\s*[,;x×*]\s*|\s+)(\d{1,6})\b"
)
_SIZE_ALONE = re.compile(r"(?m)^\W*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*$")
_COMMENTS = (b"#", b"%", b"//")
_BLANK_AT_COMMA = re.compile(rb",\s|\s,")
_UNIT = re.compile(rb"(?i)\btime[ _]unit\W{1,3}([a-z]+)")
_SIDE = r"(?i)(?<![a-z])(?:sensor[ _]?)?%s\W{1,3}(\d{1,6})\b"
_SIDES = (("width", "height"), ("size[ _]?x", "size[ _]?y"))


@dataclass(frozen=True)
class TextHeader:
    """What the lines before the first event say.

    Attributes:
        offset: byte of the first event's line.
        size: (width, height), or None.
        unit: of the times, from a comment, or None.
        names: of the columns, from a line of their own, or None.
        comment_names: names in a comment, which count only if there are as many columns.
    """

    offset: int
    size: tuple[int, int] | None
    unit: str | None
    delimiter: str | None
    names: list[str] | None
    comment_names: list[str] | None


def read_header(path: Path, head: bytes) -> TextHeader:
    """Read the header in the first bytes of a file."""
    offset, stated, names, comment_names = 0, None, None, None
    comments, first_line = [], b""
    for line in io.BytesIO(head):
        text = line.strip()
        words = [word for word in re.split(rb"[\s,;|]+", text) if word]
        if text.startswith(_COMMENTS):
            comments.append(text)
            named = names_of(text.lstrip(b"#%/ "))
            comment_names = named if has_all_names(named) else comment_names
        elif len(words) == 2 and stated is None and all(word.isdigit() and len(word) < 6 for word in words):
            stated = int(words[0]), int(words[1])
        elif _are_places(words):
            pass
        elif words and not _is_event(words):
            named = names_of(text)
            names = named if names is None or has_all_names(named) else names
        elif words:
            first_line = line
            break
        offset += len(line)
    name, sides = ("first line", stated) if stated else _size_in(_decoded(b"\n".join(comments)))
    size = usable_size(path, name, sides) if sides else None
    unit = _UNIT.search(b"\n".join(comments))
    # Without an event the file may be one that is still written, whose last word goes on.
    unit_stated = stated_unit(path, unit[1]) if unit and first_line else None
    return TextHeader(offset, size, unit_stated, delimiter_of(first_line), names, comment_names)


def delimiter_of(line: bytes) -> str | None:
    """Return the separator of a line's columns, None for blanks. A comma may also be in front of fractions."""
    sure = next((mark for mark in _SURE_DELIMITERS if line.count(mark.encode()) >= _FEWEST_NUMBERS), None)
    if sure is not None or b"," not in line:
        return sure or next((mark for mark in _SURE_DELIMITERS if mark.encode() in line), None)
    has_blanks = len(line.split()) > _FEWEST_NUMBERS and not _BLANK_AT_COMMA.search(line)
    return None if has_blanks else ","


def words_of(line: bytes, delimiter: str | None) -> list[bytes]:
    """Return the columns of a line."""
    return [word.strip() for word in line.split(delimiter.encode() if delimiter else None)]


def names_of(line: bytes) -> list[str]:
    """Return the names of columns in a header line; empty ones are kept where a separator shows them."""
    words = words_of(line.strip(b"\r\n"), delimiter_of(line))
    return [_decoded(word).strip("\"' ") for word in words]


def _decoded(word: bytes) -> str:
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        return word.decode("cp1252", "replace")


def _are_places(words: list[bytes]) -> bool:
    """True for the numbers from 0 on, which pandas writes above columns without names."""
    return len(words) > _FEWEST_NUMBERS and words == [b"%d" % place for place in range(len(words))]


def _is_event(words: list[bytes]) -> bool:
    """True if all words are numbers, or at least as many as an event has besides its polarity."""
    numbers = sum(NUMBER.fullmatch(word.strip(b"\"'[](){}")) is not None for word in words)
    return numbers >= min(len(words), _FEWEST_NUMBERS)


def _size_in(comments: str) -> tuple[str, tuple[int, ...]]:
    """Return (the name under which comments state a size, its two sides); no sides if they state none."""
    found = _GEOMETRY.search(comments)
    if found:
        return found[1], (int(found[2]), int(found[3]))
    for names in _SIDES:
        width, height = (re.search(_SIDE % name, comments) for name in names)
        if width and height:
            return "width and height", (int(width[1]), int(height[1]))
    alone = _SIZE_ALONE.search(comments)
    return ("", ()) if alone is None else ("comment", (int(alone[1]), int(alone[2])))
