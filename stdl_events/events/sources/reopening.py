"""Opening a source again and again, with growing pauses."""

import time
from collections.abc import Callable
from typing import TypeVar

from stdl_events.errors import SourceLostError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

Opened = TypeVar("Opened")


def open_within(open: Callable[[], Opened], patience_s: float, wait: Callable[[float], bool]) -> Opened | None:
    """Return what `open` returns, tried for `patience_s`; None once `wait`, a sleep, returns True to give up.

    Raises:
        SourceLostError: the last one of `open`.
    """
    end_s, pause_s = time.monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return open()
        except SourceLostError:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise
            if wait(min(pause_s, left_s)):
                return None
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def sleep(seconds: float) -> bool:
    """Wait, and never give up."""
    time.sleep(seconds)
    return False


def is_said(losses: int) -> bool:
    """True for the losses 1, 2, 3, 4, 8, 16 ...: a peer that comes and goes shall not flood the messages."""
    return losses == 3 or losses & (losses - 1) == 0
