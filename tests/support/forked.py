"""Processes that are forked from this one, which has imported everything: they start at once.

Not for backward passes on another device than the host: torch's engine does not survive the fork.
"""

import contextlib
import faulthandler
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from stdl_events.cli import main

SECONDS_AT_MOST = 600


def forked(function: Callable[..., None], *arguments: object, messages: str | Path = os.devnull) -> BaseProcess:
    """Start `function` in a process of its own; stdout and stderr are written to the file `messages`."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(function, arguments, messages))
    process.start()
    return process


def command_line(*words: object) -> None:
    """Run `stdl-events` with the given arguments as a process does."""
    sys.argv = ["stdl-events", *map(str, words)]
    main()


def ended(process: BaseProcess) -> int:
    """Return the exit code; of a process that a signal has killed, minus the signal's number."""
    process.join(SECONDS_AT_MOST)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def _run(function: Callable[..., None], arguments: tuple[object, ...], messages: str | Path) -> None:
    with (
        open(messages, "w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        faulthandler.enable(file)
        try:
            function(*arguments)
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None
