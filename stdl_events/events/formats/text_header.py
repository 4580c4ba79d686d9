"""The lines of a text file before its first event: comments, sensor size and names of columns."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

from stdl_events.events.decoder import corrupt
from stdl_events.events.formats.columns import has_all_names, unit_of_word
from stdl_events.events.formats.polarity import polarity_of_word

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DELIMITERS = (",", ";", "\t")
# `%geometry:1280,720` (Metavision), `# sensor_resolution: 640x480`, `# width 640` with `# height 480`.
_GEOMETRY = re.compile(
    rb"(?i)\b(?:geometry|sensor[ _]?(?:size|resolution)|resolution)\W{1,4}(\d{1,5})(?:\s*[,;xX]\s*|\s+)(\d{1,5})\b"
)
_UNIT = re.compile(rb"(?i)\btime[ _]unit\W{1,3}([a-z]+)")
_SIDE = rb"(?i)\b%s\W{1,3}(\d{1,5})\b"


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
    """Read the header in the first bytes of a file.

    Raises:
        CorruptRecordingError: the sensor size is 0.
    """
    offset, size, names, comment_names = 0, None, None, None
    comments, first_line = [], b""
    for line in io.BytesIO(head):
        text = line.strip()
        words = [word for word in re.split(rb"[\s,;]+", text) if word]
        if text[:1] in (b"#", b"%"):
            comments.append(text)
            named = names_of(text.lstrip(b"#% "))
            comment_names = named if has_all_names(named) else comment_names
        elif len(words) == 2 and size is None and all(word.isdigit() and len(word) < 6 for word in words):
            size = int(words[0]), int(words[1])
        elif words and names is None and not _is_event(words):
            names = names_of(text)
        elif words:
            first_line = line
            break
        offset += len(line)
    size = size or _size_in(b"\n".join(comments))
    if size is not None and 0 in size:
        raise corrupt(path, 0, f"the sensor size {size[0]}x{size[1]}", "width and height above 0")
    unit = _UNIT.search(b"\n".join(comments))
    stated = unit_of_word(unit[1]) if unit else None
    return TextHeader(offset, size, stated, delimiter_of(first_line), names, comment_names)


def delimiter_of(line: bytes) -> str | None:
    """Return the separator of a line's columns, None for blanks."""
    return next((mark for mark in _DELIMITERS if mark.encode() in line), None)


def words_of(line: bytes, delimiter: str | None) -> list[bytes]:
    """Return the columns of a line."""
    return [word.strip() for word in line.split(delimiter.encode() if delimiter else None)]


def names_of(line: bytes) -> list[str]:
    """Return the names of columns in a header line; empty ones are kept where a separator shows them."""
    return [word.decode("utf-8", "replace").strip("\"' ") for word in words_of(line.strip(b"\r\n"), delimiter_of(line))]


def _is_event(words: list[bytes]) -> bool:
    """True if words are numbers, but for one of polarity."""
    others = [word for word in words if not NUMBER.fullmatch(word.strip(b'"'))]
    return not others or (len(words) > 3 and len(others) == 1 and polarity_of_word(others[0]) is not None)


def _size_in(comments: bytes) -> tuple[int, int] | None:
    found = _GEOMETRY.search(comments)
    if found:
        return int(found[1]), int(found[2])
    width, height = (re.search(_SIDE % side, comments) for side in (b"width", b"height"))
    return (int(width[1]), int(height[1])) if width and height else None
