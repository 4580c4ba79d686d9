"""The thread that reads a live run's source and cuts its events into frames."""

import threading
import time
from collections.abc import Sequence

from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import EventSource
from stdl_events.frames import Frame, Framer
from stdl_events.frames.selection import Selection
from stdl_events.live.clock_watch import ClockWatch
from stdl_events.live.frame_queue import FrameQueue
from stdl_events.live.protocols import ClockedSource, EventSink


class Reader(threading.Thread):
    """Reads the source to its end, or until the queue is closed."""

    def __init__(
        self,
        source: EventSource,
        select: Selection,
        framer: Framer,
        queue: FrameQueue,
        listeners: Sequence[EventSink] = (),
    ) -> None:
        super().__init__(name="stdl-events source", daemon=True)
        self.framer = framer
        self.select = select
        self.events = 0
        self.error: BaseException | None = None
        clip_us = framer.spec.dt_us and framer.spec.dt_us * framer.spec.steps
        self.clock = ClockWatch(clip_us, is_recording=isinstance(source, ReplaySource))
        self._source = source
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
        clocked = self._source if isinstance(self._source, ClockedSource) else None
        for events in self._source.chunks():
            arrived_s = time.monotonic()
            self.events += len(events)
            for listener in self._listeners:
                listener.received(events)
            frames: list[Frame] = []
            for its in self.clock.sessions(events):
                frames += self._begin_again() if self.clock.ends_session(its) else []
                frames += self.framer.push(self.select(its))
            if clocked:
                frames += self._begin_again() if self.clock.ends_session_at(clocked.t_now_us) else []
                frames += self.framer.advance_to(clocked.t_now_us)
            for frame in frames:
                self._queue.put(frame, arrived_s)
            if self._queue.closed:
                return
        for frame in self.framer.finish():
            self._queue.put(frame, time.monotonic())

    def _begin_again(self) -> list[Frame]:
        """Return the last frame of the session; what follows begins another one."""
        self.select.restart()
        return self.framer.finish()
