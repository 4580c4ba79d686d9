"""`working`: what a command shows while it works on something of unknown length."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stdl_events.cli.output import messages

if TYPE_CHECKING:
    from rich.status import Status

EVERY_S = 10.0


@contextmanager
def working(what: str, *, quiet: bool = False, every_s: float | None = None) -> Iterator["Status"]:
    """On a terminal a status with the time so far, elsewhere a line every ten seconds, unless `quiet`.

    A status that the caller updates is left as it is, and then no line is printed.

    Args:
        every_s: time between two beats.
    """
    from stdl_events.training.progress import Heartbeat, duration

    on_terminal, began_s, shown = messages.is_terminal, time.monotonic(), what

    def beat() -> None:
        nonlocal shown
        if status.status != shown:
            return
        text = f"{what}: {duration(time.monotonic() - began_s)} so far"
        if on_terminal:
            shown = text
            status.update(text)
        elif not quiet:
            messages.print(text)

    with messages.status(what) as status:
        heart = Heartbeat(beat, every_s or (1.0 if on_terminal else EVERY_S))
        heart.start()
        try:
            yield status
        finally:
            heart.stop()
