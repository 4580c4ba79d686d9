"""Recording a source while a model runs on it: all its events, also those of windows that are dropped.

`RECORDERS` is the registry of formats, by suffix. The predictions are written beside, see `predictions_beside`.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias, runtime_checkable

import numpy as np

from stdl_events.errors import RecordingError
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.stream import EventArray, concatenate_events
from stdl_events.growing_file import GrowingFile
from stdl_events.live.recogniser import Prediction
from stdl_events.live.recorded_predictions import predictions_beside
from stdl_events.live.sinks.lines import say
from stdl_events.live.summary import LiveSummary
from stdl_events.registry import Registry

QUEUE_BYTES = 64 << 20
# What is waiting is written at this interval, as one packet.
PACKET_S = 0.05
CLOSE_S = 10.0
_PREDICTION_BYTES = 500


class GrowingRecording(Protocol):
    """A new file of events; writes raise an OSError where there is no room, and leave what was written before."""

    @property
    def events(self) -> int:
        """Number of events in the file on the disk."""
        ...

    def append(self, events: EventArray) -> None:
        """Write `events`, in order, behind the others."""
        ...

    def close(self) -> None:
        """Write the rest, and close the file."""
        ...


@runtime_checkable
class PredictionRecording(GrowingRecording, Protocol):
    """A file that holds predictions too."""

    def predict(self, prediction: Prediction) -> None:
        """Write a prediction."""
        ...


OpenRecording: TypeAlias = Callable[[Path, tuple[int, int]], GrowingRecording]

# Suffix -> a function of the new file's path and the sensor's (W, H).
RECORDERS: Registry[OpenRecording] = Registry(
    "suffix of a recording",
    RecordingError,
    {
        ".aedat4": "stdl_events.events.formats.aedat4_append:Aedat4Appender",
        ".h5": "stdl_events.events.formats.hdf5_append:Hdf5Appender",
        ".mcap": "stdl_events.live.sinks.mcap_recording:McapRecording",
    },
)


class Recorder:
    """An `EventSink` that writes by a thread of its own, before filters, crop and scale; and the predictions.

    If the disk takes no more, the recording ends there and the run goes on; if it is too slow, chunks are missing and
    counted ("fresh"), or the source waits ("complete").

    Args:
        path: of the new file; %Y, %m, %d, %H, %M and %S are those of now.

    Raises:
        RecordingError: a file exists, the suffix is no format's, or it cannot be made.
        MissingExtraError: the format needs a package that is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        sensor_size: tuple[int, int],
        *,
        overload: Overload = "fresh",
        queue_bytes: int = QUEUE_BYTES,
        messages: TextIO | None = None,
    ) -> None:
        self.path = Path(time.strftime(str(path)))
        self.name = f"record {self.path.name}"
        self._messages = messages or sys.stderr
        self._file, self._predictions = _opened(self.path, sensor_size)
        self._waiting: Inbox[EventArray | Prediction] = Inbox(queue_bytes, overload)
        self._thread = threading.Thread(target=self._write, name="stdl-events recorder", daemon=True)
        self._thread.start()

    @property
    def events(self) -> int:
        """Number of events in the file so far."""
        return self._file.events

    def received(self, events: EventArray) -> None:
        if len(events):
            self._waiting.put(events, events.nbytes)

    def predicted(self, prediction: Prediction) -> None:
        self._waiting.put(prediction, _PREDICTION_BYTES)

    def overloaded(self, dropped_frames: int) -> None:
        """Dropped windows are in the file."""

    def ended(self, summary: LiveSummary) -> None:
        self._waiting.close()
        self._thread.join(CLOSE_S)
        with suppress(OSError):
            self._predictions.write(f"{summary.to_json()}\n".encode())
        self._predictions.close()
        missing = summary.events - self.events
        if missing:
            say(f"{self.path}: {missing:,} of {summary.events:,} events are not in the recording", self._messages)

    def _write(self) -> None:
        try:
            try:
                while (items := self._waiting.take(PACKET_S)) is not None:
                    self._add(items)
                    self._waiting.wait(PACKET_S)
            finally:
                self._waiting.close()
                self._file.close()
        except OSError as error:
            reason = str(error.strerror or error).lower()
            say(f"{self.path}: {reason}: the recording ends here, with {self.events:,} events", self._messages)

    def _add(self, items: list[EventArray | Prediction]) -> None:
        if chunks := [item for item in items if isinstance(item, np.ndarray)]:
            self._file.append(concatenate_events(chunks))
        for item in items:
            if isinstance(item, Prediction):
                self._predictions.write(f"{item.to_json()}\n".encode())
                if isinstance(self._file, PredictionRecording):
                    self._file.predict(item)


def _opened(path: Path, sensor_size: tuple[int, int]) -> tuple[GrowingRecording, GrowingFile]:
    """Open a recording and the file of its predictions, or none of them."""
    if path.suffix not in RECORDERS:
        raise RecordingError(
            str(path), got=f"the suffix {path.suffix or 'none'}", expected=" or ".join(RECORDERS.names),
            todo=f"record {path.stem}{RECORDERS.names[0]}, and turn it into another format with stdl-events convert",
        )  # fmt: skip
    beside = predictions_beside(path)
    predictions = GrowingFile(beside, room_for="predictions", error=RecordingError)
    try:
        return RECORDERS[path.suffix](path, sensor_size), predictions
    except BaseException:
        predictions.close()
        beside.unlink()
        raise
