"""The interpretation of the columns t, x, y and p of one file: unit of time, codes of polarity, and conversion.

Times without a stated unit are read by a guess, and polarity by the codes found so far. Whether both fit the whole
column is known at the end of the first pass. Where they do not, the pass is repeated.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import LOADING
from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Block, OffEverySensor, TimeUnitFrom, corrupt
from stdl_events.events.defects import count_of
from stdl_events.events.formats.clock import UnwrappedClock, may_wrap, unwrap_wide, wide_clock
from stdl_events.events.formats.columns import NAMES
from stdl_events.events.formats.impossible_times import are_impossible, filled
from stdl_events.events.formats.pixel_values import can_be_pixels, require_no_shares
from stdl_events.events.formats.polarity import EXPECTED, PolarityCodes, UnknownPolarityError
from stdl_events.events.formats.split_seconds import joined
from stdl_events.events.stream import EVENT_DTYPE, NO_TIME_US, EventArray
from stdl_events.events.time_units import TIME_UNITS, Guess, LongestPauses, guess_unit

_PIXELS = 65536
_DOUBLE_BYTES, _COUNTER_BYTES = 8, 4
_COARSE_US = 10.0
# Types of the columns that a compiled loop takes.
_USUAL_KINDS = ("<i8<i8<i8<i8", "<f8<i8<i8<i8")

T = TypeVar("T")


class ColumnReading:
    """The interpretation of one file's columns; an `Interpretation`.

    Args:
        unit: name in `TIME_UNITS` that the file states; None if it states none.
        t_offset_us: added to all times.
    """

    def __init__(self, path: Path, unit: str | None = None, t_offset_us: int = 0) -> None:
        self._path = path
        self._t_offset_us = t_offset_us
        self._unit = unit
        self._origin: TimeUnitFrom | None = None if unit is None else "header"
        self._guess: Guess | None = None
        self._has_judged_whole = False
        self._has_fractions = False
        self._fractional_pixels = 0
        self._rows_without_values = self._rows_of_zeros = 0
        self._has_begun = False
        self._coarsest_us = 0.0
        self._pauses = LongestPauses()
        self._clock, self._wide_clock = UnwrappedClock(), wide_clock()
        self._polarity = PolarityCodes()

    @property
    def time_unit(self) -> str:
        """Name in `TIME_UNITS`."""
        return self._unit or (self._guess.unit if self._guess else "us")

    @property
    def time_unit_from(self) -> TimeUnitFrom:
        """`format`: the convention for whole numbers and fractions, which the whole column fits."""
        return self._origin or ("guessed" if self._guess and self._guess.doubt else "format")

    def copy(self) -> "ColumnReading":
        """Return the same interpretation, which can be changed for itself."""
        other = _twin(self)
        other._polarity, other._pauses = _twin(self._polarity), _twin(self._pauses)
        other._clock, other._wide_clock = _twin(self._clock), _twin(self._wide_clock)
        return other

    def restart(self) -> None:
        """Begin a pass over the file with what earlier passes found."""
        self._fractional_pixels = 0
        self._rows_without_values = self._rows_of_zeros = 0
        self._has_begun = False
        self._coarsest_us = 0.0
        self._pauses, self._clock, self._wide_clock = LongestPauses(), UnwrappedClock(), wide_clock()
        self._polarity.restart()

    def use_time_unit(self, unit: str) -> str | None:
        """Read times in `unit`; return a warning if the file states another."""
        stated, self._unit, self._origin = self._unit, unit, "option"
        return (
            None if stated in (None, unit) else f"its header says {stated}; its times are read in {unit} as requested"
        )

    def settle(self, count: int, t_first_us: int | None, t_last_us: int | None) -> bool:
        """Compare the interpretation with a whole pass of `count` events; False if the pass must be repeated."""
        is_settled = self._polarity.is_settled
        if self._unit is None and not self._has_judged_whole and t_first_us is not None and t_last_us is not None:
            per_unit = TIME_UNITS[self.time_unit]
            first, last = ((t - self._t_offset_us) / per_unit for t in (t_first_us, t_last_us))
            busy = self._pauses.without_leaps(count, last - first)
            guess = guess_unit(count, first, last, self._has_fractions, busy)
            is_settled = is_settled and guess.unit == self.time_unit
            self._guess, self._has_judged_whole = guess, True
        return is_settled

    def warnings(self) -> list[str]:
        """Return what was guessed or changed, after `settle`."""
        found = []
        if self.time_unit_from == "guessed":
            assert self._guess is not None
            found.append(
                f"its times are read in {self.time_unit}, a guess: {self._guess.doubt}; state the unit with --time-unit"
                " (time_unit=)"
            )
        if self._coarsest_us > _COARSE_US:
            found.append(
                f"its times are {self._coarsest_us:g} us apart, since floating-point numbers of so few bits are no "
                "finer: the order of events is lost; save the times as float64 or whole numbers"
            )
        if self._fractional_pixels:
            found.append(f"{self._fractional_pixels} values of x and y with fractions: rounded down")
        if self._rows_without_values:
            found.append(f"{count_of(self._rows_without_values, 'row')} of NaN, without values: left out")
        if self._rows_of_zeros:
            found.append(f"{count_of(self._rows_of_zeros, 'row')} of zeros behind events, without values: left out")
        return found

    def to_block(self, offset: int, columns: Mapping[str, npt.NDArray[Any]]) -> Block:
        """Return the events of the columns t, x, y and p, stored at byte `offset` of the file.

        Raises:
            CorruptRecordingError: the columns differ in length, or a pixel is not finite.
            UnknownFormatError: the values of p are no codes of polarity.
        """
        usual = self._usual_events(columns)
        if usual is not None:
            return Block(usual, offset)
        columns = joined(self._path, offset, _without_dates(columns))
        # Limits such as 65536 do not fit into float16.
        columns = {name: _widened(values) if name != "t" else values for name, values in columns.items()}
        lengths = {name: len(columns[name]) for name in NAMES}
        if len(set(lengths.values())) > 1:
            raise corrupt(self._path, offset, f"columns of different lengths ({lengths})", "columns of one length")
        for name in NAMES:
            kinds = "iufbUSO" if name == "p" else "iufb"
            if columns[name].dtype.kind not in kinds or columns[name].ndim != 1:
                got = f"the column {name} of type {columns[name].dtype} and shape {columns[name].shape}"
                raise corrupt(self._path, offset, got, "one number per event")
        columns = self._without_padding(self._with_values(columns))
        on, off = self._on_sensors(columns["x"], columns["y"], offset)
        if on is not None:
            columns = {name: columns[name][on] for name in NAMES}
        events = np.empty(len(columns["t"]), EVENT_DTYPE)
        self._write_times(events, columns["t"])
        for name in "xy":
            self._write_pixels(events, name, columns[name])
        events["p"] = self._is_on(columns["p"], offset)
        return Block(events, offset, off=off)

    def _usual_events(self, columns: Mapping[str, npt.NDArray[Any]]) -> EventArray | None:
        """Return the events of whole numbers and known codes by a compiled loop; None where it is not so simple."""
        codes, t = self._polarity.codes, columns["t"]
        kinds = "".join(columns[name].dtype.str for name in NAMES)
        are_even = {columns[name].shape for name in NAMES} == {(len(t),)}
        if codes is None or kinds not in _USUAL_KINDS or not are_even or len(columns) > len(NAMES):
            return None
        has_unit = self._unit is not None or self._guess is not None
        if not has_unit or not LOADING.pays(0) or (t.dtype.kind == "f" and not self._has_fractions):
            return None
        if len(t) and (t[-1] == 0 or (t.dtype.kind == "i" and may_wrap(self._wide_clock, t))):
            return None
        from stdl_events.events.formats.column_loop import Usual, to_events

        events = to_events(columns, Usual(TIME_UNITS[self.time_unit], *codes))
        if events is None:
            return None
        if len(t):
            self._has_begun = True
            self._wide_clock.last = int(t[-1]) if t.dtype.kind == "i" else None
        if self._unit is None:
            self._pauses.add(t, self._has_fractions)
        if self._t_offset_us:
            events["t"] += self._t_offset_us
        return events

    def _with_values(self, columns: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Leave out and count the rows without a value, which are NaN in tables of numbers with fractions."""
        if any(columns[name].dtype.kind != "f" for name in "txy"):
            return columns
        is_empty = np.isnan(columns["x"])
        if is_empty.any():
            is_empty &= np.isnan(columns["t"]) & np.isnan(columns["y"])
            self._rows_without_values += int(np.count_nonzero(is_empty))
            columns = {name: columns[name][~is_empty] for name in NAMES}
        return columns

    def _without_padding(self, columns: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Leave out and count rows of zeros behind events, where an array is longer than what was written into it."""
        t = columns["t"]
        if not len(t) or t[-1] != 0 or columns["p"].dtype.kind not in "iufb":
            self._has_begun = self._has_begun or len(t) > 0
            return columns
        later = np.flatnonzero(t)
        start = int(later[-1]) + 1 if len(later) else 0
        if not (self._has_begun or start) or any(columns[name][start:].any() for name in "xyp"):
            return columns
        self._has_begun = True
        self._rows_of_zeros += len(t) - start
        return {name: columns[name][:start] for name in NAMES}

    def _on_sensors(
        self, x: npt.NDArray[Any], y: npt.NDArray[Any], offset: int
    ) -> tuple[npt.NDArray[np.bool_] | None, OffEverySensor | None]:
        """Return (the mask of the events on a possible sensor, the others); None twice if there are no others."""
        if all(can_be_pixels(each) for each in (x, y)):
            return None, None
        for name, each in (("x", x), ("y", y)):
            if each.dtype.kind == "f" and not np.isfinite(each).all():
                raise corrupt(self._path, offset, f"a value of {name} that is not finite", "pixels")
        on = (x >= 0) & (x < _PIXELS) & (y >= 0) & (y < _PIXELS)
        off = np.flatnonzero(~on)
        before = off - np.arange(len(off))
        return on, OffEverySensor(before, f"x={x[off[0]]:.15g}, y={y[off[0]]:.15g}")

    def _write_times(self, events: EventArray, t: npt.NDArray[Any]) -> None:
        odd = are_impossible(t)
        if odd is not None:
            t = filled(t, odd)
        if t.dtype.kind == "f" and not self._has_fractions:
            self._has_fractions = bool((t != np.floor(t)).any())
        if t.dtype.kind in "iu":
            is_counter = t.dtype.itemsize == _COUNTER_BYTES
            t = self._clock.unwrap(t) if is_counter else unwrap_wide(self._wide_clock, t)
        if self._unit is None:
            self._pauses.add(t, self._has_fractions)
        if self._unit is None and self._guess is None and len(t):
            first, last = float(t[0]), float(t[-1])
            busy = self._pauses.without_leaps(len(t), last - first)
            self._guess = guess_unit(len(t), first, last, self._has_fractions, busy)
        us_per_unit = TIME_UNITS[self.time_unit]
        if t.dtype.kind == "f" and t.dtype.itemsize < _DOUBLE_BYTES and len(t):
            step = float(np.spacing(np.abs(t).max()))
            self._coarsest_us = max(self._coarsest_us, step * us_per_unit)
        odd_too = are_impossible(t, us_per_unit) if us_per_unit > 1 else None
        if odd_too is not None:
            t = filled(t, odd_too)
        if us_per_unit == 1.0:
            events["t"] = t
        elif us_per_unit < 1.0:
            whole = t.astype(np.float64 if t.dtype.kind == "f" else np.int64, copy=False)
            events["t"] = whole // round(1 / us_per_unit)
        elif t.dtype.kind == "f":
            events["t"] = np.rint(t.astype(np.float64) * us_per_unit)
        else:
            events["t"] = t.astype(np.int64) * round(us_per_unit)
        if self._t_offset_us:
            events["t"] += self._t_offset_us
        for each in (odd, odd_too):
            if each is not None:
                events["t"][each] = NO_TIME_US

    def _write_pixels(self, events: EventArray, name: str, pixel: npt.NDArray[Any]) -> None:
        events[name] = pixel
        if pixel.dtype.kind == "f":
            fractional = int(np.count_nonzero(events[name] != pixel))
            require_no_shares(self._path, name, pixel, fractional)
            self._fractional_pixels += fractional

    def _is_on(self, p: npt.NDArray[Any], offset: int) -> npt.NDArray[np.bool_]:
        try:
            return self._polarity.to_bool(p)
        except UnknownPolarityError as error:
            got = f"the values {error} in the column of polarity"
            if self._polarity.has_seen:
                raise corrupt(self._path, offset, got, EXPECTED) from None
            raise UnknownFormatError(
                str(self._path), got=got, expected=EXPECTED, todo="replace them by 0 (darker) and 1 (brighter)"
            ) from None


def _twin(thing: T) -> T:
    """Return a shallow copy; `copy.copy` takes ten times as long."""
    twin = object.__new__(type(thing))
    twin.__dict__.update(thing.__dict__)
    return twin


def _without_dates(columns: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
    """Return `columns` with dates and durations in t as whole numbers, of the unit that was stated."""
    if columns["t"].dtype.kind not in "mM":
        return columns
    return {**columns, "t": columns["t"].astype(np.int64)}


def _widened(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column.astype(np.float32) if column.dtype == np.float16 else column
