"""Recordings and event sources: every file format behind `open_recording`, every stream behind `EventSource`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from stdl_events.events.files import open_recording
from stdl_events.events.recording import Recording
from stdl_events.events.sources.replay import ReplaySource, span_us
from stdl_events.events.stream import EVENT_DTYPE, EventArray, EventSource, RecordingWarning

__all__ = [
    "EVENT_DTYPE",
    "EventArray",
    "EventSource",
    "Recording",
    "RecordingWarning",
    "ReplaySource",
    "open_recording",
    "span_us",
    "write_recording",
]


def write_recording(
    path: str | Path,
    events: EventArray | Iterable[EventArray],
    sensor_size: tuple[int, int],
    attributes: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write `events` to our HDF5 file; see `stdl_events.events.formats.hdf5.write_recording`."""
    from stdl_events.events.formats import hdf5  # h5py takes a tenth of a second to import

    hdf5.write_recording(path, events, sensor_size, attributes)
