"""Splitting recordings that are labelled in parts, by time."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from stdl_events.errors import SplitError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet


def of_each_recording(recordings: RecordingSet) -> dict[str, list[Entry]]:
    """Return the entries of each recording: a whole one, by its key, or the parts or takes of a file, by its path."""
    in_parts = {entry.path for entry in recordings.entries if entry.span != WHOLE or entry.take is not None}
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in recordings.entries:
        found[str(entry.path) if entry.path in in_parts else entry.key].append(entry)
    return dict(found)


def one_recording_each(recordings: RecordingSet) -> bool:
    """True if no class has parts of several recordings."""
    classes = [{entry.label for entry in parts} for parts in of_each_recording(recordings).values()]
    return sum(map(len, classes)) == len({entry.label for entry in recordings.entries})


def require_before(entry: Entry, before_us: int, gap_us: int, whole_us: int) -> None:
    """Check that the time before the held-out part of an entry of `whole_us` is longer than the gap.

    Raises:
        SplitError: it is not.
    """
    if before_us <= gap_us:
        raise SplitError(
            f"split by time, {entry.key}", got=f"{before_us} us before the held-out part, of {whole_us} us in all",
            expected=f"more than the gap of {gap_us} us", todo="hold less out, or use shorter clips",
        )  # fmt: skip


def split_parts(parts: Sequence[Entry], held_out: float, gap_us: int) -> tuple[list[Entry], list[Entry]]:
    """Return (to train, held out) of the labelled parts of one recording.

    Held out is the last share of each class's parts, at least one; of a class with one part, the last share of its
    time.
    Parts to train on that are less than `gap_us` from a held-out one are shortened, or left out with a warning.

    Raises:
        SplitError: a part that must be divided is too short for the gap.
    """
    classes: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in sorted(parts, key=lambda entry: entry.times_us()):
        classes[entry.label].append(entry)
    trained: list[Entry] = []
    tested: list[Entry] = []
    for pool in classes.values():
        if len(pool) == 1:
            (entry,) = pool
            start_us, stop_us = entry.times_us()
            border_us = stop_us - round(held_out * (stop_us - start_us))
            whole_us = stop_us - start_us
            require_before(entry, border_us - start_us, gap_us, whole_us)
            entry = replace(entry, divided_us=whole_us)
            trained.append(replace(entry, key=f"{entry.key}:train", span=(start_us, border_us - gap_us)))
            tested.append(replace(entry, key=f"{entry.key}:test", span=(border_us, stop_us)))
        else:
            count = min(len(pool) - 1, max(1, round(held_out * len(pool))))
            trained += pool[:-count]
            tested += pool[-count:]
    kept = [entry for entry in (_apart(entry, tested, gap_us) for entry in trained) if entry is not None]
    if len(kept) < len(trained):
        dropped = sorted({entry.key for entry in trained} - {entry.key for entry in kept})
        text = f"{len(dropped)} parts to train on are left out, within {gap_us / 1000:g} ms of held-out ones: "
        warnings.warn(text + ", ".join(dropped[:5]), RecordingWarning, stacklevel=3)
    return kept, tested


def _apart(entry: Entry, tested: Sequence[Entry], gap_us: int) -> Entry | None:
    """Return the part of `entry` that is `gap_us` from all held-out parts; None if nothing is left."""
    start_us, stop_us = entry.times_us()
    for other in tested:
        first_us, last_us = other.times_us()
        if first_us - gap_us >= stop_us or last_us + gap_us <= start_us:
            continue
        if start_us < first_us:
            stop_us = first_us - gap_us
        else:
            start_us = last_us + gap_us
        if start_us >= stop_us:
            return None
    return entry if (start_us, stop_us) == entry.times_us() else replace(entry, span=(start_us, stop_us))
