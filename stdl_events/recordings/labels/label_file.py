"""The label file of a folder: which part of which recording has which label, by columns with names.

    recording,t_start,t_end,label,subject,session,split
    day1/a.aedat,4200000,5700000,stand_up,anna,1,train

`labels.csv` or `segments.tsv`, separated by commas, semicolons or tabs. The columns are in any order and go by the
names in `COLUMNS`; only recording and label are needed. Times are microseconds, unless the name of the column ends with
another unit, such as `t_start_s`. `rotate` and `flip` turn the recording upright, with the values of `--orientation`.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from stdl_events.errors import DatasetError, FrameSpecError
from stdl_events.events.geometry import Geometry
from stdl_events.recordings.found_files import child, same_form
from stdl_events.recordings.labels.lists import read_text
from stdl_events.recordings.splits.sides import SIDE_NAMES, Side, side_of_name

LABEL_FILES = ("labels.csv", "labels.tsv", "segments.csv", "segments.tsv")
HEADER = "recording,t_start,t_end,label,subject,session,split"
# Without separators, in any case. The first name is the one of `HEADER`.
COLUMNS: dict[str, tuple[str, ...]] = {
    "recording": ("recording", "file", "filename", "recordingfile", "path", "filepath", "relativepath"),
    "t_start": ("tstart", "start", "starttime", "timestart", "tbegin", "begin", "begintime", "onset", "t0"),
    "t_end": ("tend", "end", "endtime", "timeend", "tstop", "stop", "stoptime", "offset", "t1"),
    "label": ("label", "class", "classname", "labelname", "activity", "action", "gesture", "category"),
    "subject": ("subject", "subjectid", "person", "personid", "participant", "participantid", "user", "userid"),
    "session": ("session", "sessionid"),
    "split": ("split", "side", "subset", "partition"),
    "rotate": ("rotate",),
    "flip": ("flip",),
}
_ROLE_OF = {name: role for role, names in COLUMNS.items() for name in names}
_UNIT_US = {
    **dict.fromkeys(("us", "usec", "\u03bcs", "microsecond", "microseconds"), Decimal(1)),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), Decimal("0.001")),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), Decimal(1_000)),
    **dict.fromkeys(("s", "sec", "second", "seconds"), Decimal(1_000_000)),
}
_WITH_UNIT = re.compile(rf"(.+?)[\s_\-(\[]+({'|'.join(_UNIT_US)})[)\]]?")
_LENGTH = re.compile(r"duration|length", re.IGNORECASE)
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]")
_MAX_TIME_US = 10**18
_LONGEST_NAME = 100


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


@dataclass(frozen=True)
class _Column:
    index: int
    name: str
    unit_us: Decimal | None


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
    line, header = next(rows, (1, []))
    columns, unused = _columns(path, line, header)
    read = tuple(_row(path, line, cells, columns, len(header)) for line, cells in rows)
    if not read:
        raise DatasetError(
            str(path), got="a header without rows", expected="a row for each labelled recording or part of one",
            todo="add rows, or classes by folder with data.labels=none",
        )  # fmt: skip
    _require_every_side(path, read)
    return LabelFile(path, read, unused, any(column.unit_us is not None for column in columns.values()))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of each row that is not blank."""
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip(" \t,;\ufeff")), "")
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


def _columns(path: Path, line: int, header: list[str]) -> tuple[dict[str, _Column], tuple[str, ...]]:
    columns: dict[str, _Column] = {}
    unused = []
    for index, name in enumerate(header):
        role, unit_us = _role(name)
        if role is None:
            unused.append(name)
        elif role in columns:
            raise DatasetError(
                f"{path}, line {line}", got=f"the columns {columns[role].name} and {name}",
                expected=f"one column for {role}", todo="rename or remove one of them",
            )  # fmt: skip
        else:
            columns[role] = _Column(index, name, unit_us)
    if not {"recording", "label"} <= columns.keys():
        raise DatasetError(
            f"{path}, line {line}", got=f"{','.join(header)[:80]!r} as the header",
            expected=f"a header with recording and label, such as {HEADER}",
            todo="add it as the first line, or ignore the file with data.labels=none",
        )  # fmt: skip
    lengths = [name for name in unused if _LENGTH.match(name)]
    if "t_end" not in columns and lengths:
        raise DatasetError(
            f"{path}, line {line}", got=f"the column {lengths[0]}", expected="the end of each part in a column t_end",
            todo="write the end instead of the length, or rename the column if it is not of the label",
        )  # fmt: skip
    return columns, tuple(filter(None, unused))


def _role(name: str) -> tuple[str | None, Decimal | None]:
    """Return the role of a column by its name, and its unit of time in microseconds if it is named."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip(" #")
    role = _ROLE_OF.get(_NOT_OF_A_NAME.sub("", plain))
    if role is not None:
        return role, None
    match = _WITH_UNIT.fullmatch(plain[:_LONGEST_NAME])
    role = None if match is None else _ROLE_OF.get(_NOT_OF_A_NAME.sub("", match[1]))
    if match is None or role not in ("t_start", "t_end"):
        return None, None
    return role, _UNIT_US[match[2]]


def _row(path: Path, line: int, cells: list[str], columns: dict[str, _Column], width: int) -> LabelRow:
    where = f"{path}, line {line}"
    if any(cells[width:]):
        raise DatasetError(
            where, got=f"{len(cells)} cells", expected=f"{width}, as in the header",
            todo="put cells with separators in quotes, or name the column",
        )  # fmt: skip
    text = {role: cells[column.index] if column.index < len(cells) else "" for role, column in columns.items()}
    for role in ("recording", "label"):
        if not text[role]:
            raise DatasetError(where, got=f"no {role}", expected=f"a {role} in every row", todo="correct the line")
    t_start_us, t_end_us = (
        _time_us(where, text[role], columns[role]) if text.get(role) else None for role in ("t_start", "t_end")
    )
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


def _time_us(where: str, text: str, column: _Column) -> int:
    try:
        value = Decimal(text) * (column.unit_us or 1)
        is_time = value.is_finite() and abs(value) < _MAX_TIME_US
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
