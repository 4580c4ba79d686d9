"""The leak check by events: one recording under two names, converted or with another header.

Recordings are compared by what reading them for their clips has counted. Only those with equal counts on both sides are
read once more, and compared by a digest of their events.
"""

import hashlib
import warnings
from collections import defaultdict
from dataclasses import replace
from functools import cache

from stdl_events.errors import RecordingError, SplitError
from stdl_events.events.stream import EventArray, RecordingWarning
from stdl_events.recordings.counted import Counted
from stdl_events.recordings.entry import WHOLE, Entry, Split


def check_same_events(split: Split) -> None:
    """Check that no two recordings on both sides have the same events, whatever their files.

    Parts of such recordings may be on both sides if they are `gap_us` apart, as those of one file. Recordings that have
    not been counted are not compared.

    Raises:
        SplitError: two recordings do; the message names both files.
    """
    trained: defaultdict[Counted, list[Entry]] = defaultdict(list)
    for entry in split.train.entries:
        if entry.counted is not None and entry.counted.events:
            trained[entry.counted].append(entry)

    # Entries of one file differ in their span alone, which opening ignores.
    digest = cache(_digest_and_start)
    unread: list[str] = []
    for theirs in split.test.entries:
        for ours in trained.get(theirs.counted, ()) if theirs.counted is not None else ():
            if ours.recording == theirs.recording:
                continue
            pair = [digest(replace(entry, key="", label=0, span=WHOLE, group=None)) for entry in (ours, theirs)]
            (our_digest, our_start_us), (their_digest, their_start_us) = pair
            if our_digest is None or their_digest is None:
                unread.append(f"{ours.path} and {theirs.path}")
            elif our_digest == their_digest:
                _check_parts(split, ours, theirs, their_start_us - our_start_us)
    if unread:
        text = (
            "pairs of recordings on both sides have equal counts of events, and cannot be read to compare them, such as"
        )
        warnings.warn(f"{len(unread)} {text} {unread[0]}", RecordingWarning, stacklevel=3)


def _check_parts(split: Split, ours: Entry, theirs: Entry, later_us: int) -> None:
    """Check the parts of two recordings of the same events, whose clocks differ by `later_us`."""
    between_us = -1
    if WHOLE not in (ours.span, theirs.span):
        a0_us, a1_us = ours.times_us()
        b0_us, b1_us = theirs.times_us()
        between_us = max(b0_us - later_us - a1_us, a0_us - (b1_us - later_us))
    if between_us < split.gap_us:
        names = (ours.key, theirs.key) if ours.path == theirs.path else (ours.path, theirs.path)
        raise SplitError(
            f"split {split.rule}", got="the same events in {} (to train) and {} (held out)".format(*names),
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
