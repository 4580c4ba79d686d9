"""Holding out whole groups of entries: all parts of a recording, all recordings of a subject or of a session."""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.recordings.entry import Entry, RecordingSet, Split

_DRAWS = 100


def choose_groups(labels_of: Mapping[str, Collection[int]], held_out: float, seed: int) -> set[str]:
    """Draw groups to hold out: of each class a share of its groups, so that the class stays on both sides.

    Of a hundred draws the one is taken that leaves the fewest classes on one side only, then the one nearest to the
    share of all groups.

    Args:
        labels_of: the classes of each group.
        held_out: share of the groups; at least one is held out, and at least one is not.
    """
    names = sorted(labels_of)
    labels = set().union(*labels_of.values())
    wanted = _count(held_out, len(names))
    rng = np.random.default_rng(seed)
    best: tuple[int, int] | None = None
    chosen: set[str] = set()
    for _ in range(_DRAWS):
        drawn = _draw([names[index] for index in rng.permutation(len(names))], labels_of, held_out)
        sides = [set().union(*(labels_of[name] for name in names if (name in drawn) == side)) for side in (True, False)]
        score = sum(len(labels - side) for side in sides), abs(len(drawn) - wanted)
        if best is None or score < best:
            best, chosen = score, drawn
        if best == (0, 0):
            break
    return chosen


def hold_out(
    recordings: RecordingSet, groups: Mapping[str, Sequence[Entry]], chosen: Collection[str], rule: str,
    apart: tuple[str, ...] = (),
) -> Split:  # fmt: skip
    """Return the split with the groups `chosen` held out; a class that one side then lacks is a warning."""
    of_chosen = {entry.key for name in chosen for entry in groups[name]}
    sides = {
        TO_TRAIN: [entry for entry in recordings.entries if entry.key not in of_chosen],
        HELD_OUT: [entry for entry in recordings.entries if entry.key in of_chosen],
    }
    labels = {entry.label for entry in recordings.entries}
    for side, entries in sides.items():
        absent = sorted(labels - {entry.label for entry in entries})
        if absent:
            names = ", ".join(recordings.classes[label] for label in absent)
            warnings.warn(f"split {rule}: no recordings {side} of {names}", RecordingWarning, stacklevel=4)
    train, test = (recordings.with_entries(entries) for entries in sides.values())
    return Split(train, test, rule, apart=apart)


def labels_of(groups: Mapping[str, Sequence[Entry]]) -> dict[str, set[int]]:
    """Return the classes of each group."""
    return {name: {entry.label for entry in entries} for name, entries in groups.items()}


def _draw(order: Sequence[str], labels_of: Mapping[str, Collection[int]], held_out: float) -> set[str]:
    """Hold out a share of each class's groups in the given order; the last group of a class stays."""
    sizes = Counter(label for name in order for label in labels_of[name])
    held: Counter[int] = Counter()
    chosen: set[str] = set()
    for label in sorted(sizes, key=lambda label: (sizes[label], label)):
        wanted = _count(held_out, sizes[label])
        for name in order:
            if held[label] >= wanted:
                break
            its = labels_of[name]
            if name not in chosen and label in its and all(held[one] < sizes[one] - 1 for one in its):
                chosen.add(name)
                held.update(its)
    return chosen or {order[0]}


def _count(held_out: float, size: int) -> int:
    return min(size - 1, max(1, round(held_out * size)))
