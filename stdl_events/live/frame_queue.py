"""The bounded queue between the thread that reads the source and the one that runs the model."""

import math
import threading
from collections import deque
from typing import Literal

from stdl_events.frames import Frame

Overload = Literal["fresh", "complete"]


class FrameQueue:
    """Frames and their arrival times, in order, at most `capacity` of them.

    If the queue is full, "complete" blocks the reader, so that no frame is lost: right for files, wrong for cameras.
    "fresh" drops the oldest clip that the model has not begun. The clip in progress is completed, however slow the
    model; dropping single frames would leave no clip complete. Without clips (`by_clip=False`) the oldest frame is
    dropped.

    Attributes:
        dropped: number of frames dropped so far.
    """

    def __init__(self, capacity: int, overload: Overload, *, by_clip: bool = True) -> None:
        assert capacity > 0, "a queue has room"
        self.dropped = 0
        self._capacity = capacity
        self._overload = overload
        self._by_clip = by_clip
        self._frames: deque[tuple[Frame, float]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._clip_in_work: int | None = None
        self._clip_given_up: int | None = None
        self._last_index = -math.inf

    @property
    def closed(self) -> bool:
        """True once the consumer has stopped or the producer has finished."""
        return self._closed

    def put(self, frame: Frame, arrived_s: float) -> None:
        """Add `frame`; without effect once the queue is closed."""
        with self._changed:
            if self._overload == "complete":
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._capacity)
            elif len(self._frames) >= self._capacity:
                self._make_room()
            if self._closed:
                return
            if frame.index <= self._last_index:  # another session, which has clips of the same numbers
                self._clip_given_up = None
            self._last_index = frame.index
            if frame.clip == self._clip_given_up:
                self.dropped += 1
            else:
                self._frames.append((frame, arrived_s))
                self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as `get` would not wait, False after `timeout_s` without that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or bool(self._frames), timeout_s)

    def get(self) -> tuple[Frame, float] | None:
        """Return the oldest frame, waiting for one; None once the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._frames))
            if not self._frames:
                return None
            frame, arrived_s = self._frames.popleft()
            self._clip_in_work = frame.clip
            self._changed.notify_all()
            return frame, arrived_s

    def close(self, *, discard: bool = False) -> None:
        """End the frames; with `discard`, drop those in the queue too."""
        with self._changed:
            self._closed = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()

    def _make_room(self) -> None:
        if not self._by_clip:
            self._frames.popleft()
            self.dropped += 1
            return
        clips = [frame.clip for frame, _ in self._frames]
        victim = next((clip for clip in clips if clip != self._clip_in_work), clips[0])
        self._frames = deque(item for item in self._frames if item[0].clip != victim)
        self.dropped += len(clips) - len(self._frames)
        self._clip_given_up = victim
