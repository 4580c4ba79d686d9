"""Recordings that cannot be read: all are named at once, or left out if this is asked for."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from stdl_events.errors import RecordingError
from stdl_events.events import span_us
from stdl_events.events.defects import count_of
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.clips import BadRecording
from stdl_events.recordings.coverage import named, unreadable
from stdl_events.recordings.entry import Entry, RecordingSet
from stdl_events.training.data_settings import DataSettings

TODO_BAD = "copy or correct them, {}or leave them out with --skip-bad (data.skip_bad=true)"
TODO_REPAIR = "use the events before the damage with --repair (data.repair=true), "


def without_bad(recordings: RecordingSet, data: DataSettings, asker: str) -> tuple[RecordingSet, tuple[Path, ...]]:
    """Return the recordings that a rule can read, and the files of the others.

    Raises:
        DatasetError: some cannot be read without `data.skip_bad`, all of them named; or none of a class can be.
    """
    bad: list[BadRecording] = []
    readable: list[Entry] = []
    for entry in recordings.entries:
        try:
            span_us(entry.open())
        except RecordingError as error:
            bad.append(BadRecording(entry, error))
        else:
            readable.append(entry)
    gone = {one.entry.label for one in bad} - {entry.label for entry in readable}
    if not data.skip_bad or gone:
        todo = todo_bad(data, bad) if not gone else "add readable recordings of each class, or remove the class"
        raise unreadable(asker, bad, len(recordings), todo)
    say_left_out(bad, len(recordings))
    return recordings.with_entries(readable), tuple(dict.fromkeys(one.entry.path for one in bad))


def say_left_out(bad: Sequence[BadRecording], total: int) -> None:
    """Warn of the recordings that are left out."""
    text = f"left out {len(bad)} of {count_of(total, 'recording')}, which are unreadable: {named(bad)}"
    warnings.warn(text, RecordingWarning, stacklevel=3)


def todo_bad(data: DataSettings, bad: Sequence[BadRecording]) -> str:
    """Return what can be done about recordings that cannot be read."""
    is_repairable = not data.repair and any("--repair" in one.error.todo for one in bad)
    return TODO_BAD.format(TODO_REPAIR if is_repairable else "")
