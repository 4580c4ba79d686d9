"""`ReceivedSource`: events that arrive from outside, whatever the protocol.

A thread of its own drains the connection into a bounded `Inbox`, so that neither framing nor the model slows the sender
down. The thread that asks for chunks decodes, puts events in order and counts what is lost.
"""

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from stdl_events.events.ordering import Extent, extent_of, sorted_by_time
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.stream import MAX_TIME_US, EventArray, RecordingWarning, empty_events
from stdl_events.events.takes import BACK_US

# What waits longer than a late window is recognised for nothing: 10 ms of 50 million events a second.
INBOX_BYTES = 8 << 20
# Longest time without a chunk.
TICK_S = 0.01
# Where nothing arrives, the clock goes on by the wall's, as far behind as packets were late, often by their own length.
# At first this is not known; it is forgotten by half in each `HALF_S`.
LEAST_LAG_US, MOST_LAG_US = 100_000, 1_000_000
HALF_S = 5.0
_MARGIN = 1.25
# Packets that arrived within so long are decoded together, as if all had arrived with the first.
_TOGETHER_S = 0.001

Packet = TypeVar("Packet")


class Receiver(Protocol[Packet]):
    """A protocol: how its packets arrive, and the events in them.

    Attributes:
        counts: of losses, by what was lost.
    """

    @property
    def counts(self) -> Mapping[str, int]: ...

    def receive(self, inbox: Inbox[Packet]) -> None:
        """Put packets into `inbox` until the source ends or the inbox is closed; runs in a thread of its own.

        Raises:
            SourceLostError: the source died and stays away.
        """
        ...

    def decode(self, packets: Sequence[Packet]) -> Iterable[EventArray]:
        """Return the events of packets, in the order of arrival, not yet checked; damage is counted and skipped."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class ReceivedSource(Generic[Packet]):
    """A `ClockedSource` of packets that arrive while others are decoded.

    Chunks are ordered within themselves. An event that is older than the chunk before stays, for the frame maker to
    count as late; a step back of the clock by more than a second begins another chunk.

    Args:
        name: for errors and warnings, such as the address.
        sensor_size: (width, height); events outside are counted as `outside_events`.
        overload: "fresh" for the present: packets that are not decoded in time are dropped and counted, the oldest
            first, and in silence the clock goes on. "complete" for all events: the sender waits, and only events move
            the clock.

    Raises:
        SourceLostError: from `chunks`, see `Receiver.receive`.
    """

    def __init__(
        self,
        name: str,
        sensor_size: tuple[int, int],
        receiver: Receiver[Packet],
        *,
        overload: Overload = "fresh",
        inbox_bytes: int = INBOX_BYTES,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.overload = name, overload
        self._sensor_size = sensor_size
        self._receiver = receiver
        self._inbox: Inbox[Packet] = Inbox(inbox_bytes, overload)
        self._clock_s = clock_s
        self._counts: Counter[str] = Counter()
        self._newest_us, self._newest_s, self._now_us = 0, clock_s(), 0
        self._lag_us, self._seen = float(MOST_LAG_US), False
        self._arrived_s = time.monotonic()

    @property
    def sensor_size(self) -> tuple[int, int]:
        return self._sensor_size

    @property
    def t_now_us(self) -> int:
        """The source's clock: events before this time have been yielded, or are late."""
        return self._now_us

    @property
    def arrived_s(self) -> float:
        """When the packets of the chunk that was yielded last arrived, however long they then waited."""
        return self._arrived_s

    @property
    def counts(self) -> Mapping[str, int]:
        """What was lost so far, by name; nothing is left out, and a name without loss is."""
        found = {**self._counts, **self._receiver.counts, "dropped_packets": self._inbox.dropped}
        return {name: count for name, count in found.items() if count}

    def chunks(self) -> Iterator[EventArray]:
        """Yield events as they arrive, and an empty chunk at the latest after `TICK_S`."""
        thread = threading.Thread(target=self._receive, name="stdl-events receiver", daemon=True)
        thread.start()
        try:
            while (packets := self._inbox.take(TICK_S)) is not None:
                for together, arrived_s in _batches(packets, self._inbox.arrived_s):
                    self._arrived_s = arrived_s
                    for events in self._receiver.decode(together):
                        for part in self._parts(events):
                            self._advance(int(part["t"][0]), int(part["t"][-1]))
                            yield part
                self._arrived_s = time.monotonic()
                self._tick()
                yield empty_events()
        finally:
            self._inbox.close()
            self._receiver.close()
            thread.join(1.0)

    def _receive(self) -> None:
        try:
            self._receiver.receive(self._inbox)
        except BaseException as error:
            self._inbox.close(error)
        finally:
            self._inbox.close()

    def _advance(self, first_us: int, last_us: int) -> None:
        """Set the clock by events, and learn how late they are against the wall's."""
        now_s = self._clock_s()
        silent_s = now_s - self._newest_s
        if self._seen:
            late_us = self._newest_us + silent_s * 1e6 - first_us
            lag_us = max(LEAST_LAG_US, self._lag_us * 0.5 ** (silent_s / HALF_S), _MARGIN * late_us)
            self._lag_us = min(lag_us, MOST_LAG_US)
        self._newest_us = self._now_us = last_us
        self._newest_s, self._seen = now_s, True

    def _tick(self) -> None:
        silent_us = (self._clock_s() - self._newest_s) * 1e6 - self._lag_us
        if self._seen and self.overload == "fresh" and silent_us > 0:
            self._now_us = self._newest_us + int(silent_us)

    def _parts(self, events: EventArray) -> Iterator[EventArray]:
        """Yield the possible events in order, see `in_order`; count the others."""
        extent = extent_of(events)
        if extent.t_min_us < -MAX_TIME_US or extent.t_max_us > MAX_TIME_US:
            events = self._possible(events, extent)
            extent = extent_of(events)
        width, height = self._sensor_size
        if extent.width > width or extent.height > height:
            events = self._inside(events)
            extent = extent_of(events)
        return in_order(events, extent)

    def _inside(self, events: EventArray) -> EventArray:
        """Return the events on the sensor; count the others, of which there are some."""
        width, height = self._sensor_size
        inside = (events["x"] < width) & (events["y"] < height)
        if not self._counts["outside_events"]:
            say(self.name, f"events outside the {width}x{height} sensor are skipped")
        self._counts["outside_events"] += len(events) - int(np.count_nonzero(inside))
        return events[inside]

    def _possible(self, events: EventArray, extent: Extent) -> EventArray:
        """Return the events whose times can be computed with; count the others, of which there are some."""
        t_us = extent.t_us
        possible = (t_us >= -MAX_TIME_US) & (t_us <= MAX_TIME_US)
        if not self._counts["impossible_times"]:
            say(self.name, f"events at times such as {t_us[~possible][0]} us are skipped")
        self._counts["impossible_times"] += len(events) - int(np.count_nonzero(possible))
        return events[possible]


def _batches(packets: Sequence[Packet], arrived_s: Sequence[float]) -> Iterator[tuple[Sequence[Packet], float]]:
    """Yield packets that arrived about together, with the arrival of the first of them."""
    first = 0
    for position, at_s in enumerate(arrived_s):
        if at_s - arrived_s[first] > _TOGETHER_S:
            yield packets[first:position], arrived_s[first]
            first = position
    if packets:
        yield packets[first:], arrived_s[first]


def in_order(events: EventArray, extent: Extent) -> Iterator[EventArray]:
    """Yield `events` in parts, each sorted by time; a step back of more than a second begins another part."""
    if not len(events):
        return
    if not extent.backward_steps:
        yield events
        return
    for part in np.split(events, np.flatnonzero(np.diff(extent.t_us) < -BACK_US) + 1):
        yield sorted_by_time(part)


def say(name: str, text: str) -> None:
    """Warn about a source."""
    warnings.warn(f"{name}: {text}", RecordingWarning, stacklevel=2)
