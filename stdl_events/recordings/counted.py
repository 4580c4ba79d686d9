"""Counts of a recording, by which copies of it are found."""

from dataclasses import dataclass

from stdl_events.events import Recording


@dataclass(frozen=True)
class Counted:
    """Counts of a whole recording, equal for copies of it in any format.

    Attributes:
        length_us: from its first event to its last.
    """

    events: int
    on_events: int
    length_us: int


def counted(recording: Recording) -> Counted:
    """Return the counts of a recording that has been read; its summary is cached."""
    summary = recording.summary
    first_us, last_us = summary.t_first_us, summary.t_last_us
    return Counted(summary.events, summary.on_events, 0 if first_us is None or last_us is None else last_us - first_us)
