"""Lines of label files and lists, as different systems and editors write them."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from stdl_events.errors import DatasetError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1 on, text) of each line that is not blank, without spaces and separators at its ends.

    Byte-order marks and the line ends of all systems are accepted.

    Raises:
        DatasetError: the file is neither UTF-8 nor UTF-16 with a byte-order mark.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            str(path), got=f"the byte {data[error.start]:#04x} at {error.start}", expected="text in UTF-8",
            todo="save the file as UTF-8",
        ) from None  # fmt: skip
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip(" \t,;\ufeff"):
            yield number, line.strip()
