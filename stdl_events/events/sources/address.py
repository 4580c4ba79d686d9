"""Addresses of network sources: `scheme://HOST:PORT?NAME=VALUE`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from stdl_events.errors import RecordingError


@dataclass(frozen=True)
class Address:
    """A host and a port, and the settings behind them.

    Attributes:
        name: the address as a user writes it, without its settings; the subject of errors and warnings.
    """

    name: str
    host: str
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)


def parse_address(scheme: str, text: str, *, settings: Collection[str] = ()) -> Address:
    """Parse `text`, which follows "scheme:".

    Args:
        settings: the names that may follow the port.

    Raises:
        RecordingError: it is not //HOST:PORT, or has another setting.
    """
    whole = f"{scheme}:{text}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:  # a port that is no number, brackets that do not close, a setting without =
        host, port, given = None, None, {}
    known = "".join(f"[?{name}=...]" for name in settings)
    expected = f"{scheme}://HOST:PORT{known}, such as {scheme}://127.0.0.1:7777"
    if not host or not port or parts.path.strip("/") or parts.fragment or parts.username is not None:
        raise RecordingError(f"source {whole}", got="no host and port", expected=expected, todo="correct it")
    unknown = sorted(set(given) - set(settings))
    if unknown:
        raise RecordingError(f"source {whole}", got=f"the setting {unknown[0]}", expected=expected, todo="correct it")
    shown = f"[{host}]" if ":" in host else host
    return Address(f"{scheme}://{shown}:{port}", host, port, given)
