"""The model's side of a live run: steps, predictions and latencies."""

import math
import time
from collections import Counter
from collections.abc import Sequence

from stdl_events.errors import ModelError
from stdl_events.frames import Frame
from stdl_events.live.controls import Controls
from stdl_events.live.decision import Decider, Decision
from stdl_events.live.percentiles import Percentiles
from stdl_events.live.protocols import Sink
from stdl_events.live.recogniser import Prediction, Readout, Recogniser
from stdl_events.model_card import DecisionThresholds

# Shortest interval between two reports of overload.
OVERLOAD_EVERY_S = 1.0


class Steps:
    """The model's side of a run: steps, predictions and latencies.

    Attributes:
        recognised_events: number of events in the frames that the model stepped.
        skipped_events: in frames of clips that are incomplete, which it did not step.
        paused_events: in frames that came while it was paused.
        open_events: in the frame that it is stepping.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        sinks: Sequence[Sink],
        every: str,
        decision: DecisionThresholds | None = None,
        controls: Controls | None = None,
    ) -> None:
        self.latency, self.step_time = Percentiles(), Percentiles()
        self.frames = self.clips = self.paused_frames = self.thinned_clips = 0
        self._recogniser = recogniser
        self._sinks = sinks
        self._every = every
        self._dropped = 0
        self._overload_said_s = -math.inf
        self.decisions: Counter[str] = Counter()
        self._decider = Decider(decision or recogniser.session.card.decision or DecisionThresholds())
        if self._decider.decides_early and not recogniser.resets:
            raise ModelError(
                str(recogniser.session.path), got="decide_at, and a state that goes on over clips (readout sliding)",
                expected="a state that is zeroed at each clip, whose frames alone decide it",
                todo="use --decide-at none",
            )  # fmt: skip
        self._controls = controls or Controls()
        self._controls.begin(self._decider.thresholds, decides_early=recogniser.resets)
        self.early_clips = self.early_frames = 0
        self.recognised_events = self.skipped_events = self.paused_events = self.open_events = 0
        self._clip_start_us, self._clip_events = 0, 0

    def say_overload(self, dropped: int, *, at_once: bool = False) -> None:
        """Report to the sinks the frames dropped since the last report, of `dropped` in all."""
        now_s = time.monotonic()
        if dropped > self._dropped and (at_once or now_s - self._overload_said_s >= OVERLOAD_EVERY_S):
            for sink in self._sinks:
                sink.overloaded(dropped - self._dropped)
            self._dropped, self._overload_said_s = dropped, now_s

    def step(self, frame: Frame, arrived_s: float, shed: int = 0) -> None:
        """Step the model and hand on its prediction; in a pause, count the frame alone.

        Args:
            arrived_s: from when on the latency runs, as of `time.monotonic`.
            shed: number of frames right before this one that were shed.
        """
        if self._controls.paused:
            self.paused_frames += 1
            self.paused_events += frame.events
            return
        began_s = time.monotonic()
        self.open_events = frame.events
        readout = self._recogniser.push(frame, shed)
        done_s = time.monotonic()
        self.open_events = 0
        if readout is None:
            self.skipped_events += frame.events
            return
        self.recognised_events += frame.events
        self.frames += 1
        self.clips += readout.final
        self.thinned_clips += readout.final and readout.missing > 0
        decision = self._decided(frame, readout)
        self.step_time.add((done_s - began_s) * 1e6)
        latency_us = (time.monotonic() - arrived_s) * 1e6
        self.latency.add(latency_us)
        if decision is not None or self._every == "frame":
            decided = self._decider.decided
            prediction = Prediction(
                t_us=frame.t_end_us,
                label=readout.label,
                probabilities=readout.probabilities,
                latency_us=round(latency_us),
                clip=frame.clip,
                step=frame.step,
                final=readout.final,
                decision=decided.label if decided else None,
                state=decision.state if decision else "decided" if decided else "open",
                why=_why(decision, decided, readout.missing),
                decided_after=decided.frames if decided else None,
                t_start_us=self._clip_start_us,
            )
            for sink in self._sinks:
                sink.predicted(prediction)

    def _decided(self, frame: Frame, readout: Readout) -> Decision | None:
        """Return the decision of a clip at the frame where it is made, otherwise None."""
        missing_us = readout.missing * (frame.t_end_us - frame.t_start_us)
        if self._decider.begins(frame.clip, frame.step, frame.session):
            self._clip_start_us, self._clip_events = frame.t_start_us - missing_us, 0
            self._decider.thresholds = self._controls.thresholds
        if self._decider.needs_rate:
            self._clip_events += int(frame.counts_CHW.sum())
        rate = self._clip_events * 1e6 / (frame.t_end_us - self._clip_start_us - missing_us)
        decision = self._decider.push(readout.probabilities, frame.steps, rate)
        if decision is not None:
            self.decisions[decision.state] += 1
            self.early_clips += not readout.final
            self.early_frames += frame.steps - frame.step - 1
        return decision


def _why(decision: Decision | None, decided: Decision | None, missing: int) -> str:
    """Return the reason of the decision made at a frame, or that it was made before."""
    if decision is None:
        return f"decided after {decided.frames} frames" if decided else ""
    return f"{decision.why}, without {missing} frames that were shed" if missing else decision.why
