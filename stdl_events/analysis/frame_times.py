"""Middle times of some frames of a recording, collected in one pass over its chunks."""

import numpy as np
import numpy.typing as npt

from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray
from stdl_events.frames import FrameSpec
from stdl_events.frames.grid import grid_origin_us


class FrameTimes:
    """Middle times of the frames `indices_N` that `spec` cuts `recording` into.

    Frames of equal time: the middle of the window. Frames of equal count: the time of the middle event, known once
    `add` has received it.

    Attributes:
        middle_us_N: microseconds of the recording's clock.
    """

    def __init__(self, recording: Recording, spec: FrameSpec, indices_N: npt.NDArray[np.int64]) -> None:
        summary = recording.summary
        first_us, last_us = summary.t_first_us or 0, summary.t_last_us or 0
        self._events_N = np.empty(0, np.int64)
        self._seen = 0
        if spec.dt_us:
            origin_us = grid_origin_us(recording, spec) or 0
            start_us = origin_us + (first_us - origin_us) // spec.dt_us * spec.dt_us
            self.middle_us_N = start_us + indices_N * spec.dt_us + spec.dt_us // 2
        elif spec.kind == "recording" and spec.by == "time":
            length_us = (last_us - first_us) // spec.steps
            self.middle_us_N = first_us + indices_N * length_us + length_us // 2
        else:
            each = spec.events_per_frame or summary.events // spec.steps
            self._events_N = np.minimum(indices_N * each + each // 2, summary.events - 1)
            self.middle_us_N = np.full(len(indices_N), last_us)

    def add(self, events: EventArray) -> None:
        """Add the next chunk of the recording."""
        places_N = self._events_N - self._seen
        self._seen += len(events)
        here = (places_N >= 0) & (places_N < len(events))
        if here.any():
            self.middle_us_N[here] = events["t"][places_N[here]]
