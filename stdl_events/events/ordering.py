"""Summary and sorting of a stream that may be out of order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError
from stdl_events.events.stream import EVENT_DTYPE, EventArray, concatenate_events, empty_events

MAX_HELD_EVENTS = 1 << 22


@dataclass(frozen=True)
class Summary:
    """Result of one pass over a recording.

    Attributes:
        backward_steps: number of events older than their predecessor in the file.
        lateness_us: largest lag of an event behind the newest event before it in the file.
        inferred_size: the smallest (width, height) that holds all events.
        damage: reason of an early end, if `repair` was requested and needed.
    """

    events: int
    on_events: int
    t_first_us: int | None
    t_last_us: int | None
    backward_steps: int
    lateness_us: int
    inferred_size: tuple[int, int] | None
    damage: str | None


@dataclass(frozen=True)
class Extent:
    """Extent of a block of events: the smallest sensor that holds it, and its times.

    Attributes:
        backward_steps: number of events older than their predecessor in the block.
    """

    width: int
    height: int
    t_us: npt.NDArray[np.int64]
    t_min_us: int
    t_max_us: int
    backward_steps: int


def extent_of(events: EventArray) -> Extent:
    """Return the extent of one block; all 0 without events."""
    t_us = np.ascontiguousarray(events["t"])
    if not len(events):
        return Extent(0, 0, t_us, 0, 0, 0)
    back = int(np.count_nonzero(t_us[1:] < t_us[:-1]))
    t_min_us, t_max_us = (int(t_us.min()), int(t_us.max())) if back else (int(t_us[0]), int(t_us[-1]))
    return Extent(int(events["x"].max()) + 1, int(events["y"].max()) + 1, t_us, t_min_us, t_max_us, back)


class SummaryMaker:
    """Accumulates a `Summary` block by block, in the order of the file."""

    def __init__(self) -> None:
        self.events = 0
        self.damage: str | None = None
        self._on_events = 0
        self._t_min_us: int | None = None
        self._t_max_us: int | None = None
        self._t_previous_us: int | None = None
        self._backward_steps = 0
        self._lateness_us = 0
        self._width = 0
        self._height = 0

    def first_backward_step(self, events: EventArray) -> int | None:
        """Return the index of the first of the next `events` that is older than its predecessor."""
        if not len(events):
            return None
        if self._t_previous_us is not None and events["t"][0] < self._t_previous_us:
            return 0
        back = np.flatnonzero(events["t"][1:] < events["t"][:-1])
        return int(back[0]) + 1 if len(back) else None

    def add(self, events: EventArray, extent: Extent) -> None:
        """Count the next `events` of the file, of extent `extent`."""
        if not len(events):
            return
        t_us, back = extent.t_us, extent.backward_steps
        if self._t_previous_us is not None and self._t_max_us is not None:
            back += int(t_us[0] < self._t_previous_us)
        if back or (self._t_max_us is not None and t_us[0] < self._t_max_us):
            newest_us = np.maximum.accumulate(t_us)
            if self._t_max_us is not None:
                newest_us = np.maximum(newest_us, self._t_max_us)
            self._lateness_us = max(self._lateness_us, int((newest_us - t_us).max()))
        self._backward_steps += back
        self._t_previous_us = int(t_us[-1])
        self._t_min_us = extent.t_min_us if self._t_min_us is None else min(self._t_min_us, extent.t_min_us)
        self._t_max_us = extent.t_max_us if self._t_max_us is None else max(self._t_max_us, extent.t_max_us)
        self.events += len(events)
        self._on_events += int(np.count_nonzero(events["p"]))
        self._width, self._height = max(self._width, extent.width), max(self._height, extent.height)

    def finish(self) -> Summary:
        """Return the summary of all added events."""
        return Summary(
            events=self.events,
            on_events=self._on_events,
            t_first_us=self._t_min_us,
            t_last_us=self._t_max_us,
            backward_steps=self._backward_steps,
            lateness_us=self._lateness_us,
            inferred_size=(self._width, self._height) if self.events else None,
            damage=self.damage,
        )


def sorted_by_time(events: EventArray) -> EventArray:
    """Return a copy of `events` in order of time; equal times keep their order."""
    order = np.argsort(events["t"], kind="stable")
    # As opaque bytes: numpy takes structured elements field by field, six times as slow.
    return events.view(f"V{EVENT_DTYPE.itemsize}")[order].view(EVENT_DTYPE)


def in_order(blocks: Iterator[EventArray], lateness_us: int, path: Path) -> Iterator[EventArray]:
    """Yield the events of `blocks` sorted by time, stably; no event is later than `lateness_us`, measured before.

    Raises:
        CorruptRecordingError: sorting would have to hold back more than `MAX_HELD_EVENTS` events.
    """
    if lateness_us == 0:
        yield from blocks
        return
    held = empty_events()
    for block in blocks:
        waiting = concatenate_events([held, block])
        waiting = sorted_by_time(waiting)
        if not len(waiting):
            continue
        # Every later event is at least this new, and events of equal time keep the file's order.
        settled_us = waiting["t"][-1] - lateness_us
        ready = int(np.searchsorted(waiting["t"], settled_us, side="right"))
        yield waiting[:ready]
        held = waiting[ready:]
        if len(held) > MAX_HELD_EVENTS:
            raise CorruptRecordingError(
                str(path),
                got=f"events up to {lateness_us} us late",
                expected=f"at most {MAX_HELD_EVENTS} events to be held back to sort them in a stream",
                todo="read it whole with read(), or stop at the first backward step with --strict --repair",
            )
    yield held
