"""What a user changes of a live run while it goes on: pause, thresholds, a recording. Safe in any thread."""

import threading

from stdl_events.errors import UserError
from stdl_events.live.recording_switch import RecordingSwitch
from stdl_events.model_card import DecisionThresholds


class Controls:
    """Asked by `run_live(controls=...)` at each frame; changed by a page or a program.

    Args:
        recording: starts and stops recordings; the run hands it the source's events.
    """

    def __init__(self, recording: RecordingSwitch | None = None) -> None:
        self.recording = recording
        self._changed = threading.Condition()
        self._paused = False
        self._thresholds = DecisionThresholds()
        self._decides_early = True

    def begin(self, thresholds: DecisionThresholds, *, decides_early: bool) -> None:
        """Set the thresholds of a run at its start.

        Args:
            decides_early: clips of this run may be decided before their end.
        """
        self._thresholds, self._decides_early = thresholds, decides_early

    @property
    def paused(self) -> bool:
        """True while frames are not recognised."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    @property
    def decides_early(self) -> bool:
        """True if `thresholds` may have a `decide_at`."""
        return self._decides_early

    @property
    def thresholds(self) -> DecisionThresholds:
        """Thresholds of the next clip, and of those after it."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, thresholds: DecisionThresholds) -> None:
        if thresholds.decide_at is not None and not self._decides_early:
            raise UserError(
                "decide_at", got=f"{thresholds.decide_at:g}, and a state that goes on over clips (readout sliding)",
                expected="none", todo="leave it off",
            )  # fmt: skip
        self._thresholds = thresholds

    def wait_while_paused(self, timeout_s: float) -> bool:
        """Wait until the run goes on, at most `timeout_s`; return True if it is still paused."""
        with self._changed:
            return not self._changed.wait_for(lambda: not self._paused, timeout_s)
