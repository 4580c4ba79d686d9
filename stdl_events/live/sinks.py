"""Sinks of predictions: lines of text, or JSON lines for programs."""

import sys
from typing import TextIO

from stdl_events.live.recogniser import Prediction
from stdl_events.live.summary import LiveSummary


class JsonLines:
    """One JSON object per line; the summary is the last one, {"summary": ...}."""

    def __init__(self, out: TextIO | None = None, messages: TextIO | None = None) -> None:
        self._out, self._messages = out or sys.stdout, messages or sys.stderr

    def predicted(self, prediction: Prediction) -> None:
        print(prediction.to_json(), file=self._out, flush=True)

    def overloaded(self, dropped_frames: int) -> None:
        _say_overloaded(dropped_frames, self._messages)

    def ended(self, summary: LiveSummary) -> None:
        print(summary.to_json(), file=self._out, flush=True)


class Lines:
    """One readable line per prediction; the summary goes to `messages`.

    Args:
        shown: number of the most probable classes in a line.
    """

    def __init__(self, out: TextIO | None = None, messages: TextIO | None = None, *, shown: int = 3) -> None:
        self._out, self._messages, self._shown = out or sys.stdout, messages or sys.stderr, shown

    def predicted(self, prediction: Prediction) -> None:
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[: self._shown]
        classes = "  ".join(f"{label} {probability:.2f}" for label, probability in ranked)
        end = "" if prediction.final else f"  (frame {prediction.step + 1} of its clip)"
        print(
            f"{prediction.t_us / 1e6:.3f} s  {classes}  {prediction.latency_us / 1e3:.2f} ms{end}",
            file=self._out,
            flush=True,
        )

    def overloaded(self, dropped_frames: int) -> None:
        _say_overloaded(dropped_frames, self._messages)

    def ended(self, summary: LiveSummary) -> None:
        print(summary.to_text(), file=self._messages, flush=True)


def _say_overloaded(dropped_frames: int, messages: TextIO) -> None:
    print(f"stdl-events: warning: the model is too slow: dropped {dropped_frames} frames", file=messages, flush=True)
