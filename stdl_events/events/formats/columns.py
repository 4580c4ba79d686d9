"""Columns of events in foreign names or orders: assignment to t, x, y and p, and the unit that a name states."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError, UnknownFormatError
from stdl_events.events.defects import count_of
from stdl_events.events.formats.polarity import EXPECTED, can_be_polarity
from stdl_events.events.formats.split_seconds import find_pair, unit_of_pair
from stdl_events.events.stream import RecordingWarning
from stdl_events.events.time_units import TIME_UNITS

# The first name that a file has is taken; "event_" or "events/" in front of one does not count.
NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps", "time_stamp"),
    "x": (
        "x",
        "xs",
        "x_pos",
        "x_position",
        "x_px",
        "x_coord",
        "x_coordinate",
        "x_coordinates",
        "x_addr",
        "x_address",
        "col",
        "column",
        "u",
    ),
    "y": (
        "y",
        "ys",
        "y_pos",
        "y_position",
        "y_px",
        "y_coord",
        "y_coordinate",
        "y_coordinates",
        "y_addr",
        "y_address",
        "row",
        "v",
    ),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
_PIXELS = 65536
_NAMED, _NAME_LENGTH = 12, 40
_UNIT_WORDS = {
    "us": ("us", "µs", "μs", "usec", "usecs", "microsec", "microsecs", "microsecond", "microseconds"),
    "ms": ("ms", "msec", "msecs", "millisec", "millisecs", "millisecond", "milliseconds"),
    "ns": ("ns", "nsec", "nsecs", "nanosec", "nanosecs", "nanosecond", "nanoseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
}
_OF_EVENTS = re.compile(r"\Aevents?[_/.]")
_BRACKETED = re.compile(r"(.+?)\s*[\[(]\s*([^\])]*?)\s*[\])]")


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the field of each column of a table, by its place: "x,y,t,p"; "-" is a column of something else.

    Raises:
        RecordingError: a name is unknown, missing or given twice.
    """
    asked = tuple(word.strip() for word in text.split(","))
    if any(word not in (*NAMES, "-") for word in asked) or any(asked.count(field) != 1 for field in NAMES):
        raise RecordingError(
            "--columns (columns)", got=repr(text), expected="t, x, y and p once each, and - for others",
            todo="write them in the order of the file, such as x,y,t,p",
        )  # fmt: skip
    return asked


def check_columns(text: str) -> str:
    """Return `text` if it is a list of columns.

    Raises:
        RecordingError: see `parse_columns`.
    """
    parse_columns(text)
    return text


def places_of(path: Path, asked: Sequence[str], width: int) -> dict[str, int]:
    """Return the places of t, x, y and p in a table of `width` columns, as asked for.

    Raises:
        UnknownFormatError: the table has more or fewer columns.
    """
    if width != len(asked):
        raise UnknownFormatError(
            str(path), got=f"a table of {width} columns, and --columns {','.join(asked)}",
            expected=f"a table of {len(asked)} columns", todo="name all columns; - stands for one of something else",
        )  # fmt: skip
    return {field: asked.index(field) for field in NAMES}


def plain_name(name: str) -> str:
    """Return the name of a column in lower case, without a unit: "t" for "t_us" and "x" for "X [px]"."""
    text = name.strip().lower()
    found = _BRACKETED.fullmatch(text)
    text = _OF_EVENTS.sub("", (found.group(1) if found else text).replace("-", "_"))
    stem, _, word = text.replace(" ", "_").rpartition("_")
    return stem if stem and unit_of_word(word) else text


def unit_of_word(word: object) -> str | None:
    """Return the name in `TIME_UNITS` for a word such as "usec", None for another word."""
    text = (word.decode("latin-1") if isinstance(word, bytes) else str(word)).strip().lower()
    return next((unit for unit, words in _UNIT_WORDS.items() if text in words), None)


def stated_unit(path: Path, word: object) -> str | None:
    """Return the unit that a file states by `word`; one of another word is not used, with a warning."""
    if isinstance(word, np.ndarray) and word.size == 1:
        word = word.item()
    found = unit_of_word(word)
    if found is None and isinstance(word, (str, bytes)) and word:
        name = word.decode("latin-1") if isinstance(word, bytes) else word
        text = f"the unit of its times, {str(name)!r}, is none of {', '.join(TIME_UNITS)}: it is not used"
        warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=6)
    return found


def unit_of_dates(path: Path, dtype: np.dtype[Any]) -> str | None:
    """Return the unit of times that are stored as dates or durations, None of others.

    Raises:
        UnknownFormatError: they are in days, or in steps of several units.
    """
    if dtype.kind not in "mM":
        return None
    unit, step = np.datetime_data(dtype)
    if step != 1 or unit not in TIME_UNITS:
        raise UnknownFormatError(
            str(path), got=f"times of type {dtype}", expected="numbers, or dates in s, ms, us or ns",
            todo="save times in us, such as t.astype('M8[us]')",
        )  # fmt: skip
    return unit


def unit_of_times(names: Mapping[str, str]) -> str | None:
    """Return the unit of time that the names of the columns by field state, see `match_names`."""
    return unit_of_pair(names) or unit_of_name(names["t"])


def unit_of_name(name: str) -> str | None:
    """Return the unit of time that a column's name states: "us" for "timestamp_us" and "time (us)"."""
    text = name.strip().lower()
    found = _BRACKETED.fullmatch(text)
    stem, _, word = text.replace(" ", "_").rpartition("_")
    return unit_of_word(found.group(2)) if found else unit_of_word(word) if stem else None


def has_all_names(names: Sequence[str]) -> bool:
    """True if `names` has one each for t, x, y and p; t may be a pair of columns."""
    plain = {plain_name(name) for name in names} | ({"t"} if find_pair(names) else set())
    return all(plain.intersection(aliases) for aliases in NAMES.values())


def match_names(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Assign t, x, y and p to `names`; of a pair of seconds and their parts also the part's field, see `split_seconds`.

    Raises:
        UnknownFormatError: a column is missing.
    """
    by_plain = {plain_name(name): name for name in reversed(names)}
    found = {
        field: by_plain[alias]
        for field, aliases in reversed(NAMES.items())
        for alias in reversed(aliases)
        if alias in by_plain
    }
    pair = find_pair(names)
    if pair and found.get("t") in (None, *pair.values()):
        found |= pair
    missing = [field for field in NAMES if field not in found]
    if missing:
        raise UnknownFormatError(
            str(path),
            got=f"columns named {_listed(names) or 'nothing'}",
            expected=f"columns t, x, y and p ({', '.join(missing)} not found)",
            todo="rename the columns, or say what they hold with --columns (columns=), such as x,y,-,t,p",
        )
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:_NAME_LENGTH] for name in names[:_NAMED]) + more


def match(path: Path, names: Sequence[str], asked: Sequence[str] | None) -> dict[str, str]:
    """Assign t, x, y and p to `names`, by their place if `asked`.

    Raises:
        UnknownFormatError: a column is missing, or there are more or fewer than asked for.
    """
    if asked is None:
        return match_names(path, names)
    return {field: names[place] for field, place in places_of(path, asked, len(names)).items()}


def match_values(path: Path, table: npt.NDArray[Any]) -> dict[str, int]:
    """Assign t, x, y and p to the columns of an unnamed [N, 4] table: t increases, p has two values.

    The remaining columns are x and y, in this order.

    Raises:
        UnknownFormatError: the assignment is ambiguous, or the table is not [N, 4].
    """
    if table.dtype.kind == "f" and np.isnan(table).any():
        table = table[~np.isnan(table).all(axis=-1)]  # rows without values
    orders = ({"t": 0, "x": 1, "y": 2, "p": 3}, {"x": 0, "y": 1, "t": 2, "p": 3}, {"x": 0, "y": 1, "p": 2, "t": 3})
    fitting = [
        order
        for order in orders
        if table.ndim == 2 and table.shape[1] == len(order) and can_be_polarity(table[:, order["p"]])
    ]
    shares = [_share_of_pixels(table[:, [order["x"], order["y"]]]) for order in fitting]
    # Events outside the sensor, such as negative coordinates, are fewer than the others.
    least = 1.0 if 1.0 in shares else 0.5
    fitting = [order for order, share in zip(fitting, shares, strict=True) if share >= least]
    if len(fitting) > 1:
        # Pixels seldom increase all the time, and never by as much as time does.
        fitting = [order for order in fitting if _rises(table[:, order["t"]])] or fitting
        fitting = sorted(fitting, key=lambda order: -float(np.ptp(table[:, order["t"]]))) if len(table) else fitting
    if not fitting:
        odd = int((~np.isfinite(table)).sum()) if table.dtype.kind == "f" else 0
        raise UnknownFormatError(
            str(path),
            got=f"an unnamed table of shape {list(table.shape)}"
            + (f" with {count_of(odd, 'value')} NaN or infinite" if odd else ""),
            expected=f"four columns in the order t x y p, x y t p or x y p t, p being {EXPECTED}",
            todo="leave out the rows without all values"
            if odd
            else "say what the columns hold with --columns (columns=), such as p,x,y,t, or name them in the file",
        )
    return fitting[0]


def _share_of_pixels(columns: npt.NDArray[Any]) -> float:
    """Return the share of rows in which all `columns` are pixels; 0 if one has fractions."""
    if not len(columns):
        return 1.0
    if not (columns == np.floor(columns)).all():
        return 0.0
    return float(((columns >= 0) & (columns < _PIXELS)).all(axis=1).mean())


def _rises(column: npt.NDArray[Any]) -> bool:
    return bool((column[1:] >= column[:-1]).all())
