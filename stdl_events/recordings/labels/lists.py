"""Lines of label files and lists, as different systems and editors write them."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from stdl_events.errors import DatasetError


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte-order mark; line ends stay as they are.

    Raises:
        DatasetError: the file is not readable, or neither UTF-8 nor UTF-16 with a byte-order mark.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            str(path), got=error.strerror or str(error), expected="a readable file", todo="check the file"
        ) from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            str(path), got=f"the byte {data[error.start]:#04x} at {error.start}", expected="text in UTF-8",
            todo="save the file as UTF-8",
        ) from None  # fmt: skip


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1 on, text) of each line that is not blank, without spaces and separators at its ends.

    Byte-order marks and the line ends of all systems are accepted.

    Raises:
        DatasetError: see `read_text`.
    """
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip(" \t,;\ufeff"):
            yield number, line.strip()
