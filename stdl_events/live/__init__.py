"""Live inference: events in, predictions out, without PyTorch."""

from stdl_events.live.loop import ClockedSource, Sink, run_live
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.session import OnnxSession
from stdl_events.live.summary import LiveSummary

__all__ = [
    "ClockedSource",
    "LiveSummary",
    "OnnxSession",
    "Prediction",
    "Recogniser",
    "Sink",
    "run_live",
]
