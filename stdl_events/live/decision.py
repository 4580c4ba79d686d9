"""Decisions of a live run: whether a clip's most probable class is believed, and when a new one replaces the old."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from stdl_events.model_card import DecisionThresholds

# "recognised": a class; "unknown": none is probable enough; "still": too few events; "held": the one before stays.
State: TypeAlias = Literal["recognised", "unknown", "still", "held"]
WORDS = {"unknown": "unknown", "still": "nothing there"}


@dataclass(frozen=True)
class Decision:
    """The decision after a clip.

    Attributes:
        label: a class; None for unknown and for a still scene.
        state: see `State`; with "held", `label` is that of the clips before.
        why: one line without a full stop.
    """

    label: str | None
    state: State
    why: str


class Decider:
    """Decides clip by clip; what changes must be seen in `hold` clips in a row, the first clip decides alone."""

    def __init__(self, thresholds: DecisionThresholds) -> None:
        self._thresholds = thresholds
        self._current: Decision | None = None
        self._other: tuple[str, str | None] | None = None
        self._count = 0

    @property
    def needs_rate(self) -> bool:
        """True if `decide` looks at the rate of events."""
        return self._thresholds.still_below > 0

    def restart(self) -> None:
        """Forget the clips before: another stream begins."""
        self._current, self._other, self._count = None, None, 0

    def decide(self, probabilities: Mapping[str, float], events_per_s: float = 0.0) -> Decision:
        """Return the decision after a clip.

        Args:
            probabilities: one for each class.
            events_per_s: in the frames of the clip, after filters, geometry and cap.
        """
        found = self._of_clip(probabilities, events_per_s)
        kind = (found.state, found.label)
        if self._current is None or kind == (self._current.state, self._current.label):
            self._current, self._other = found, None
            return found
        self._count = self._count + 1 if kind == self._other else 1
        self._other = kind
        if self._count >= self._thresholds.hold:
            self._current, self._other = found, None
            return found
        seen = f"{found.label or WORDS[found.state]} in {self._count} of {self._thresholds.hold} clips in a row"
        return Decision(self._current.label, "held", f"{self._current.label or WORDS[self._current.state]}: {seen}")

    def _of_clip(self, probabilities: Mapping[str, float], events_per_s: float) -> Decision:
        still_below, unknown_below = self._thresholds.still_below, self._thresholds.unknown_below
        if events_per_s < still_below:
            return Decision(None, "still", f"{events_per_s:.0f} events/s, fewer than {still_below:g}")
        label = max(probabilities, key=lambda name: probabilities[name])
        most = f"{label} {probabilities[label]:.2f}"
        if probabilities[label] < unknown_below:
            return Decision(None, "unknown", f"{most}, less than {unknown_below:g}")
        return Decision(
            label, "recognised", f"{most}, at least {unknown_below:g}" if unknown_below else f"{most}, the most"
        )
