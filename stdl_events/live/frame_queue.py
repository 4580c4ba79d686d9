"""The bounded queue between the thread that reads the source and the one that runs the model."""

import threading
from collections import deque
from typing import Literal, TypeAlias

from stdl_events.frames import Frame

Overload = Literal["fresh", "complete"]
# (session, number of the clip in it)
Clip: TypeAlias = tuple[int, int]


class FrameQueue:
    """Frames and their arrival times, in order, at most `capacity` of them.

    If the queue is full, "complete" blocks the reader, so that no frame is lost: right for files, wrong for cameras.
    "fresh" drops the oldest clip that the model has not begun. The clip in progress is completed, however slow the
    model; dropping single frames would leave no clip complete. Without clips (`by_clip=False`) the oldest frame is
    dropped.

    Attributes:
        dropped: number of frames dropped so far.
        dropped_events: number of events in them.
        unread_events: number of events in the frames that the end of the run left.
    """

    def __init__(self, capacity: int, overload: Overload, *, by_clip: bool = True) -> None:
        assert capacity > 0, "a queue has room"
        self.dropped = self.dropped_events = self.unread_events = 0
        self._capacity = capacity
        self._overload = overload
        self._by_clip = by_clip
        self._frames: deque[tuple[Frame, float]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._clip_in_work: Clip | None = None
        self._clip_given_up: Clip | None = None

    @property
    def closed(self) -> bool:
        """True once the consumer has stopped or the producer has finished."""
        return self._closed

    def put(self, frame: Frame, arrived_s: float) -> None:
        """Add `frame`; once the queue is closed, its events are counted alone."""
        with self._changed:
            if self._overload == "complete":
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._capacity)
            elif not self._closed and len(self._frames) >= self._capacity:
                self._make_room()
            if self._closed:
                self.unread_events += frame.events
            elif _clip(frame) == self._clip_given_up:
                self._drop(frame)
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
            self._clip_in_work = _clip(frame)
            self._changed.notify_all()
            return frame, arrived_s

    def close(self, *, discard: bool = False) -> None:
        """End the frames; with `discard`, drop those in the queue too."""
        with self._changed:
            self._closed = True
            if discard:
                self.unread_events += sum(frame.events for frame, _ in self._frames)
                self._frames.clear()
            self._changed.notify_all()

    def _make_room(self) -> None:
        if not self._by_clip:
            self._drop(self._frames.popleft()[0])
            return
        clips = [_clip(frame) for frame, _ in self._frames]
        victim = next((clip for clip in clips if clip != self._clip_in_work), clips[0])
        kept, before = deque[tuple[Frame, float]](), self._frames
        for item in before:
            if _clip(item[0]) == victim:
                self._drop(item[0])
            else:
                kept.append(item)
        self._frames, self._clip_given_up = kept, victim

    def _drop(self, frame: Frame) -> None:
        self.dropped += 1
        self.dropped_events += frame.events


def _clip(frame: Frame) -> Clip:
    return frame.session, frame.clip
