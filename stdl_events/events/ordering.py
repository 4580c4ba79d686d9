"""Summary and sorting of a stream that may be out of order."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events.outliers import LargestValues
from stdl_events.events.stream import EVENT_DTYPE, MAX_TIME_US, EventArray, concatenate_events, empty_events
from stdl_events.events.takes import (
    BACK_US,
    FORWARD_US,
    MAX_RUNS,
    Part,
    Run,
    Take,
    divide,
    find_strays,
    join,
    longest_pause_us,
    parts_of,
    shifts_of,
    without,
)

MAX_HELD_EVENTS = 1 << 22


class Summary(NamedTuple):
    """Result of one pass over a recording.

    Attributes:
        events: number of events that are read; those skipped or left out are not counted.
        backward_steps: number of events older than their predecessor in the file.
        lateness_us: largest lag of an event behind the newest event before it in the file.
        inferred_size: the smallest (width, height) that holds all events.
        damage: reason of an early end, if `repair` was requested and needed.
        outside: number of events outside the sensor, which are skipped.
        strays: number of stray events, far from all others in time or at no possible time, which are left out.
        stray_from_us, stray_to_us: times of the first and last of them that have a possible time.
        impossible: number of the stray events that have none.
        takes: the parts between resets of the clock, with times as stored; one take without a reset.
        parts: the parts of the file's events that are read, with their shifts.
        longest_pause_us: longest time without an event within a take.
    """

    events: int
    on_events: int
    t_first_us: int | None
    t_last_us: int | None
    backward_steps: int
    lateness_us: int
    inferred_size: tuple[int, int] | None
    damage: str | None
    outside: int = 0
    strays: int = 0
    stray_from_us: int | None = None
    stray_to_us: int | None = None
    takes: tuple[Take, ...] = ()
    parts: tuple[Part, ...] = ()
    longest_pause_us: int = 0
    impossible: int = 0


class Extent(NamedTuple):
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
    x_max, y_max = (int(np.maximum.reduce(events[axis])) for axis in "xy")
    return Extent(x_max + 1, y_max + 1, t_us, t_min_us, t_max_us, back)


class SummaryMaker:
    """Accumulates a `Summary` block by block, in the order of the file.

    Args:
        is_checked: leaps of the clock are as they should be; nothing is a stray event or a take of its own.
        infers: the sensor size is not known; outliers are looked for.
    """

    def __init__(self, *, is_checked: bool = False, infers: bool = False) -> None:
        self.events = 0
        self.outside = 0
        self.impossible = 0
        self.first_outside = self.first_impossible = ""
        self.seen_size = (0, 0)  # of the blocks with events outside
        self.damage: str | None = None
        self._is_checked = is_checked
        self._runs: list[Run] = []
        self._width = 0
        self._height = 0
        self._largest = (LargestValues("x"), LargestValues("y")) if infers else None

    @property
    def _previous_us(self) -> int | None:
        return self._runs[-1].last_us if self._runs else None

    @property
    def seen(self) -> int:
        """Number of all events of the file so far."""
        return self.events + self.outside + self.impossible

    def first_backward_step(self, events: EventArray) -> int | None:
        """Return the index of the first of the next `events` that is older than its predecessor."""
        if not len(events):
            return None
        if self._previous_us is not None and events["t"][0] < self._previous_us:
            return 0
        back = np.flatnonzero(events["t"][1:] < events["t"][:-1])
        return int(back[0]) + 1 if len(back) else None

    def add(self, events: EventArray, extent: Extent, *, is_reset: bool = False) -> None:
        """Count the next `events` of the file, of extent `extent`; `is_reset`: the clock was reset before them."""
        if not len(events):
            return
        self._width, self._height = max(self._width, extent.width), max(self._height, extent.height)
        if self._largest is not None:
            self._largest[0].add(events, extent.width)
            self._largest[1].add(events, extent.height)
        previous_us = self._previous_us
        first_us = int(extent.t_us[0])
        leaps_first = is_reset or (previous_us is not None and _leaps(first_us - previous_us))
        if extent.t_max_us - extent.t_min_us <= FORWARD_US:
            self._add_run(_run_of(events, extent, self.events, is_reset), leaps_first)
            return
        steps_us = np.diff(extent.t_us)
        cuts = np.flatnonzero((steps_us > FORWARD_US) | (steps_us < -BACK_US)) + 1
        bounds = [0, *cuts.tolist(), len(events)]
        for start, stop in pairwise(bounds):
            piece = events[start:stop]
            whole = extent if len(piece) == len(events) else extent_of(piece)
            self._add_run(_run_of(piece, whole, self.events, is_reset and start == 0), leaps_first or start > 0)

    def _add_run(self, run: Run, leaps: bool) -> None:
        self.events += run.events
        if self._runs and (not leaps or self._is_checked or len(self._runs) >= MAX_RUNS):
            self._runs[-1] = self._runs[-1].joined(run)
        else:
            self._runs.append(run)

    def size_without_outliers(self) -> tuple[int, int] | None:
        """Return the (width, height) of all events but a few far outliers; None if there are no outliers."""
        if self._largest is None:
            return None
        width, height = (largest.bound(self.events) for largest in self._largest)
        if width is None and height is None:
            return None
        return width or self._width, height or self._height

    def finish(self, take: int | None, path: Path) -> Summary:
        """Return the summary of all added events, or of one take, counted from 1.

        Raises:
            RecordingError: the recording has no such take.
            CorruptRecordingError: its takes, one behind another, end too late.
        """
        divided, strays = self._divided()
        wholes = [join(each) for each in divided]
        listed = tuple([Take(each.events, each.min_us, each.max_us, each.is_reset) for each in wholes])
        if take is not None:
            if not 0 < take <= max(1, len(wholes)):
                raise RecordingError(
                    str(path), got=f"the take {take}", expected=f"1 to {max(1, len(wholes))}",
                    todo="choose one of those that `stdl-events info` lists",
                )  # fmt: skip
            divided, wholes = divided[take - 1 : take], wholes[take - 1 : take]
        shifts_us = shifts_of([(each.min_us, each.max_us) for each in wholes]) if wholes else []
        last_us = wholes[-1].max_us + shifts_us[-1] if wholes else None
        if last_us is not None and last_us > MAX_TIME_US:
            raise CorruptRecordingError(
                str(path), got=f"{len(wholes)} takes that, one behind another, end at {last_us} us",
                expected="times of fewer than 2^62 us", todo="read one alone with --take N (take=N)",
            )  # fmt: skip
        events = on_events = backward_steps = lateness_us = 0
        for each in wholes:  # mostly one, for which a loop is faster than several sums
            events += each.events
            on_events += each.on_events
            backward_steps += each.backward_steps
            lateness_us = max(lateness_us, each.lateness_us)
        return Summary(
            events=events,
            on_events=on_events,
            t_first_us=wholes[0].min_us if wholes else None,
            t_last_us=last_us,
            backward_steps=backward_steps,
            lateness_us=lateness_us,
            inferred_size=(self._width, self._height) if self.events else None,
            damage=self.damage,
            outside=self.outside,
            strays=sum(run.events for run in strays) + self.impossible,
            stray_from_us=min((run.min_us for run in strays), default=None),
            stray_to_us=max((run.max_us for run in strays), default=None),
            takes=listed,
            parts=parts_of(divided, shifts_us),
            longest_pause_us=max(map(longest_pause_us, divided), default=0) if len(self._runs) > 1 else 0,
            impossible=self.impossible,
        )

    def _divided(self) -> tuple[list[list[Run]], list[Run]]:
        """Return (the runs of each take, the runs of stray events)."""
        if len(self._runs) < 2:
            return [self._runs] if self._runs else [], []
        if self._is_checked or len(self._runs) >= MAX_RUNS:
            return [self._runs], []
        strays = find_strays(self._runs)
        return divide(without(self._runs, strays)), strays


def _leaps(step_us: int) -> bool:
    return step_us > FORWARD_US or step_us < -BACK_US


def _run_of(events: EventArray, extent: Extent, start: int, is_reset: bool) -> Run:
    """Return the run of the contiguous `events`, of which the first is event `start` of the file."""
    t_us, lateness_us = extent.t_us, 0
    if extent.backward_steps:
        lateness_us = int((np.maximum.accumulate(t_us) - t_us).max())
    return Run(
        start,
        len(events),
        int(np.count_nonzero(events["p"])),
        int(t_us[0]),
        int(t_us[-1]),
        extent.t_min_us,
        extent.t_max_us,
        extent.backward_steps,
        lateness_us,
        is_reset,
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
