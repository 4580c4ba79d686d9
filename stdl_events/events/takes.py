"""Takes of a recording and stray events, from its runs: stretches of events in which the clock does not leap.

A camera's clock may be reset while it records: the file then holds several *takes*, which must not be sorted into each
other. Left-over data of an earlier recording may lie minutes away from the rest: a few stray events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from stdl_events.events.stream import EventArray, concatenate_events, copied

# A step back of more than this is a reset, not disorder; a step forward of more than the second begins a new run.
BACK_US = 1_000_000
FORWARD_US = 500_000
# Takes are read one after another, with this time between them.
GAP_US = 1_000_000
# With more runs or takes the file is out of order as a whole.
MAX_RUNS = 1 << 16
_MAX_TAKES = 64
_LATE_FRACTION = 0.1
_SHUFFLED_FRACTION = 0.1
_ROTATED_US = 100_000
# Stray events are few, and far from the rest: by 10 s, or by 2 s and more than the rest lasts.
_MAX_STRAYS = 1000
_STRAY_FRACTION = 0.05
_APART_US = 2_000_000
_FAR_US = 10_000_000


class Run(NamedTuple):
    """Events in a row in the file, between two leaps of the clock.

    Attributes:
        start: index of the first event.
        first_us, last_us: times of the first and last event in the file's order.
        min_us, max_us: times of the oldest and newest event.
        backward_steps: number of events older than their predecessor in the run.
        lateness_us: largest lag of an event behind the newest before it in the run.
        is_reset: the file says that the clock was reset before the run.
    """

    start: int
    events: int
    on_events: int
    first_us: int
    last_us: int
    min_us: int
    max_us: int
    backward_steps: int
    lateness_us: int
    is_reset: bool = False

    @property
    def stop(self) -> int:
        """Index behind the last event."""
        return self.start + self.events

    def joined(self, other: "Run") -> "Run":
        """Return this run and `other`, which follows it in the file, as one."""
        return Run(
            self.start,
            self.events + other.events,
            self.on_events + other.on_events,
            self.first_us,
            other.last_us,
            min(self.min_us, other.min_us),
            max(self.max_us, other.max_us),
            self.backward_steps + other.backward_steps + int(other.first_us < self.last_us),
            max(self.lateness_us, other.lateness_us, self.max_us - other.min_us),
            self.is_reset,
        )


class Take(NamedTuple):
    """Events between two resets of the clock, with times as stored.

    `is_reset`: the file says that the clock was reset before it. Otherwise the clock leaps back.
    """

    events: int
    t_first_us: int
    t_last_us: int
    is_reset: bool


class Part(NamedTuple):
    """Events `start` to `stop` of the file, in its order, to whose times `shift_us` is added."""

    start: int
    stop: int
    shift_us: int


def are_few(events: int, of: int) -> bool:
    """True if so few of `of` events may be stray ones, which are left out."""
    return events <= min(_STRAY_FRACTION * of, _MAX_STRAYS)


def find_strays(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of a few stray events, far from all others in time; mostly none."""
    if len(runs) < 2:
        return []
    clusters: list[list[Run]] = []
    newest_us = 0
    for run in sorted(runs, key=lambda run: run.min_us):
        if clusters and run.min_us - newest_us < _APART_US:
            clusters[-1].append(run)
            newest_us = max(newest_us, run.max_us)
        else:
            clusters.append([run])
            newest_us = run.max_us
    if len(clusters) < 2:
        return []
    main = max(clusters, key=_count)
    others = [cluster for cluster in clusters if cluster is not main]
    if not are_few(sum(map(_count, others)), _count(runs)):
        return []
    first_us, last_us = min(run.min_us for run in main), max(run.max_us for run in main)
    least_us = min(_FAR_US, max(_APART_US, last_us - first_us))
    return [
        run for cluster in others for run in cluster if max(run.min_us - last_us, first_us - run.max_us) >= least_us
    ]


@dataclass
class _OpenTake:
    """A take while its runs are collected."""

    runs: list[Run]
    events: int
    newest_us: int

    @classmethod
    def of(cls, run: Run) -> "_OpenTake":
        return cls([run], run.events, run.max_us)

    def add(self, other: "_OpenTake") -> None:
        self.runs += other.runs
        self.events += other.events
        self.newest_us = max(self.newest_us, other.newest_us)


def divide(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of each take, in the order of the file.

    All are one take if the file is out of order as a whole.
    """
    if len(runs) < 2:
        return [list(runs)] if runs else []
    takes: list[_OpenTake] = []
    for run in runs:
        if takes and not run.is_reset:
            if len(takes) > 1 and _goes_on(takes[-2], takes[-1], run):
                takes[-2].add(takes.pop())
            if run.first_us >= takes[-1].newest_us - BACK_US:
                takes[-1].add(_OpenTake.of(run))
                continue
        takes.append(_OpenTake.of(run))
        if len(takes) > _MAX_TAKES:
            return [list(runs)]
    divided = [take.runs for take in takes]
    if any(take[0].is_reset for take in divided[1:]):
        return divided
    is_one = _are_polarities_apart(divided) or _is_rotated(takes) or _is_shuffled(runs)
    return [list(runs)] if is_one else divided


def _goes_on(take: _OpenTake, late: _OpenTake, run: Run) -> bool:
    """True if `run` continues `take`, so that the few events of `late` between them were late."""
    if late.runs[0].is_reset or late.events > _LATE_FRACTION * take.events:
        return False
    return take.newest_us - BACK_US <= run.first_us <= take.newest_us + _APART_US


def _is_rotated(takes: list[_OpenTake]) -> bool:
    """True for a file that begins in the middle and goes on with its beginning, as a player's looping export does."""
    if len(takes) != 2:
        return False
    return 0 <= min(run.min_us for run in takes[0].runs) - takes[1].newest_us <= _ROTATED_US


def _is_shuffled(runs: Sequence[Run]) -> bool:
    """True for a file that is out of order within its runs as well."""
    return sum(run.backward_steps for run in runs) > _SHUFFLED_FRACTION * _count(runs)


def _are_polarities_apart(takes: Sequence[Sequence[Run]]) -> bool:
    """True for a file that lists all ON events before all OFF events, or the reverse: one take, out of order."""
    counts = [(sum(run.on_events for run in take), _count(take)) for take in takes]
    is_apart = all(count > 1 and on_events in (0, count) for on_events, count in counts)
    return is_apart and {on_events > 0 for on_events, _ in counts} == {True, False}


def _count(runs: Sequence[Run]) -> int:
    return sum(run.events for run in runs)


def without(runs: Sequence[Run], dropped: Sequence[Run]) -> list[Run]:
    """Return `runs` without `dropped`; a reset before a dropped run is one before the next run that stays."""
    if not dropped:
        return list(runs)
    gone, kept, is_reset = {run.start for run in dropped}, [], False
    for run in runs:
        is_reset = is_reset or run.is_reset
        if run.start not in gone:
            kept.append(run._replace(is_reset=is_reset))
            is_reset = False
    return kept


def longest_pause_us(take: Sequence[Run]) -> int:
    """Return the longest time without an event between two runs of a take."""
    return max((after.first_us - before.last_us for before, after in pairwise(take)), default=0)


def join(take: Sequence[Run]) -> Run:
    """Return all runs of a take as one."""
    whole = take[0]
    for run in take[1:]:
        whole = whole.joined(run)
    return whole


def parts_of(takes: Sequence[Sequence[Run]], shifts_us: Sequence[int]) -> tuple[Part, ...]:
    """Return the parts of the file that are read, in its order, with neighbours joined."""
    parts: list[Part] = []
    for take, shift_us in zip(takes, shifts_us, strict=True):
        for run in take:
            if parts and (parts[-1].stop, parts[-1].shift_us) == (run.start, shift_us):
                parts[-1] = parts[-1]._replace(stop=run.stop)
            else:
                parts.append(Part(run.start, run.stop, shift_us))
    return tuple(parts)


def shifts_of(ends_us: Sequence[tuple[int, int]]) -> list[int]:
    """Return the times to add to each take, so that it begins `GAP_US` after the one before it.

    Args:
        ends_us: times of the first and last event of each take, at least one.
    """
    shifts = [0]
    for (_, last_us), (first_us, _) in pairwise(ends_us):
        shifts.append(last_us + shifts[-1] + GAP_US - first_us)
    return shifts


def events_of_parts(events: EventArray, parts: Sequence[Part], start: int = 0) -> EventArray:
    """Return those of `events`, of which the first is event `start` of the file, that are in `parts`, and shift them.

    They are the given array if that is all of it, unshifted.
    """
    stop = start + len(events)
    found = []
    for part in parts:
        low, high = max(start, part.start), min(stop, part.stop)
        if low < high:
            piece = events[low - start : high - start]
            if part.shift_us:
                piece = copied(piece)
                piece["t"] += part.shift_us
            found.append(piece)
    if len(found) == 1:
        return found[0]
    return concatenate_events(found)
