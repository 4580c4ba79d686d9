"""Events of the recording that was summarised last, so that a short one is decoded once for its summary and its events.

They are held for one recording at a time, however many are open, and handed on once.
"""

import weakref
from collections.abc import Iterable

from stdl_events.events.stream import EventArray

# 3.4 MB.
MAX_HELD_BACK = 1 << 18


class HeldEvents:
    """The events of one recording; an empty one without events, or with too many."""

    def __init__(self) -> None:
        self._slot: list[tuple[weakref.ref[object], list[EventArray]]] = []  # one at most; its pop is atomic

    def hold(self, owner: object, blocks: Iterable[EventArray]) -> None:
        """Go through all `blocks` of the recording `owner`, and keep their events if they are few."""
        self._slot.clear()
        kept: list[EventArray] = []
        count = 0
        for events in blocks:
            count += len(events)
            if count <= MAX_HELD_BACK:
                kept.append(events)
            else:
                kept.clear()
        if count <= MAX_HELD_BACK:
            self._slot[:] = [(weakref.ref(owner, lambda _: self._slot.clear()), kept)]

    def take(self, owner: object) -> list[EventArray] | None:
        """Return the blocks of `owner`, which are held no longer; None if they are not held. Others' are dropped."""
        try:
            held_for, blocks = self._slot.pop()
        except IndexError:
            return None
        return blocks if held_for() is owner else None


HELD = HeldEvents()
