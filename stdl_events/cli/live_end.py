"""How `live` ends: by a signal, with its summary, and with what its budget of latency says."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from stdl_events.cli.output import INTERRUPTED, print_warning
from stdl_events.errors import BudgetError

if TYPE_CHECKING:
    from stdl_events.live.summary import LiveSummary

Arguments = ParamSpec("Arguments")
PATIENCE_S = 0.5
ENDS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def ends_with_a_summary(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make SIGTERM, and a terminal that is closed, end a run like Ctrl-C, with its summary, also before it has begun.

    A second signal ends it at once. With `nohup` a closed terminal still ends nothing.
    """

    @wraps(command)
    def interruptible(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        started_s = time.monotonic()
        with _signals_as_interrupt():
            try:
                command(*args, **kwargs)
            except KeyboardInterrupt:
                _say_nothing_began(time.monotonic() - started_s, in_json=bool(kwargs.get("json_lines")))

    return interruptible


def finish(summary: "LiveSummary") -> None:
    """End the command after a run.

    Raises:
        BudgetError: p99 of the latency broke the budget.
    """
    error = None
    if summary.budget_kept is False:
        p99_us = summary.latency_us["p99"]
        error = BudgetError(
            "live", got=f"p99 {(p99_us or 0.0) / 1e3:.2f} ms from the end of a window to its decision",
            expected=f"at most {summary.budget_ms:g} ms",
            todo="see what this machine keeps up with: stdl-events live MODEL --check 20",
        )  # fmt: skip
    if summary.blocked_sinks:
        # They hold locks that the interpreter would wait for at its end.
        print_warning(f"{', '.join(summary.blocked_sinks)} did not end in time and may lack the summary")
        sys.stderr.write(f"{summary.to_text()}\n")
        sys.stderr.flush()
        os._exit(BudgetError.exit_code if error else 0)
    if error is not None:
        raise error


def _say_nothing_began(seconds: float, *, in_json: bool) -> None:
    from stdl_events.live.sinks.lines import JsonLines, Lines
    from stdl_events.live.summary import LiveSummary

    sink = JsonLines() if in_json else Lines()
    sink.ended(LiveSummary.before_the_start(seconds))


@contextmanager
def stopped_if_blocked(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop`, from a thread of its own, if an interrupt does not end the block within `PATIENCE_S`.

    A step of a model blocks the main thread outside Python, where no signal is handled: it may take minutes. A second
    signal ends the process at once, also from there.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, stop), name="stdl-events interrupts", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        watcher.join()


def _watch(reader: socket.socket, stop: Callable[[], None]) -> None:
    """Read the numbers of signals until the other side closes."""
    interrupts = 0
    with reader:
        while True:
            try:
                numbers = reader.recv(16)
            except TimeoutError:
                reader.settimeout(None)
                stop()
                continue
            if not numbers:
                return
            interrupts += sum(number in ENDS for number in numbers)
            if interrupts > 1:
                os._exit(INTERRUPTED)
            if interrupts:
                reader.settimeout(PATIENCE_S)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    taken = [which for which in ENDS if which != getattr(signal, "SIGHUP", None) or not _is_ignored(which)]
    before = {which: signal.signal(which, interrupt) for which in taken}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _is_ignored(which: signal.Signals) -> bool:
    return signal.getsignal(which) == signal.SIG_IGN
