"""The bounded queue between the thread that reads the source and the one that runs the model."""

import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Literal, NamedTuple

from stdl_events.frames import Frame

Overload = Literal["fresh", "complete"]
# "fresh" promises a decision within so many windows of a window's end, and within no less than `LEAST_S`, since packets
# bring several short windows at once.
FRESH_WINDOWS, LEAST_S = 2, 0.04
# How long a step takes is the median of so many; some take a little longer.
_RECENT, _MARGIN = 9, 1.05


class Arrived(NamedTuple):
    """A frame, when the data that closed it arrived (`time.monotonic`), and how many frames were shed right before."""

    frame: Frame
    arrived_s: float
    shed: int = 0


class FrameQueue:
    """Frames in order, at most `capacity` of them.

    "complete": if the queue is full, the reader waits, so that no frame is lost. "fresh": a frame that would be decided
    more than `FRESH_WINDOWS` after its arrival is shed, the oldest first, unless the model would be in time again after
    all that wait. If the queue is full, the oldest frame is shed. The last frame of a clip, on which the clip is
    decided, is kept, unless that of a later clip waits too.

    Args:
        by_clip: clips are decided on their last frame.
        clock_s: for tests.

    Attributes:
        dropped: number of frames shed so far.
        dropped_events: number of events in them.
        unread_events: number of events in the frames that the end of the run left.
        waits: "complete" was chosen.
    """

    def __init__(
        self,
        capacity: int,
        overload: Overload,
        *,
        by_clip: bool = True,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        assert capacity > 0, "a queue has room"
        self.dropped = self.dropped_events = self.unread_events = 0
        self._capacity = capacity
        self.waits = overload == "complete"
        self._by_clip = by_clip
        self._clock_s = clock_s
        self._frames: deque[Arrived] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._shed_last: Arrived | None = None
        self._taken_s: float | None = None
        self._steps_s: deque[float] = deque(maxlen=_RECENT)

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    @property
    def closed(self) -> bool:
        """True once the consumer has stopped or the producer has finished."""
        return self._closed

    def put(self, frame: Frame, arrived_s: float) -> None:
        """Add `frame`; once the queue is closed, its events are counted alone."""
        with self._changed:
            if self.waits:
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._capacity)
            if self._closed:
                self.unread_events += frame.events
                return
            before, self._shed_last = self._shed_last, None
            self._frames.append(Arrived(frame, arrived_s, _carried(before, frame)))
            if len(self._frames) > self._capacity:
                self._shed(self._oldest())
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as `get` would not wait, False after `timeout_s` without that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or bool(self._frames), timeout_s)

    def get(self) -> Arrived | None:
        """Return the oldest frame, waiting for one; None once the queue is closed and empty."""
        with self._changed:
            self._end_step()
            step_s = _MARGIN * median(self._steps_s) if self._steps_s else 0.0
            while True:
                self._changed.wait_for(lambda: self._closed or bool(self._frames))
                if not self._frames:
                    return None
                if self.waits or self._is_fresh(step_s):
                    break
                self._shed(0)
            item = self._frames.popleft()
            self._taken_s = self._clock_s()
            if self.waits:
                self._changed.notify_all()
            return item

    def close(self, *, discard: bool = False) -> None:
        """End the frames; with `discard`, drop those in the queue too."""
        with self._changed:
            self._closed = True
            if discard:
                self.unread_events += sum(waiting.frame.events for waiting in self._frames)
                self._frames.clear()
            self._changed.notify_all()

    def _end_step(self) -> None:
        """Measure the time since the frame before was taken."""
        if self._taken_s is not None:
            self._steps_s.append(self._clock_s() - self._taken_s)
            self._taken_s = None

    def _is_fresh(self, step_s: float) -> bool:
        """Return False if the frame at the front is to be shed, since it would be decided too late."""
        frame, arrived_s, _ = self._frames[0]
        now_s, waiting = self._clock_s(), len(self._frames)
        window_s = (frame.t_end_us - frame.t_start_us) * 1e-6
        limit_s = max(FRESH_WINDOWS * window_s, LEAST_S)
        if now_s + step_s - arrived_s <= limit_s or self._oldest():
            return True
        if waiting == 1:  # the next window is worth waiting for if it can be in time
            return self._closed or not window_s < step_s <= limit_s
        return now_s + waiting * step_s - self._frames[-1].arrived_s <= limit_s

    def _oldest(self) -> int:
        """Return the position of the oldest frame that may be shed: 1, if the first one is to be kept."""
        if not self._by_clip:
            return 0
        lasts = [n for n, waiting in enumerate(self._frames) if waiting.frame.step == waiting.frame.steps - 1]
        return int(lasts == [0])

    def _shed(self, position: int) -> None:
        shed = self._frames[position]
        del self._frames[position]
        if position < len(self._frames):
            later = self._frames[position]
            self._frames[position] = later._replace(shed=later.shed + _carried(shed, later.frame))
        else:
            self._shed_last = shed
        self.dropped += 1
        self.dropped_events += shed.frame.events


def _carried(shed: Arrived | None, later: Frame) -> int:
    """Return how many frames of the session of `later` were shed with `shed`, which came right before."""
    return shed.shed + 1 if shed is not None and shed.frame.session == later.session else 0
