"""Sinks of a live run that keep what they are given, for the tests to look at."""

from stdl_events.live.recogniser import Prediction
from stdl_events.live.summary import LiveSummary


class Collector:
    """Keeps predictions and the summary, and counts dropped frames."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.dropped = 0
        self.summary: LiveSummary | None = None

    def predicted(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        self.dropped += dropped_frames

    def ended(self, summary: LiveSummary) -> None:
        self.summary = summary


class LosslessCollector(Collector):
    """A collector of a run that must wait for the model."""

    def overloaded(self, dropped_frames: int) -> None:
        raise AssertionError(f"{dropped_frames} frames are dropped")
