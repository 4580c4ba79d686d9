"""Units of time, and the guess of the unit of a column of times that no header explains."""

from dataclasses import dataclass

from stdl_events.errors import RecordingError
from stdl_events.registry import Registry

# Microseconds per unit.
TIME_UNITS: Registry[float] = Registry(
    "time unit", RecordingError, {"us": 1.0, "ms": 1e3, "ns": 1e-3, "s": 1e6, "100us": 100.0}
)
_EPOCH_NS = 10**17
_SLOW_SPAN_US = 60e6
_LONG_SPAN_US, _LONG_RATE_HZ = 600e6, 1000.0
_SHORT_SPAN_US, _SHORT_EVENTS = 10e3, 1000


@dataclass(frozen=True)
class Guess:
    """The unit of a column of times.

    Attributes:
        unit: a name of `TIME_UNITS`.
        doubt: the reason why it may be wrong; None if the column fits the convention.
    """

    unit: str
    doubt: str | None = None


def guess_unit(count: int, first: float, last: float, has_fractions: bool) -> Guess:
    """Guess the unit of `count` times from `first` to `last`.

    Whole numbers are microseconds, or nanoseconds above 10^17 (since 1970); numbers with fractions are seconds. Where a
    recording would have hardly any events for minutes, the next unit is taken in which it has: of nanoseconds for whole
    numbers, of milliseconds, microseconds and nanoseconds for fractions.
    """
    if max(abs(first), abs(last)) > _EPOCH_NS:
        return Guess("ns")
    units, slow_hz = (("s", "ms", "us", "ns"), 100.0) if has_fractions else (("us", "ns"), 20.0)
    span = last - first

    def is_slow(unit: str) -> bool:
        span_us = span * TIME_UNITS[unit]
        return span_us > _SLOW_SPAN_US and count < slow_hz * span_us / 1e6

    unit = next((unit for unit in units if not is_slow(unit)), units[0])
    span_us = span * TIME_UNITS[units[0]]
    rate_hz = count * 1e6 / span_us if span_us else 0.0
    is_odd = span_us > _LONG_SPAN_US and rate_hz < _LONG_RATE_HZ
    is_short = count >= _SHORT_EVENTS and 0 < span_us < _SHORT_SPAN_US
    if unit == units[0] and not is_slow(unit) and not is_odd and not is_short:
        return Guess(unit)
    facts = f"{span_us / 1e6:g} s at {rate_hz:,.0f} events/s"
    return Guess(unit, f"it lasts {facts}" if unit == units[0] else f"in {units[0]} it would last {facts}")
