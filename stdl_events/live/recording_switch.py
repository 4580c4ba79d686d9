"""Recordings that begin and end while a run goes on."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stdl_events.events.stream import EventArray
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.recorder import Recorder
from stdl_events.live.summary import LiveSummary


@dataclass(frozen=True)
class RecordingState:
    """A recording that goes on.

    Attributes:
        file: name of the file, without its folder.
        events: in the file so far.
        seconds: since its start.
    """

    file: str
    events: int
    seconds: float


class RecordingSwitch:
    """An `EventSink` that hands the source's events to a recorder while one is on.

    Args:
        open_recorder: opens the next recording; it chooses the name of the file.
    """

    name = "recording"

    def __init__(self, open_recorder: Callable[[], Recorder]) -> None:
        self._open = open_recorder
        self._switching = threading.Lock()
        self._handing_over = threading.Lock()
        self._recorder: Recorder | None = None
        self._events = self._clips = 0
        self._started_s = 0.0

    @property
    def state(self) -> RecordingState | None:
        """The recording that goes on; None if there is none."""
        recorder = self._recorder
        if recorder is None:
            return None
        return RecordingState(recorder.path.name, recorder.events, time.monotonic() - self._started_s)

    def start(self) -> None:
        """Begin a recording; without effect while one goes on.

        Raises:
            RecordingError: the file cannot be made.
        """
        with self._switching:
            if self._recorder is None:
                recorder = self._open()
                with self._handing_over:
                    self._recorder, self._events, self._clips = recorder, 0, 0
                    self._started_s = time.monotonic()

    def stop(self) -> None:
        """End the recording, and wait until its file is whole; without effect while there is none."""
        with self._switching:
            with self._handing_over:
                recorder, self._recorder = self._recorder, None
            if recorder is not None:
                none = LiveSummary.before_the_start(time.monotonic() - self._started_s)
                recorder.ended(replace(none, events=self._events, clips=self._clips))

    def received(self, events: EventArray) -> None:
        with self._handing_over:
            if self._recorder is not None:
                self._events += len(events)
                self._recorder.received(events)

    def predicted(self, prediction: Prediction) -> None:
        with self._handing_over:
            if self._recorder is not None:
                self._clips += prediction.decided_after == prediction.step + 1
                self._recorder.predicted(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        """Dropped windows are in the file."""

    def ended(self, summary: LiveSummary) -> None:
        self.stop()
