"""The score of decisions over a whole recording against its labelled movements.

A recogniser *says* a name when its decision becomes that class and was not that class before; as long as the decision
stays it says nothing new. Each saying is of at most one movement:

- The window of a movement is from its onset less `EARLY_US` to its end plus `LATE_US`. Labelled onsets are no sharper.
- Where windows overlap, a saying is of the movement of its own name that has not been named yet, else of the one that
  began last.
- The first saying of the movement's own name names it; the delay is from the onset to that saying.
- Every later saying of the own name in its window is a double, every saying of another name is a wrong one.
- A movement that is not named is missed, whatever wrong names it got.
- A saying in no window is a false alarm. Their rate is per minute of time in no window.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

EARLY_US = 100_000
LATE_US = 300_000


@dataclass(frozen=True)
class TimedDecision:
    """A decision: the class that is believed from `t_us` on; None is unknown, or nothing there."""

    t_us: int
    label: str | None


@dataclass(frozen=True)
class Segment:
    """A labelled movement, [start, stop)."""

    start_us: int
    stop_us: int
    label: str


@dataclass(frozen=True)
class MovementScore:
    """What was said of one movement.

    Attributes:
        delay_us: from the onset to its name; None if it is missed. It may be negative, down to -`EARLY_US`.
        wrong: the other names that were said.
        doubles: how often its own name was said again.
    """

    segment: Segment
    delay_us: int | None
    wrong: tuple[str, ...]
    doubles: int

    @property
    def is_missed(self) -> bool:
        return self.delay_us is None

    @property
    def is_once(self) -> bool:
        """True if its name was said once, and nothing else."""
        return not self.is_missed and not self.wrong and not self.doubles


@dataclass(frozen=True)
class TimelineScore:
    """The score of one or more whole recordings.

    Attributes:
        movements: in order.
        false_alarms: what was said in no window, and when.
        still_us: time in no window.
    """

    movements: tuple[MovementScore, ...]
    false_alarms: tuple[TimedDecision, ...]
    still_us: int

    @property
    def false_alarms_per_min(self) -> float | None:
        """None without time in which nothing moves."""
        return len(self.false_alarms) * 60e6 / self.still_us if self.still_us else None

    def __add__(self, other: "TimelineScore") -> "TimelineScore":
        return TimelineScore(
            self.movements + other.movements, self.false_alarms + other.false_alarms, self.still_us + other.still_us
        )

    def summary(self) -> dict[str, Any]:
        """JSON-ready; times in ms."""
        delays_us = [one.delay_us for one in self.movements if one.delay_us is not None]
        return {
            "movements": len(self.movements),
            "named": len(delays_us),
            "once": sum(one.is_once for one in self.movements),
            "missed": sum(one.is_missed for one in self.movements),
            "wrong_names": sum(len(one.wrong) for one in self.movements),
            "doubles": sum(one.doubles for one in self.movements),
            "delay_ms_median": statistics.median(delays_us) / 1000 if delays_us else None,
            "delay_ms_max": max(delays_us) / 1000 if delays_us else None,
            "named_within_300_ms": sum(delay_us <= 300_000 for delay_us in delays_us),
            "false_alarms": len(self.false_alarms),
            "still_s": self.still_us / 1e6,
            "false_alarms_per_min": self.false_alarms_per_min,
        }


@dataclass
class _Open:
    segment: Segment
    delay_us: int | None = None
    wrong: list[str] = field(default_factory=list)
    doubles: int = 0

    def holds(self, t_us: int) -> bool:
        return self.segment.start_us - EARLY_US <= t_us < self.segment.stop_us + LATE_US

    def hear(self, t_us: int, label: str) -> None:
        if label != self.segment.label:
            self.wrong.append(label)
        elif self.delay_us is None:
            self.delay_us = t_us - self.segment.start_us
        else:
            self.doubles += 1


def said(decisions: Sequence[TimedDecision]) -> list[TimedDecision]:
    """Return the decisions that say a name: those for a class that was not the decision before."""
    before: str | None = None
    found = []
    for decision in decisions:
        if decision.label is not None and decision.label != before:
            found.append(decision)
        before = decision.label
    return found


def score_timeline(
    decisions: Sequence[TimedDecision], segments: Sequence[Segment], span_us: tuple[int, int]
) -> TimelineScore:
    """Return the score of a recording's decisions, in the order of time, by the definitions of this module.

    Args:
        segments: all labelled movements of the recording.
        span_us: the recording, [start, stop).
    """
    movements = [_Open(segment) for segment in sorted(segments, key=lambda one: one.start_us)]
    alarms = []
    for decision in said(decisions):
        assert decision.label is not None, "what is said has a name"
        around = [one for one in movements if one.holds(decision.t_us)]
        own = [one for one in around if one.segment.label == decision.label and one.delay_us is None]
        if around:
            (own[0] if own else around[-1]).hear(decision.t_us, decision.label)
        else:
            alarms.append(decision)
    scores = [MovementScore(one.segment, one.delay_us, tuple(one.wrong), one.doubles) for one in movements]
    return TimelineScore(tuple(scores), tuple(alarms), _outside(segments, span_us))


def _outside(segments: Sequence[Segment], span_us: tuple[int, int]) -> int:
    """Return the time of the span in no window."""
    outside, reached = 0, span_us[0]
    for segment in sorted(segments, key=lambda one: one.start_us):
        outside += max(0, min(segment.start_us - EARLY_US, span_us[1]) - reached)
        reached = max(reached, segment.stop_us + LATE_US)
    return outside + max(0, span_us[1] - reached)


def share_of_time(decisions: Sequence[TimedDecision], label: str, span_us: tuple[int, int]) -> dict[str, float]:
    """Return the shares of a recording's time in which the decision is `label`, another class, and none.

    A decision holds from its time until the next one, the last until the end; before the first there is none.
    """
    times_us = [*(decision.t_us for decision in decisions), span_us[1]]
    lengths_us = {"right": 0, "wrong": 0, "nothing": 0}
    for decision, end_us in zip(decisions, times_us[1:], strict=True):
        kind = "nothing" if decision.label is None else "right" if decision.label == label else "wrong"
        lengths_us[kind] += max(0, min(end_us, span_us[1]) - decision.t_us)
    whole_us = span_us[1] - span_us[0]
    lengths_us["nothing"] = whole_us - lengths_us["right"] - lengths_us["wrong"]
    return {kind: length_us / whole_us for kind, length_us in lengths_us.items()}
