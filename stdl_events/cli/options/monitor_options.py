"""The option `--monitor [HOST:PORT]`: a page for a browser."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

_OPTION = "--monitor"
_DEFAULT = "127.0.0.1"
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}|\d{1,5}|localhost|[\d.]{7,15}")

MonitorOption = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="[HOST:PORT]",
        help="Show the run in a browser, with buttons to pause, record and change thresholds; the address is printed. "
        "One that other machines reach, such as 0.0.0.0:8765, has a token. Needs the extra `monitor`.  "
        "[default if given alone: 127.0.0.1:8765, or a free port]",
    ),
]


def with_monitor_address(arguments: Sequence[str]) -> list[str]:
    """Return a command line where `--monitor` alone is followed by the default address, since options have values."""
    spelled: list[str] = []
    for index, argument in enumerate(arguments):
        spelled.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == _OPTION and not _is_meant_as_address(following):
            spelled.append(_DEFAULT)
    return spelled


def _is_meant_as_address(word: str) -> bool:
    """Return True for an address, also for a wrong one, whose error says so; a model and a source have colons too."""
    from stdl_events.events.sources import SOURCES

    if _ADDRESS.fullmatch(word):
        return True
    scheme, colon, rest = word.partition(":")
    is_other = scheme in ("models", *SOURCES) or rest.startswith(("//", "\\")) or Path(word).exists()
    return bool(colon) and not word.startswith("-") and not is_other
