"""Takes of labelled recordings: after a reset of the clock, each is an entry of its own.

Whether a clock was reset is known once a file has been read. A dataset therefore lists files, and cutting them into
clips lists their takes. All takes of a file stay on the side of a split that the file is on.
"""

import warnings
from collections.abc import Iterable
from dataclasses import replace

from stdl_events.events import Recording, span_us
from stdl_events.events.stream import RecordingWarning
from stdl_events.events.takes import shifts_of
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet


def takes_of(entry: Entry, recording: Recording) -> list[tuple[Entry, Recording]]:
    """Return the entry and the recording of each take, or both as they are if the clock was not reset.

    A part of several takes, whose times are those of the takes one after another, becomes a part of each.

    Args:
        recording: that of `entry`, open.

    Raises:
        RecordingError: the recording is not readable, or has no such part.
    """
    takes = recording.takes
    if len(takes) < 2:
        return [(entry, recording)]
    if entry.span == WHOLE:
        return [(entry.of_take(number), take) for number, take in enumerate(takes, start=1)]
    start_us, stop_us = span_us(recording, *entry.span)
    ends_us = [(take.t_first_us or 0, take.t_last_us or 0) for take in takes]
    found = []
    for number, (shift_us, (first_us, last_us)) in enumerate(zip(shifts_of(ends_us), ends_us, strict=True), start=1):
        span = max(start_us - shift_us, first_us), min(stop_us - shift_us, last_us + 1)
        if span[0] < span[1]:
            begin = None if entry.begin is None else max(entry.begin - shift_us, first_us)
            found.append((replace(entry.of_take(number), span=span, begin=begin), takes[number - 1]))
    return found or [(entry, recording)]


def each_take(recordings: RecordingSet) -> RecordingSet:
    """Return the set with each take as an entry of its own; every file is read once.

    Raises:
        RecordingError: a recording is not readable.
    """
    return recordings.with_entries(take for entry in recordings.entries for take, _ in takes_of(entry, entry.open()))


def takes_text(takes: int, files: int) -> str:
    """Return how many recordings are takes, and of how many files, in words."""
    of_files = "1 file whose clock was" if files == 1 else f"{files} files whose clocks were"
    return f"{takes} takes of {of_files} reset, each a recording of its own"


def say_takes(side: str, entries: Iterable[Entry]) -> None:
    """Warn of the takes of a side, if there are some."""
    takes = [entry for entry in entries if entry.take is not None]
    if takes:
        text = takes_text(len(takes), len({entry.path for entry in takes}))
        warnings.warn(f"recordings {side}: {text}", RecordingWarning, stacklevel=3)
