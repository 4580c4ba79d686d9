"""What a machine keeps up with: synthetic events at rising rates, until the latency breaks its budget."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from stdl_events.live.loop import run_live
from stdl_events.live.recogniser import Recogniser
from stdl_events.live.summary import LiveSummary
from stdl_events.live.synthetic import SyntheticSource

LOWEST_RATE, FACTOR, RATES = 0.5e6, 2, 10


@dataclass(frozen=True)
class Level:
    """A rate that was tried.

    Attributes:
        events_per_s: the rate.
        latency_us: percentiles from window end to decision; None without a window.
        dropped_frames, dropped_events: shed by the loop, and not taken from the source in time.
        kept: p99 is within the budget, and nothing was dropped.
    """

    events_per_s: float
    latency_us: dict[str, float | None]
    dropped_frames: int
    dropped_events: int
    kept: bool


@dataclass(frozen=True)
class Capacity:
    """The rates that were tried, in rising order.

    Attributes:
        budget_ms: of p99, from the end of a window to its decision.
        windows_us: length of a window; None if it is a number of events.
        levels: the last one is not kept, unless all are.
    """

    budget_ms: float
    windows_us: int | None
    levels: tuple[Level, ...]

    @property
    def best(self) -> Level | None:
        """The highest rate that was kept, None if none was."""
        return next((level for level in reversed(self.levels) if level.kept), None)

    def to_json(self) -> str:
        """Return one line of JSON."""
        best = self.best and asdict(self.best)
        return json.dumps({"check": {**asdict(self), "best": best}}, allow_nan=False)

    def to_text(self) -> str:
        """Return a line for each rate, and the answer."""
        lines = [_line(level) for level in self.levels]
        if (best := self.best) is None:
            answer = f"this machine does not keep up with {self.levels[0].events_per_s / 1e6:g} Mev/s"
        else:
            more = "at least " if best is self.levels[-1] else ""
            p99_ms = (best.latency_us["p99"] or 0.0) / 1e3
            answer = f"this machine keeps up with {more}{best.events_per_s / 1e6:g} Mev/s at {p99_ms:.2f} ms p99"
        return "\n".join([*lines, f"{answer}, budget {self.budget_ms:g} ms"])


def check_capacity(
    make: Callable[[], Recogniser], sensor_size: tuple[int, int], seconds: float, budget_ms: float
) -> Capacity:
    """Try rates from `LOWEST_RATE` on, each `FACTOR` times the one before, for `seconds` in all.

    Args:
        make: a recogniser of a source of `sensor_size`, for each rate.
        sensor_size: (width, height).
        seconds: of all rates together, if all are kept.
        budget_ms: limit of p99 from the end of a window to its decision.
    """
    levels = tuple(_levels(make, sensor_size, seconds / RATES, budget_ms))
    return Capacity(budget_ms, make().spec.dt_us, levels)


def _levels(
    make: Callable[[], Recogniser], sensor_size: tuple[int, int], seconds: float, budget_ms: float
) -> Iterator[Level]:
    for power in range(RATES):
        rate = LOWEST_RATE * FACTOR**power
        source = SyntheticSource(sensor_size, rate, seconds)
        summary = run_live(source, make(), [], budget_ms=budget_ms)
        if summary.interrupted:
            raise KeyboardInterrupt
        level = _level(rate, summary)
        yield level
        if not level.kept:
            return


def _level(rate: float, summary: LiveSummary) -> Level:
    dropped_events = summary.source["dropped_events"]
    kept = summary.budget_kept is True and not summary.dropped_frames and not dropped_events
    return Level(rate, summary.latency_us, summary.dropped_frames, dropped_events, kept)


def _line(level: Level) -> str:
    p50_us, p99_us = level.latency_us["p50"], level.latency_us["p99"]
    latency = "no window" if p50_us is None or p99_us is None else f"p50 {p50_us / 1e3:.2f}, p99 {p99_us / 1e3:.2f} ms"
    shed = f", dropped frames {level.dropped_frames:,}, events {level.dropped_events:,}"
    is_shed = level.dropped_frames or level.dropped_events
    return f"{level.events_per_s / 1e6:>6g} Mev/s: {latency}{shed if is_shed else ''}"
