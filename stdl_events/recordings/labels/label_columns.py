"""The columns of a label file, by their names.

Columns `onset` and `duration` are in seconds, as BIDS has them, unless their names say another unit.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from stdl_events.errors import DatasetError

HEADER = "recording,t_start,t_end,label,subject,session,split"
# Without separators, in any case. The first name is the one of `HEADER`.
COLUMNS: dict[str, tuple[str, ...]] = {
    "recording": ("recording", "file", "filename", "recordingfile", "path", "filepath", "relativepath"),
    "t_start": ("tstart", "start", "starttime", "timestart", "tbegin", "begin", "begintime", "onset", "t0"),
    "t_end": ("tend", "end", "endtime", "timeend", "tstop", "stop", "stoptime", "offset", "t1"),
    "duration": ("duration", "tduration", "durationtime"),
    "label": ("label", "class", "classname", "labelname", "activity", "action", "gesture", "category"),
    "subject": ("subject", "subjectid", "person", "personid", "participant", "participantid", "user", "userid"),
    "session": ("session", "sessionid"),
    "split": ("split", "side", "subset", "partition"),
    "rotate": ("rotate",),
    "flip": ("flip",),
}
# Read as these where no column has a name of `COLUMNS` for it: they may be names of something else.
_FURTHER_NAMES: dict[str, tuple[str, ...]] = {
    "recording": ("recordingname", "recordingid", "eventfile", "eventsfile", "video", "videoname", "clip", "clipname",
                  "sample", "samplename", "name", "id"),
    "label": ("behavior", "behaviour", "annotation", "target", "trialtype", "event", "sign", "gloss", "emotion",
              "labelid", "classid", "classlabel", "y"),
}  # fmt: skip
TIMES = ("t_start", "t_end", "duration")
_ROLE_OF = {name: role for role, names in COLUMNS.items() for name in names}
_UNIT_US = {
    **dict.fromkeys(("us", "usec", "\u03bcs", "microsecond", "microseconds"), Decimal(1)),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), Decimal("0.001")),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), Decimal(1_000)),
    **dict.fromkeys(("s", "sec", "second", "seconds"), Decimal(1_000_000)),
}
_WITH_UNIT = re.compile(rf"(.+?)[\s_\-(\[]+({'|'.join(_UNIT_US)})[)\]]?")
_LENGTH = re.compile(r"duration|length", re.IGNORECASE)
_BOUNDS = ("start", "begin", "onset", "end", "stop", "offset")
_COUNTED = ("frame", "frames", "index", "idx", "sample", "samples")
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Column:
    """A column at `index` of each row; `unit_us` is the unit of its times, if its name states one."""

    index: int
    name: str
    unit_us: Decimal | None


def find_columns(path: Path, line: int, header: list[str]) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Return (the columns by their role, the names of those that are not read) of a header at `line`.

    Raises:
        DatasetError: recordings or labels have no column, one role has two, or parts are no times.
    """
    columns: dict[str, Column] = {}
    unused = []
    for index, name in enumerate(header):
        role, unit_us = role_of(name)
        if role is None:
            unused.append(name)
        elif role in columns:
            raise DatasetError(
                f"{path}, line {line}", got=f"the columns {columns[role].name} and {name}",
                expected=f"one column for {role}", todo="rename or remove one of them",
            )  # fmt: skip
        else:
            columns[role] = Column(index, name, unit_us)
    for role, names in _FURTHER_NAMES.items():
        further = next((name for name in unused if _plain(name) in names), None)
        if role not in columns and further is not None:
            columns[role] = Column(header.index(further), further, None)
            unused.remove(further)
    if not {"recording", "label"} <= columns.keys():
        raise DatasetError(
            f"{path}, line {line}", got=f"{','.join(header)[:80]!r} as the header",
            expected=f"a header with recording and label, such as {HEADER}",
            todo="add it as the first line, or ignore the file with data.labels=none",
        )  # fmt: skip
    if "t_end" in columns and "duration" in columns:
        unused.append(columns.pop("duration").name)
    _require_times(f"{path}, line {line}", columns, unused)
    if {_plain(columns[role].name) for role in TIMES if role in columns} == {"onset", "duration"}:
        columns |= {role: replace(columns[role], unit_us=_UNIT_US["s"]) for role in ("t_start", "duration")}
    return columns, tuple(filter(None, unused))


def _require_times(where: str, columns: dict[str, Column], unused: list[str]) -> None:
    """Check that no column states parts of recordings in another way than as times.

    Raises:
        DatasetError: one does.
    """
    lengths = [name for name in unused if _LENGTH.match(name)]
    if "duration" in columns and "t_start" not in columns:
        lengths = [columns["duration"].name]
    elif "duration" in columns:
        lengths = []
    if "t_end" not in columns and lengths:
        raise DatasetError(
            where, got=f"the column {lengths[0]}",
            expected="the end of each part in a column t_end, or its start and its length in t_start and duration",
            todo="name the columns so, or otherwise if they are not of the label",
        )  # fmt: skip
    bounds = [name for name in unused if _is_bound(name)]
    if not {"t_start", "t_end"} & columns.keys() and bounds:
        raise DatasetError(
            where, got=f"the column {bounds[0]}", expected="the parts of recordings as times, in t_start and t_end",
            todo="write times in microseconds, or with their unit in the name, such as t_start_s; rename the column "
            "if it is not of the label",
        )  # fmt: skip


def _is_bound(name: str) -> bool:
    words = set(re.split(r"[^a-z]+", name.casefold()))
    counted = {
        first + second for bound in _BOUNDS for count in _COUNTED for first, second in ((bound, count), (count, bound))
    }
    return not words.isdisjoint(_BOUNDS) or _plain(name) in counted


def role_of(name: str) -> tuple[str | None, Decimal | None]:
    """Return the role of a column by its name, and its unit of time in microseconds if it is named."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip(" #")
    role = _ROLE_OF.get(_plain(plain))
    if role is not None:
        return role, None
    match = _WITH_UNIT.fullmatch(plain[:_LONGEST_NAME])
    role = None if match is None else _ROLE_OF.get(_plain(match[1]))
    if match is None or role not in TIMES:
        return None, None
    return role, _UNIT_US[match[2]]


def _plain(name: str) -> str:
    return _NOT_OF_A_NAME.sub("", unicodedata.normalize("NFKC", name).casefold())
