"""The text header of Prophesee's files: `%` lines of a keyword and a value."""

import re
from dataclasses import dataclass
from pathlib import Path

from stdl_events.events.formats.stated_size import find_size

_MAX_HEADER_BYTES = 1 << 20
_USUAL_HEADER_BYTES = 4096
_LINE = re.compile(rb"% [^\x00-\x08\x0a-\x0c\x0e-\x1f]*\n")
_SIZE_OF_PLUGIN = (
    ("gen31", (640, 480)),
    ("gen3", (640, 480)),
    ("gen41", (1280, 720)),
    ("gen4", (1280, 720)),
    ("imx636", (1280, 720)),
    ("genx320", (320, 320)),
)


@dataclass(frozen=True)
class TextHeader:
    """The header's values by keyword (lower case), its first line, and the offset of the data."""

    values: dict[str, str]
    first_line: str
    data_offset: int

    @property
    def evt(self) -> str | None:
        """Version of the encoding, such as "3.0", if the header names EVT."""
        if "evt" in self.values:
            return self.values["evt"]
        format = re.match(r"EVT(\d)(\d)?\b", self.values.get("format", ""))
        return f"{format.group(1)}.{format.group(2) or 0}" if format else None

    @property
    def byte_order(self) -> str | None:
        """`little`, `legacy` (EVT 2.1 in two halves, the upper one first) or another; None if it is not stated."""
        found = re.search(r"endianness=(\w+)", self.values.get("format", ""))
        return self.values.get("endianness") or (found.group(1) if found else None)

    @property
    def t0_us(self) -> int:
        """Offset of the file's clock: writers that begin every file at 0 store it as `t0`."""
        value = self.values.get("t0", "")
        return int(value) if re.fullmatch(r"\d{1,18}", value) else 0

    def sensor_size(self, path: Path) -> tuple[int, int] | None:
        """(width, height): from the geometry, the format's options, width and height, or the camera's plugin."""
        options = dict(re.findall(r"(\w+)=(\d{1,6})", self.values.get("format", "")))
        stated = options | self.values
        plugin = self.values.get("plugin_name", "")
        of_plugin = next((size for name, size in _SIZE_OF_PLUGIN if name in plugin), None)
        return find_size(path, stated, lambda name: [stated[name]]) or of_plugin


def parse_header(data: bytes) -> TextHeader:
    """Parse the header at the beginning of `data`, up to `% end` or the first line without `%`."""
    offset = 0
    values: dict[str, str] = {}
    first_line = ""
    while line := _LINE.match(data, offset):
        text = line.group()[1:].decode("latin-1").strip()
        first_line = first_line if offset else text
        offset = line.end()
        keyword, _, value = text.partition(" ")
        values[keyword.lower()] = value.strip()
        if keyword == "end":
            break
    return TextHeader(values, first_line, offset)


def read_header(path: Path) -> TextHeader:
    """Read the header of the file at `path`."""
    with path.open("rb") as file:
        data = file.read(_USUAL_HEADER_BYTES)
        header = parse_header(data)
        if data[header.data_offset :].startswith(b"%") or header.data_offset == len(data):  # it may go on
            header = parse_header(data + file.read(_MAX_HEADER_BYTES - len(data)))
        return header
