"""Output of the commands: one JSON document on stdout for programs, text and progress on stderr for people."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stdl_events.errors import StdlEventsError

if TYPE_CHECKING:
    from rich.console import Console

    messages: Console
    results: Console

# Exit code of a command that Ctrl-C ended before its end.
INTERRUPTED = 130


def __getattr__(name: str) -> "Console":
    """Return `messages` or `results`, made when it is first used: `live` needs none, and rich takes long to import."""
    if name not in ("messages", "results"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stdl_events.cli.console import PlainConsole

    made = globals()[name] = PlainConsole(stderr=name == "messages", highlight=False, soft_wrap=True, markup=False)
    return made


def print_json(document: Mapping[str, Any]) -> None:
    """Write `document` as the one JSON document of this run on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def warnings_once() -> Callable[..., None]:
    """Return a `print_warning` that writes a text once, however often a recording is opened."""
    said: set[str] = set()

    def write(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in said:
            said.add(str(message))
            print_warning(message)

    return write


def print_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning as one line on stderr; replaces `warnings.showwarning`."""
    one_line = " ".join(str(message).split())
    sys.stderr.write(f"stdl-events: warning: {one_line}\n")


def print_error(error: StdlEventsError) -> None:
    """Write `error` as one line on stderr."""
    one_line = " ".join(str(error).split())
    sys.stderr.write(f"stdl-events: error: {one_line}\n")
