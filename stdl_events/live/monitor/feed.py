"""What a run's threads hand to the page's server: references alone, in a room that is bounded; the newest wins."""

import threading
from collections import deque
from dataclasses import dataclass, field

from stdl_events.events.stream import EventArray
from stdl_events.live.recogniser import Prediction
from stdl_events.live.summary import LiveSummary

# A picture of 4 Mev/s; older events are overwritten by these for the most part.
MOST_EVENTS = 1 << 17
MOST_CHUNKS = 4096
PREDICTIONS = 600
SUMMARIES = 300


@dataclass(frozen=True)
class News:
    """What came since the last call of `take`.

    Attributes:
        chunks: of the source, oldest first; none without a viewer.
        predictions: with their numbers, from 0; those that found no room are missing.
        summaries: about one a second.
    """

    chunks: list[EventArray] = field(default_factory=list)
    predictions: list[tuple[int, Prediction]] = field(default_factory=list)
    summaries: list[LiveSummary] = field(default_factory=list)


class Feed:
    """Slots between a run and the page's server.

    Attributes:
        watched: a viewer is there, so that chunks are kept.
        skipped_events: not in any picture, because events came faster than pictures are made.
    """

    def __init__(self) -> None:
        self.watched = False
        self.skipped_events = 0
        self._lock = threading.Lock()
        self._chunks: deque[EventArray] = deque()
        self._events = 0
        self._predictions: deque[tuple[int, Prediction]] = deque(maxlen=PREDICTIONS)
        self._predicted = 0
        self._summaries: deque[LiveSummary] = deque(maxlen=SUMMARIES)

    def add_chunk(self, events: EventArray) -> None:
        if not self.watched or not len(events):
            return
        newest = events[-MOST_EVENTS:]
        with self._lock:
            self._chunks.append(newest)
            self._events += len(newest)
            self.skipped_events += len(events) - len(newest)
            while len(self._chunks) > 1 and (self._events > MOST_EVENTS or len(self._chunks) > MOST_CHUNKS):
                skipped = len(self._chunks.popleft())
                self._events -= skipped
                self.skipped_events += skipped

    def add_prediction(self, prediction: Prediction) -> None:
        with self._lock:
            self._predictions.append((self._predicted, prediction))
            self._predicted += 1

    def add_summary(self, summary: LiveSummary) -> None:
        with self._lock:
            self._summaries.append(summary)

    def take(self) -> News:
        """Return all that is there, and leave the slots empty."""
        with self._lock:
            news = News(list(self._chunks), list(self._predictions), list(self._summaries))
            self._chunks.clear()
            self._predictions.clear()
            self._summaries.clear()
            self._events = 0
        return news
