"""Decisions of a live run: whether a clip's most probable class is believed, when, and what replaces the old one.

Shape letters: N clips, T time steps, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from stdl_events.live.readout import Floats
from stdl_events.model_card import DecisionThresholds

# "recognised": a class; "unknown": none is probable enough; "still": too few events; "held": the one before stays.
State: TypeAlias = Literal["recognised", "unknown", "still", "held"]
WORDS = {"unknown": "unknown", "still": "nothing there"}


@dataclass(frozen=True)
class Decision:
    """The decision of a clip.

    Attributes:
        label: a class; None for unknown and for a still scene.
        state: see `State`; with "held", `label` is that of the clips before.
        why: one line without a full stop.
        frames: of the clip that it rests on; None if not counted.
    """

    label: str | None
    state: State
    why: str
    frames: int | None = None


class Decider:
    """Decides clip by clip; what changes must be seen in `hold` clips in a row, the first clip decides alone.

    A clip is decided at its end, or at its first frame where the most probable class reaches `decide_at`.

    Attributes:
        decided: the decision of the present clip; None while it is open.
        thresholds: may be replaced between two clips.
    """

    def __init__(self, thresholds: DecisionThresholds) -> None:
        self.thresholds = thresholds
        self._current: Decision | None = None
        self._other: tuple[str, str | None] | None = None
        self._count = 0
        self._last = (0, -1, -1)
        self.decided: Decision | None = None

    @property
    def decides_early(self) -> bool:
        """True if a clip may be decided before its end."""
        return self.thresholds.decide_at is not None

    @property
    def needs_rate(self) -> bool:
        """True if `decide` looks at the rate of events."""
        return self.thresholds.still_below > 0

    def restart(self) -> None:
        """Forget the clips before: another stream begins."""
        self._current, self._other, self._count = None, None, 0

    def begins(self, clip: int, step: int, session: int = 0) -> bool:
        """Go on to a frame; return True if it is the first one seen of its clip.

        A frame of another session, or one that is not later than the one before, is of another stream.
        """
        before = self._last
        is_other = session != before[0] or (clip, step) <= before[1:]
        if is_other:
            self.restart()
        is_first = is_other or clip != before[1]
        if is_first:
            self.decided = None
        self._last = (session, clip, step)
        return is_first

    def push(self, probabilities: Mapping[str, float], steps: int, events_per_s: float = 0.0) -> Decision | None:
        """Return the decision of the clip if it is made at this frame, which `begins` went on to; otherwise None.

        Args:
            probabilities: after this frame, one for each class.
            steps: T of a clip.
            events_per_s: in the frames of the clip so far, see `decide`.
        """
        frames, thresholds = self._last[2] + 1, self.thresholds
        if self.decided is not None:
            return None
        if frames == steps:
            self.decided = replace(self.decide(probabilities, events_per_s), frames=frames)
        elif thresholds.decide_at is not None:
            found = self._of_clip(probabilities, events_per_s, max(thresholds.decide_at, thresholds.unknown_below))
            if found.state == "recognised":  # what is unknown or still may change until the end
                decision = self._held(found)
                why = f"early after {frames} of {steps} frames: {decision.why}"
                self.decided = replace(decision, why=why, frames=frames)
        return self.decided

    def decide(self, probabilities: Mapping[str, float], events_per_s: float = 0.0) -> Decision:
        """Return the decision after a clip.

        Args:
            probabilities: one for each class.
            events_per_s: in the frames of the clip, after filters, geometry and cap.
        """
        return self._held(self._of_clip(probabilities, events_per_s, self.thresholds.unknown_below))

    def _held(self, found: Decision) -> Decision:
        """Return `found`, or the decision before if `found` has not been seen often enough."""
        kind = (found.state, found.label)
        if self._current is None or kind == (self._current.state, self._current.label):
            self._current, self._other = found, None
            return found
        self._count = self._count + 1 if kind == self._other else 1
        self._other = kind
        if self._count >= self.thresholds.hold:
            self._current, self._other = found, None
            return found
        seen = f"{found.label or WORDS[found.state]} in {self._count} of {self.thresholds.hold} clips in a row"
        return Decision(self._current.label, "held", f"{self._current.label or WORDS[self._current.state]}: {seen}")

    def _of_clip(self, probabilities: Mapping[str, float], events_per_s: float, unknown_below: float) -> Decision:
        still_below = self.thresholds.still_below
        if events_per_s < still_below:
            return Decision(None, "still", f"{events_per_s:.0f} events/s, fewer than {still_below:g}")
        label = max(probabilities, key=lambda name: probabilities[name])
        most = f"{label} {probabilities[label]:.2f}"
        if probabilities[label] < unknown_below:
            return Decision(None, "unknown", f"{most}, less than {unknown_below:g}")
        return Decision(
            label, "recognised", f"{most}, at least {unknown_below:g}" if unknown_below else f"{most}, the most"
        )


def decide_clips(probabilities_NTK: Floats, labels: Sequence[str], thresholds: DecisionThresholds) -> list[Decision]:
    """Return the decision of each clip on its own, as a live run makes it of the same frames; no scene is still.

    Args:
        probabilities_NTK: after each frame.
    """
    decisions = []
    for clip_TK in probabilities_NTK:
        decider = Decider(thresholds.model_copy(update={"still_below": 0.0}))
        for step, frame_K in enumerate(clip_TK.tolist()):
            decider.begins(0, step)
            decider.push(dict(zip(labels, frame_K, strict=True)), len(clip_TK))
        assert decider.decided is not None, "the last frame decides"
        decisions.append(decider.decided)
    return decisions
