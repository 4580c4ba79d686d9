"""The standard streams of a command: open, and able to hold every name of a class or file."""

import codecs
import io
import os
import sys

_ESCAPES = "stdl_events.escapes"


def prepare_standard_streams() -> None:
    """Open streams that the caller closed, and let text outside of a stream's encoding be written as escapes."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        # Another file would get the number of a closed stream, and with it all that is printed.
        if getattr(sys, name) is None and os.open(os.devnull, os.O_RDWR) == number:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error(_ESCAPES, _as_escapes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)


def _as_escapes(error: UnicodeError) -> tuple[str, int]:
    """Write characters as those of JSON strings, `\\u` and a unit of UTF-16, so that documents stay valid."""
    assert isinstance(error, UnicodeEncodeError), "registered for writing"
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[first : first + 4]}" for first in range(0, len(units), 4)), error.end
