"""`Inbox`: the bounded queue between the thread that drains a connection and the one that decodes."""

import threading
import time
from collections import deque
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
# "fresh": what no longer fits is lost and counted; "complete": the sender waits, if the protocol can tell it to.
Overload = Literal["fresh", "complete"]


class Inbox(Generic[Item]):
    """Packets as they arrived, at most `limit_bytes` of them, or a single one.

    Attributes:
        dropped: number of packets that were dropped because the others were not taken in time, the oldest first.
        arrived_s: when each of the packets that were taken last was put, as of `time.monotonic`.
    """

    def __init__(self, limit_bytes: int, overload: Overload) -> None:
        self.dropped = 0
        self.arrived_s: list[float] = []
        self._limit_bytes = limit_bytes
        self._waits = overload == "complete"
        self._items: deque[tuple[Item, int, float]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    @property
    def closed(self) -> bool:
        """True once either side has ended."""
        return self._closed

    def put(self, item: Item, size: int) -> None:
        """Add a packet of `size` bytes; without effect once the inbox is closed."""
        with self._changed:
            if self._waits:
                self._changed.wait_for(lambda: self._closed or self._fits(size))
            while not self._fits(size):
                self._bytes -= self._items.popleft()[1]
                self.dropped += 1
            if self._closed:
                return
            self._items.append((item, size, time.monotonic()))
            self._bytes += size
            self._changed.notify_all()

    def take(self, patience_s: float) -> list[Item] | None:
        """Return all packets, oldest first; none after `patience_s` without one. None is the end.

        Raises:
            BaseException: the error that `close` got, after all packets before it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items), patience_s)
            items = [item for item, _, _ in self._items]
            self.arrived_s = [arrived_s for _, _, arrived_s in self._items]
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()
            if items or not self._closed:
                return items
            if self._error is not None:
                raise self._error
            return None

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as the inbox is closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def close(self, error: BaseException | None = None) -> None:
        """End the packets, with `error` if they end because of one."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._items or self._bytes + size <= self._limit_bytes
