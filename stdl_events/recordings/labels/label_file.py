"""The label file of a folder: which part of which recording has which label, by columns with names.

    recording,t_start,t_end,label,subject,session,split
    day1/a.aedat,4200000,5700000,stand_up,anna,1,train

`labels.csv` or `segments.tsv`, separated by commas, semicolons or tabs. The columns are in any order and go by the
names in `COLUMNS`; only recording and label are needed. Times are microseconds, unless the name of the column ends with
another unit, such as `t_start_s`. A column `duration` may take the place of `t_end`. `rotate` and `flip` turn the
recording upright, with the values of `--orientation`.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from stdl_events.errors import DatasetError, FrameSpecError
from stdl_events.events.geometry import Geometry
from stdl_events.recordings.found_files import child, same_form
from stdl_events.recordings.labels.label_columns import HEADER, TIMES, Column, find_columns, role_of
from stdl_events.recordings.labels.lists import read_text
from stdl_events.recordings.splits.sides import SIDE_NAMES, Side, side_of_name

LABEL_FILES = ("labels.csv", "labels.tsv", "segments.csv", "segments.tsv")
# Of spreadsheets in many languages; three digits behind a comma may be thousands, but for those behind 0.
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?!\d{3}\Z)(?=\d+\Z)|(?<=\A0),")
_THOUSANDS = re.compile(r"\d{1,3}(\.\d{3})+")
_MAX_TIME_US = 10**18


@dataclass(frozen=True)
class LabelRow:
    """One row.

    Attributes:
        line: its number in the file.
        recording: path relative to the folder, with forward slashes.
        t_start_us, t_end_us: as written; None where the cell is empty.
        side: of the column split.
        orientation: by the columns rotate and flip; None where both cells are empty.
    """

    line: int
    recording: str
    label: str
    t_start_us: int | None = None
    t_end_us: int | None = None
    subject: str | None = None
    session: str | None = None
    side: Side | None = None
    orientation: Geometry | None = None


@dataclass(frozen=True)
class LabelFile:
    """The rows of a label file.

    Attributes:
        unused: names of columns that are not read.
        unit_named: the header names the unit of the times.
    """

    path: Path
    rows: tuple[LabelRow, ...]
    unused: tuple[str, ...]
    unit_named: bool = False

    @property
    def has_sides(self) -> bool:
        return any(row.side is not None for row in self.rows)


def find_label_file(root: Path, labels: str | None) -> Path | None:
    """Return the label file of the folder `root`, or None.

    Args:
        labels: "auto" is one of `LABEL_FILES` if it is there, None is none, else the file's path, relative to `root`.

    Raises:
        DatasetError: there are several, or no such file.
    """
    if labels is None:
        return None
    if labels != "auto":
        named = root / labels
        if not named.is_file():
            raise DatasetError(
                str(named), got="no such label file", expected=f"a file with the columns {HEADER}",
                todo="correct data.labels (--labels), which is relative to the folder of the recordings",
            )  # fmt: skip
        return named
    if not root.is_dir():
        return None
    found = [path for path in (child(root, name) for name in LABEL_FILES) if path is not None and path.is_file()]
    if len(found) > 1:
        raise DatasetError(
            str(root), got=" and ".join(path.name for path in found), expected="one label file",
            todo=f"choose with --set data.labels={found[0].name} (--labels), or data.labels=none for none",
        )  # fmt: skip
    return found[0] if found else None


def read_label_file(path: Path) -> LabelFile:
    """Read a label file.

    Raises:
        DatasetError: it has no header with the columns recording and label, no row, or a cell is wrong; the message
            names the line.
    """
    rows = _csv_rows(path)
    line, header = next(((line, cells) for line, cells in rows if not _is_comment(cells)), (1, []))
    columns, unused = find_columns(path, line, header)
    read = tuple(_row(path, line, cells, columns, len(header)) for line, cells in rows)
    if not read:
        raise DatasetError(
            str(path), got="a header without rows", expected="a row for each labelled recording or part of one",
            todo="add rows, or classes by folder with data.labels=none",
        )  # fmt: skip
    _require_every_side(path, read)
    return LabelFile(path, read, unused, any(column.unit_us is not None for column in columns.values()))


def has_label_columns(path: Path) -> bool:
    """True if the text file at `path` has a header with a column of labels."""
    try:
        header = next((cells for _, cells in _csv_rows(path) if not _is_comment(cells)), [])
    except DatasetError:
        return False
    return len(header) > 1 and any(role_of(name)[0] == "label" for name in header)


def _is_comment(cells: list[str]) -> bool:
    """True for a line in front of the header; a header may begin with # too."""
    return cells[0].startswith("#") and sum(map(bool, cells)) == 1


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of each row that is not blank."""
    text = read_text(path)
    shown = [line for line in text.splitlines() if line.strip(" \t,;\ufeff")]
    first = next((line for line in shown if not line.startswith("#")), shown[0] if shown else "")
    delimiter = max("\t,;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            plain = [same_form(cell.strip(" \t\ufeff")) for cell in cells]
            if any(plain):
                yield reader.line_num, plain
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {reader.line_num}", got=str(error), expected="cells, in quotes where they hold separators",
            todo="correct the line",
        ) from None  # fmt: skip


def _row(path: Path, line: int, cells: list[str], columns: dict[str, Column], width: int) -> LabelRow:
    where = f"{path}, line {line}"
    if any(cells[width:]):
        raise DatasetError(
            where, got=f"{len(cells)} cells", expected=f"{width}, as in the header",
            todo="put cells with separators in quotes, or name the column",
        )  # fmt: skip
    text = {role: cells[column.index] if column.index < len(cells) else "" for role, column in columns.items()}
    for role in ("recording", "label"):
        if not text[role] or (role == "label" and text[role].casefold() == "nan"):
            raise DatasetError(where, got=f"no {role}", expected=f"a {role} in every row", todo="correct the line")
    t_start_us, t_end_us, duration_us = (
        _time_us(where, text[role], columns[role]) if text.get(role) else None for role in TIMES
    )
    if duration_us is not None:
        t_end_us = (t_start_us or 0) + duration_us
    if t_start_us is not None and t_end_us is not None and t_end_us <= t_start_us:
        raise DatasetError(
            where, got=f"a part from {t_start_us} to {t_end_us} us", expected="an end after the start",
            todo="correct the times",
        )  # fmt: skip
    side = side_of_name(text["split"]) if text.get("split") else None
    if text.get("split") and side is None:
        raise DatasetError(
            where, got=f"the split {text['split']!r}", expected=" or ".join(SIDE_NAMES), todo="correct the line"
        )
    return LabelRow(
        line, _relative(text["recording"]), text["label"], t_start_us, t_end_us, text.get("subject") or None,
        text.get("session") or None, side, _orientation(where, text),
    )  # fmt: skip


def _orientation(where: str, text: dict[str, str]) -> Geometry | None:
    stated = {role: text[role].lower() for role in ("rotate", "flip") if text.get(role)}
    try:
        return Geometry.parse(stated) if stated else None
    except FrameSpecError as error:
        raise DatasetError(
            where, got=f"{error.got} as {error.subject}", expected=error.expected, todo="correct the line"
        ) from None


def _relative(recording: str) -> str:
    return recording.replace("\\", "/").removeprefix("./")


def _time_us(where: str, text: str, column: Column) -> int:
    try:
        value = Decimal(_DECIMAL_COMMA.sub(".", text)) * (column.unit_us or 1)
        is_time = value.is_finite() and abs(value) < _MAX_TIME_US
        is_time = is_time and not (column.unit_us is None and _THOUSANDS.fullmatch(text))
    except ArithmeticError:  # no number, or one out of range
        value, is_time = Decimal(0), False
    if not is_time:
        raise DatasetError(
            where, got=f"{text!r} as {column.name}", expected="a time, such as 4200000", todo="correct the line"
        )
    if column.unit_us is None and value != value.to_integral_value():
        raise DatasetError(
            where, got=f"{text} as {column.name}", expected="whole microseconds",
            todo=f"name the unit in the header, such as {column.name}_s for seconds",
        )  # fmt: skip
    return int(value.to_integral_value())


def _require_every_side(path: Path, rows: tuple[LabelRow, ...]) -> None:
    """Check that each row has a side if one has."""
    without = [row.line for row in rows if row.side is None]
    if 0 < len(without) < len(rows):
        raise DatasetError(
            f"{path}, line {without[0]}", got=f"no split, in {len(without)} of {len(rows)} rows",
            expected="one in every row, or in none", todo="complete the column",
        )  # fmt: skip
