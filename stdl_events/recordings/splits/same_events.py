"""The leak check by events: one recording under two names, converted or with another header.

Recordings are compared by what reading them for their clips has counted. Only those with equal counts on both sides are
read once more, and compared by a digest of their events.
"""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations

from stdl_events.errors import RecordingError, SplitError
from stdl_events.events.defects import count_of
from stdl_events.events.stream import EventArray, RecordingWarning
from stdl_events.recordings.counted import Counted
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet, Split
from stdl_events.recordings.splits.sides import COUNTED, Side


def check_same_events(split: Split) -> None:
    """Check that no two recordings on two sides have the same events, whatever their files.

    Parts of such recordings may be on two sides if they are far enough apart, as those of one file. Recordings that
    have not been counted are not compared. On one side the same events under two labels are a warning.

    Raises:
        SplitError: two recordings do; the message names both files.
    """
    digest = cache(_digest_and_start)
    unread: list[str] = []
    for sides in combinations(split.sides, 2):
        for ours, theirs in _of_equal_counts(*(split.sides[side].entries for side in sides)):
            (our_digest, our_start_us), (their_digest, their_start_us) = map(digest, map(_whole, (ours, theirs)))
            if our_digest is None or their_digest is None:
                unread.append(f"{ours.path} and {theirs.path}")
            elif our_digest == their_digest:
                _check_parts(split, sides, (ours, theirs), their_start_us - our_start_us)
    for recordings in split.sides.values():
        _warn_of_two_labels(recordings, digest)
    if unread:
        where = "on both sides" if len(split.sides) == 2 else "on two sides"
        text = f"pairs of recordings {where} have equal counts of events, and cannot be read to compare them, such as"
        warnings.warn(f"{len(unread)} {text} {unread[0]}", RecordingWarning, stacklevel=3)


def _of_equal_counts(some: tuple[Entry, ...], others: tuple[Entry, ...]) -> Iterator[tuple[Entry, Entry]]:
    """Yield the pairs of different recordings that may have the same events."""
    by_counts: defaultdict[Counted, list[Entry]] = defaultdict(list)
    for entry in some:
        if entry.counted is not None and entry.counted.events:
            by_counts[entry.counted].append(entry)
    for theirs in others:
        for ours in by_counts.get(theirs.counted, ()) if theirs.counted is not None else ():
            if ours.recording != theirs.recording:
                yield ours, theirs


def _warn_of_two_labels(recordings: RecordingSet, digest: Callable[[Entry], tuple[str | None, int]]) -> None:
    found = []
    for one, other in _of_equal_counts(recordings.entries, recordings.entries):
        if one.label < other.label:  # each pair comes twice
            (a_digest, a_start_us), (b_digest, b_start_us) = map(digest, map(_whole, (one, other)))
            if a_digest is not None and a_digest == b_digest and _between_us(one, other, b_start_us - a_start_us) < 0:
                found.append((one, other))
    if found:
        names = ", ".join(f"{entry.path} ({recordings.classes[entry.label]})" for entry in found[0])
        text = f"{count_of(len(found), 'pair')} of recordings have the same events and two labels, such as {names}"
        warnings.warn(f"{text}: remove the wrong ones", RecordingWarning, stacklevel=4)


def _whole(entry: Entry) -> Entry:
    """Return the entry of the whole recording: entries of one file differ in what opening ignores."""
    return replace(entry, key="", label=0, span=WHOLE, group=None)


def _between_us(ours: Entry, theirs: Entry, later_us: int) -> int:
    """Return the time between parts of two recordings of the same events; negative if they overlap."""
    if WHOLE in (ours.span, theirs.span):
        return -1
    a0_us, a1_us = ours.times_us()
    b0_us, b1_us = theirs.times_us()
    return max(b0_us - later_us - a1_us, a0_us - (b1_us - later_us))


def _check_parts(split: Split, sides: tuple[Side, Side], pair: tuple[Entry, Entry], later_us: int) -> None:
    """Check the parts of two recordings of the same events, whose clocks differ by `later_us`."""
    (ours, theirs), (our_side, their_side) = pair, sides
    if _between_us(ours, theirs, later_us) < split.rule_between(our_side, their_side).gap_us:
        names = (ours.key, theirs.key) if ours.path == theirs.path else (ours.path, theirs.path)
        raise SplitError(
            f"split {split.text}",
            got=f"the same events in {names[0]} ({COUNTED[our_side]}) and {names[1]} ({COUNTED[their_side]})",
            expected="each recording on one side", todo="remove one of the two files",
        )  # fmt: skip


def _digest_and_start(entry: Entry) -> tuple[str | None, int]:
    """Return (SHA-256 of all events in order, with times since the first; time of the first); (None, 0) if unread."""
    digest = hashlib.sha256()
    try:
        recording = entry.open()
        start_us = recording.t_first_us or 0
        for events in recording.chunks():
            digest.update(_since(events, start_us).data)
    except RecordingError:
        return None, 0
    return digest.hexdigest(), start_us


def _since(events: EventArray, start_us: int) -> EventArray:
    moved = events.copy()
    moved["t"] -= start_us
    return moved
