"""Recordings and event sources: every file format behind `open_recording`, every stream behind `EventSource`."""

from typing import TYPE_CHECKING

from stdl_events.lazy import lazy_names

if TYPE_CHECKING:
    from stdl_events.events.files import open_recording as open_recording
    from stdl_events.events.formats import FORMATS as FORMATS
    from stdl_events.events.formats import WRITERS as WRITERS
    from stdl_events.events.formats import Format as Format
    from stdl_events.events.formats import Signature as Signature
    from stdl_events.events.formats import Writer as Writer
    from stdl_events.events.formats.hdf5 import write_recording as write_recording
    from stdl_events.events.recording import Recording as Recording
    from stdl_events.events.sources import SOURCES as SOURCES
    from stdl_events.events.sources import open_source as open_source
    from stdl_events.events.sources.replay import ReplaySource as ReplaySource
    from stdl_events.events.sources.replay import span_us as span_us
    from stdl_events.events.stream import EVENT_DTYPE as EVENT_DTYPE
    from stdl_events.events.stream import EventArray as EventArray
    from stdl_events.events.stream import EventSource as EventSource
    from stdl_events.events.stream import RecordingWarning as RecordingWarning

__all__ = [
    "EVENT_DTYPE",
    "FORMATS",
    "SOURCES",
    "WRITERS",
    "EventArray",
    "EventSource",
    "Format",
    "Recording",
    "RecordingWarning",
    "ReplaySource",
    "Signature",
    "Writer",
    "open_recording",
    "open_source",
    "span_us",
    "write_recording",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EVENT_DTYPE": "stdl_events.events.stream",
        "EventArray": "stdl_events.events.stream",
        "EventSource": "stdl_events.events.stream",
        "FORMATS": "stdl_events.events.formats",
        "Format": "stdl_events.events.formats",
        "Recording": "stdl_events.events.recording",
        "RecordingWarning": "stdl_events.events.stream",
        "ReplaySource": "stdl_events.events.sources.replay",
        "SOURCES": "stdl_events.events.sources",
        "Signature": "stdl_events.events.formats",
        "WRITERS": "stdl_events.events.formats",
        "Writer": "stdl_events.events.formats",
        "open_recording": "stdl_events.events.files",
        "open_source": "stdl_events.events.sources",
        "span_us": "stdl_events.events.sources.replay",
        "write_recording": "stdl_events.events.formats.hdf5",
    },
)
