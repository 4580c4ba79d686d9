"""Recording a source while a model runs on it: all its events, also those of windows that are dropped."""

import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from stdl_events.errors import RecordingError
from stdl_events.events.formats.aedat4_append import Aedat4Appender
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.stream import EventArray, concatenate_events
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.lines import say
from stdl_events.live.summary import LiveSummary

SUFFIX = ".aedat4"
QUEUE_BYTES = 64 << 20
# What is waiting is written at this interval, as one packet.
PACKET_S = 0.05
CLOSE_S = 10.0


class Recorder:
    """An `EventSink` that writes an AEDAT 4 file by a thread of its own, before filters, crop and scale.

    If the disk takes no more, the recording ends there and the run goes on; if it is too slow, chunks are missing and
    counted ("fresh"), or the source waits ("complete").

    Args:
        path: of the new file; %Y, %m, %d, %H, %M and %S are those of now.

    Raises:
        RecordingError: the file exists, has another suffix, or cannot be made.
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
        if self.path.suffix != SUFFIX:
            raise RecordingError(
                str(self.path), got=f"the suffix {self.path.suffix or 'none'}", expected=SUFFIX,
                todo=f"record {self.path.stem}{SUFFIX}, and turn it into another format with stdl-events convert",
            )  # fmt: skip
        self.name = f"record {self.path.name}"
        self._messages = messages or sys.stderr
        self._file = Aedat4Appender(self.path, sensor_size)
        self._inbox: Inbox[EventArray] = Inbox(queue_bytes, overload)
        self._thread = threading.Thread(target=self._write, name="stdl-events recorder", daemon=True)
        self._thread.start()

    @property
    def events(self) -> int:
        """Number of events in the file so far."""
        return self._file.events

    def received(self, events: EventArray) -> None:
        if len(events):
            self._inbox.put(events, events.nbytes)

    def predicted(self, prediction: Prediction) -> None:
        """Predictions are not in the file."""

    def overloaded(self, dropped_frames: int) -> None:
        """Dropped windows are in the file."""

    def ended(self, summary: LiveSummary) -> None:
        self._inbox.close()
        self._thread.join(CLOSE_S)
        missing = summary.events - self.events
        if missing:
            say(f"{self.path}: {missing:,} of {summary.events:,} events are not in the recording", self._messages)

    def _write(self) -> None:
        try:
            while (chunks := self._inbox.take(PACKET_S)) is not None:
                if chunks:
                    self._file.append(concatenate_events(chunks))
                self._inbox.wait(PACKET_S)
        except OSError as error:
            reason = str(error.strerror or error).lower()
            say(f"{self.path}: {reason}: the recording ends here, with {self.events:,} events", self._messages)
        finally:
            self._inbox.close()
            self._file.close()
