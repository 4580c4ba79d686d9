"""Sources of live events, a module each: `SOURCES` is their registry, `open_source` opens one.

A source is written `scheme:address`, such as `file:walk.aedat4`; without a scheme it is a file's path. A source without
an address is its scheme alone: `stdin`.
"""

import inspect
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
        "follow": "stdl_events.events.sources.follow:open_followed",
        "tcp": "stdl_events.events.sources.tcp:open_tcp",
        "jaer": "stdl_events.events.sources.jaer:open_jaer",
        "jaer+tcp": "stdl_events.events.sources.jaer_tcp:open_jaer_tcp",
        "udp": "stdl_events.events.sources.udp:open_udp",
        "stdin": "stdl_events.events.sources.stdin:open_stdin",
        "eventcv": "stdl_events.events.sources.eventcv:open_eventcv",
    },
)

# Options whose flag has another name.
_FLAGS = {"start": "from", "stop": "to", "sensor_size": "sensor", "reconnect_s": "reconnect", "idle_s": "follow-idle"}
# Never options of the user's.
_HINT = "default_sensor_size"
_OWN = {_HINT, "descriptor"}
# One letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


def open_source(source: str | Path, **options: Any) -> "EventSource":
    """Open a source of events.

    Args:
        source: `scheme:address`, or the path of a file; an existing file takes precedence over a scheme.
        options: of the scheme's function in `SOURCES`, such as `speed` of `open_replay`.

    Raises:
        RecordingError: the scheme is unknown, it has no such option, or the source cannot be opened.
    """
    scheme, address = _split(source)
    opener = SOURCES[scheme]
    known = _options_of(opener)
    unknown = [] if known is None else sorted(set(options) - known - {_HINT})
    if unknown:
        flags = ", ".join(f"--{_FLAGS.get(name, name.replace('_', '-'))} ({name}=)" for name in unknown)
        raise RecordingError(
            f"source {source}", got=f"{flags}, which {scheme} does not have",
            expected=", ".join(sorted((known or set()) - _OWN)), todo="leave it out",
        )  # fmt: skip
    if known is not None:
        options = {name: value for name, value in options.items() if name in known}
    return opener(address, **options)


def followed(source: str) -> str:
    """Return the address that follows the file of `source` while it is written.

    Raises:
        RecordingError: `source` is not a file.
    """
    scheme, address = _split(source)
    if scheme not in ("file", "follow"):
        raise RecordingError(
            source, got=f"--follow of the source {scheme}", expected="a file", todo="leave --follow out"
        )
    return f"follow:{address}"


def takes(source: str | Path, option: str) -> bool:
    """True if sources of this scheme have the option.

    Raises:
        RecordingError: the scheme is unknown.
    """
    known = _options_of(SOURCES[_split(source)[0]])
    return known is None or option in known


def _options_of(opener: OpenSource) -> set[str] | None:
    """Return the names of the options of `opener`; None if it takes any."""
    parameters = inspect.signature(opener).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def _split(source: str | Path) -> tuple[str, str]:
    found = _SCHEME.fullmatch(source) if isinstance(source, str) else None
    if isinstance(source, str) and source in SOURCES and source != "file" and not Path(source).exists():
        return source, ""
    if found is None or (found[1] not in SOURCES and Path(source).exists()):
        return "file", str(source)
    return SOURCES.check(found[1]), found[2]
