"""A part of a recording in time, as a recording."""

from collections.abc import Iterator

import numpy as np

from stdl_events.events.filtered import changed
from stdl_events.events.recording import Recording
from stdl_events.events.sources.replay import Position, span_us
from stdl_events.events.stream import EventArray


def part_of(recording: Recording, start: Position = None, stop: Position = None) -> Recording:
    """Return the events of `recording` in [start, stop), with its own summary and the times of the whole.

    It is read in bounded memory. Without a start and a stop it is `recording`.

    Args:
        start, stop: see `span_us`.

    Raises:
        RecordingError: see `span_us`.
    """
    if start is None and stop is None:
        return recording
    t0_us, t1_us = span_us(recording, start, stop)

    def passes() -> Iterator[EventArray]:
        for events in recording.chunks():
            first, last = np.searchsorted(events["t"], [t0_us, t1_us])
            if first < last:
                yield events[first:last]
            if last < len(events):
                return

    part = changed(recording, recording.sensor_size, passes)
    part.undivided = lambda: recording.whole
    return part
