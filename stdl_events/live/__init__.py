"""Live inference: events in, predictions out, without PyTorch."""

from stdl_events.live.controls import Controls
from stdl_events.live.loop import run_live
from stdl_events.live.protocols import ClockedSource, CountingSource, EventSink, Sink, StatusSink, StopRun
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.session import OnnxSession
from stdl_events.live.summary import LiveSummary

__all__ = [
    "ClockedSource",
    "Controls",
    "CountingSource",
    "EventSink",
    "LiveSummary",
    "OnnxSession",
    "Prediction",
    "Recogniser",
    "Sink",
    "StatusSink",
    "StopRun",
    "run_live",
]
