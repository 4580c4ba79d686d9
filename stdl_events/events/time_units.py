"""Units of time, and the guess of the unit of a column of times that no header explains."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError
from stdl_events.registry import Registry

# Microseconds per unit.
TIME_UNITS: Registry[float] = Registry(
    "time unit", RecordingError, {"us": 1.0, "ms": 1e3, "ns": 1e-3, "s": 1e6, "100us": 100.0}
)
_EPOCH_NS = 10**17
# Clocks of recordings count from 1970 between these dates: 2010-01-01 and 2040-01-01.
_WALL_CLOCK_US = (1_262_304_000_000_000, 2_208_988_800_000_000)
_SLOW_SPAN_US = 60e6
_LONG_SPAN_US, _LONG_RATE_HZ = 600e6, 1000.0
_SHORT_SPAN_US, _SHORT_EVENTS = 10e3, 1000
# Leaps are few pauses that take most of the time: before stray events, or where the clock was set anew.
_LEAPS, _LEAP_FRACTION, _FEWEST_EVENTS = 8, 0.1, 100


@dataclass(frozen=True)
class Guess:
    """The unit of a column of times.

    Attributes:
        unit: a name of `TIME_UNITS`.
        doubt: the reason why it may be wrong; None if the column fits the convention.
    """

    unit: str
    doubt: str | None = None


class LongestPauses:
    """The longest pauses in a column of times without a stated unit, found block by block."""

    def __init__(self) -> None:
        self._longest: npt.NDArray[np.float64] = np.empty(0)
        self._last: float | None = None

    def add(self, t: npt.NDArray[np.number], has_fractions: bool) -> None:
        """Note the next times of the column."""
        if not len(t):
            return
        before = float(t[0]) if self._last is None else self._last
        self._last = float(t[-1])
        units, slow_hz = _conventions(has_fractions)
        if not self._last - before > len(t) * 1e6 / (slow_hz * TIME_UNITS[units[0]]):
            return  # no pause in it can make the column look slow
        found = np.concatenate([self._longest, np.diff(t.astype(np.float64), prepend=before)])
        self._longest = np.partition(found, -_LEAPS)[-_LEAPS:] if len(found) > _LEAPS else found

    def without_leaps(self, count: int, span: float) -> float:
        """Return `span`, the time between the first and the last of `count` events, without leaps of the clock."""
        if count < _FEWEST_EVENTS:
            return span
        leaps = (self._longest > _LEAP_FRACTION * span) & (self._longest <= span)
        return max(0.0, span - float(self._longest[leaps].sum()))


def _conventions(has_fractions: bool) -> tuple[tuple[str, ...], float]:
    """Return (the units to try, the rate in events/s below which the next one is tried)."""
    return (("s", "ms", "us", "ns"), 100.0) if has_fractions else (("us", "ns"), 20.0)


def _unit_of_wall_clock(first: float, last: float, has_fractions: bool) -> str | None:
    """Return the unit other than the convention's in which the times count from 1970 to these years.

    Whole numbers are no seconds: more likely they are microseconds that begin half an hour after the clock did.
    """
    earliest_us, latest_us = _WALL_CLOCK_US
    for unit in ("ms", "us") if has_fractions else ("ms",):
        if earliest_us <= first * TIME_UNITS[unit] <= last * TIME_UNITS[unit] <= latest_us:
            return unit
    return None


def _date(time: float, unit: str) -> np.datetime64:
    time_us = min(max(time * TIME_UNITS[unit], -_EPOCH_NS), _EPOCH_NS)
    return np.datetime64(round(time_us), "us").astype("datetime64[s]")


def guess_unit(count: int, first: float, last: float, has_fractions: bool, busy: float | None = None) -> Guess:
    """Guess the unit of `count` times from `first` to `last`, which without leaps of the clock take `busy`.

    Whole numbers are microseconds, or nanoseconds above 10^17 (since 1970); numbers with fractions are seconds. A wall
    clock of these years names another unit, if the recording then has a likely rate. Where a recording would have
    hardly any events for minutes, the next unit is taken in which it has: of nanoseconds for whole numbers, of
    milliseconds, microseconds and nanoseconds for fractions.
    """
    if max(abs(first), abs(last)) > _EPOCH_NS:
        earliest_us, latest_us = _WALL_CLOCK_US
        is_likely = earliest_us * 1000 <= first <= last <= latest_us * 1000
        return Guess("ns", None if is_likely else f"as a wall clock they begin at {_date(first, 'ns')} UTC")
    units, slow_hz = _conventions(has_fractions)
    span = last - first
    busy = span if busy is None else busy

    def is_slow(unit: str, least_span_us: float = _SLOW_SPAN_US, least_hz: float = slow_hz) -> bool:
        span_us = busy * TIME_UNITS[unit]
        return span_us > least_span_us and count < least_hz * span_us / 1e6

    wall_unit = _unit_of_wall_clock(first, last, has_fractions)
    if wall_unit is not None and not is_slow(wall_unit, _LONG_SPAN_US, _LONG_RATE_HZ):
        return Guess(wall_unit, f"as a wall clock they begin at {_date(first, wall_unit)} UTC")
    unit = next((unit for unit in units if not is_slow(unit)), units[0])
    span_us = span * TIME_UNITS[units[0]]
    rate_hz = count * 1e6 / span_us if span_us else 0.0
    is_odd = span_us > _LONG_SPAN_US and rate_hz < _LONG_RATE_HZ
    is_short = count >= _SHORT_EVENTS and span_us < _SHORT_SPAN_US
    if unit == units[0] and not is_slow(unit) and not is_odd and not is_short:
        return Guess(unit)
    facts = f"{span_us / 1e6:g} s at {rate_hz:,.0f} events/s" if span_us else "0 s: all events have one time"
    return Guess(unit, f"it lasts {facts}" if unit == units[0] else f"in {units[0]} it would last {facts}")
