"""A limit of the event rate, against storms: events are dropped evenly over each chunk, and counted."""

import numpy as np

from stdl_events.events.stream import EventArray

# What a quiet stretch leaves over may be used within so long.
BURST_S = 0.01


class RateLimit:
    """Drops events above a rate, evenly: every k-th of a chunk stays, so that all parts of the picture are left.

    A chunk may have as many events as the rate allows in the source's time since the chunk before, and what was left
    over then, up to that of `BURST_S`.

    Args:
        events_per_s: the limit; None keeps all.

    Attributes:
        dropped: number of events dropped so far.
    """

    def __init__(self, events_per_s: float | None) -> None:
        self.dropped = 0
        self._events_per_us = (events_per_s or 0.0) * 1e-6
        self._limits = events_per_s is not None
        self._left = self._burst = (events_per_s or 0.0) * BURST_S
        self._newest_us: int | None = None

    def __call__(self, events: EventArray) -> EventArray:
        """Return the events that stay, in order."""
        if not self._limits or not len(events):
            return events
        last_us = int(events["t"][-1])
        since_us = int(events["t"][0]) if self._newest_us is None else self._newest_us
        allowed = self._left + self._events_per_us * max(0, last_us - since_us)
        # A clock that goes back begins again.
        self._newest_us = last_us
        kept = min(len(events), int(allowed))
        self._left = min(self._burst, allowed - kept)
        if kept == len(events):
            return events
        self.dropped += len(events) - kept
        return events[(np.arange(kept) * len(events) + len(events) // 2) // max(kept, 1)]
