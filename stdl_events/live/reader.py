"""The thread that reads a live run's source and cuts its events into frames."""

import threading
import time
from collections.abc import Sequence

from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import MAX_TIME_US, EventArray, EventSource
from stdl_events.frames import Frame, Framer
from stdl_events.frames.framer import MAX_WINDOWS_AT_ONCE
from stdl_events.frames.selection import Selection
from stdl_events.live.clock_watch import ClockWatch
from stdl_events.live.frame_queue import FrameQueue
from stdl_events.live.protocols import ClockedSource, EventSink, StampedSource
from stdl_events.live.rate_limit import RateLimit


class Reader(threading.Thread):
    """Reads the source to its end, or until the queue is closed."""

    def __init__(
        self,
        source: EventSource,
        select: Selection,
        framer: Framer,
        queue: FrameQueue,
        listeners: Sequence[EventSink] = (),
        max_rate: float | None = None,
    ) -> None:
        super().__init__(name="stdl-events source", daemon=True)
        self.framer = framer
        self.select = select
        self.limit = RateLimit(max_rate)
        self.events = 0
        self.error: BaseException | None = None
        dt_us = framer.spec.dt_us
        self.clock = ClockWatch(
            dt_us and dt_us * framer.spec.steps,
            is_recording=isinstance(source, ReplaySource),
            most_us=MAX_WINDOWS_AT_ONCE * dt_us // 2 if dt_us else MAX_TIME_US,
        )
        self._source = source
        self._clocked = source if isinstance(source, ClockedSource) else None
        self._stamped = source if isinstance(source, StampedSource) else None
        self._queue = queue
        self._listeners = listeners

    def run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self.error = error
        finally:
            self._queue.close()

    def _read(self) -> None:
        for events in self._source.chunks():
            self.take(events)
            if self._queue.closed:
                return
        self.finish()

    def take(self, events: EventArray) -> None:
        """Cut a chunk of the source into frames, and put those that are complete into the queue."""
        arrived_s = time.monotonic() if self._stamped is None else self._stamped.arrived_s
        self.events += len(events)
        for listener in self._listeners:
            listener.received(events)
        for its in self.clock.sessions(self.limit(events)):
            if self.clock.ends_session(its):
                self._put(self._begin_again(), arrived_s)
            self._put(self.framer.push(self.select(its)), arrived_s)
        if self._clocked is not None:
            if self.clock.ends_session_at(self._clocked.t_now_us):
                self._put(self._begin_again(), arrived_s)
            self._put(self.framer.advance_to(self._clocked.t_now_us), arrived_s)

    def finish(self) -> None:
        """Put the last frame, at the end of the source."""
        self._put(self.framer.finish(), time.monotonic())

    def _put(self, frames: list[Frame], arrived_s: float) -> None:
        for frame in frames:
            self._queue.put(frame, arrived_s)

    def _begin_again(self) -> list[Frame]:
        """Return the last frame of the session; what follows begins another one."""
        self.select.restart()
        return self.framer.finish()
