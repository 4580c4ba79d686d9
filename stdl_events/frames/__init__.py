"""Events to frames: the one frame maker, for recordings and for live streams.

A *frame* is one step's input: counts_CHW, C=2 (0: darker, 1: brighter), uint16, saturating. A *clip* is T frames.
Windows without events are frames too: time passes in them, so a membrane decays.
"""

from stdl_events.frames.clips import Clip, ClipGate, Clips, clips
from stdl_events.frames.counting import Counts
from stdl_events.frames.framer import MAX_WINDOWS_AT_ONCE, Frame, Framer
from stdl_events.frames.recording import recording_frames, streamed_recording_frames
from stdl_events.frames.spec import MAX_COUNT, FrameSpec

__all__ = [
    "MAX_COUNT",
    "MAX_WINDOWS_AT_ONCE",
    "Clip",
    "ClipGate",
    "Clips",
    "Counts",
    "Frame",
    "FrameSpec",
    "Framer",
    "clips",
    "recording_frames",
    "streamed_recording_frames",
]
