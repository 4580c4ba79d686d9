"""Sources of live events, a module each: `SOURCES` is their registry, `open_source` opens one.

A source is written `scheme:address`, such as `file:walk.aedat4`; without a scheme it is a file's path.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stdl_events.errors import RecordingError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events.stream import EventSource

OpenSource: TypeAlias = "Callable[..., EventSource]"

# Scheme -> a function of the address and of the options of this kind of source.
SOURCES: Registry[OpenSource] = Registry(
    "source",
    RecordingError,
    {
        "file": "stdl_events.events.sources.replay:open_replay",
    },
)

# One letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


def open_source(source: str | Path, **options: Any) -> "EventSource":
    """Open a source of events.

    Args:
        source: `scheme:address`, or the path of a file; an existing file takes precedence over a scheme.
        options: of the scheme's function in `SOURCES`, such as `speed` of `open_replay`.

    Raises:
        RecordingError: the scheme is unknown, or the source cannot be opened.
    """
    scheme, address = _split(source)
    return SOURCES[scheme](address, **options)


def _split(source: str | Path) -> tuple[str, str]:
    found = _SCHEME.fullmatch(source) if isinstance(source, str) else None
    if found is None or (found[1] not in SOURCES and Path(source).exists()):
        return "file", str(source)
    return SOURCES.check(found[1]), found[2]
