"""The address of the page: what it is bound to, and what a browser is told."""

import ipaddress
import re
import socket
from dataclasses import dataclass

from stdl_events.errors import UserError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
# Where packets to the internet would leave this machine; none is sent.
_ELSEWHERE = ("192.0.2.1", 9)
_PATTERN = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Address:
    """An address of this machine.

    Attributes:
        host: a name or an IP address, without brackets.
        port: None is the default one, or a free one if that is taken.
    """

    host: str = DEFAULT_HOST
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse HOST:PORT, HOST or PORT; an IPv6 address has brackets.

        Raises:
            UserError: the text has another form.
        """
        found = _PATTERN.fullmatch(f"{DEFAULT_HOST}:{text}" if text.isdecimal() else text)
        port = None if found is None or found["port"] is None else int(found["port"])
        if found is None or (port is not None and port > 65535):
            raise UserError(
                "--monitor", got=repr(text), expected="HOST:PORT, such as 127.0.0.1:8765 or 0.0.0.0:8765",
                todo="correct it, or leave it out",
            )  # fmt: skip
        return cls(found["host"].strip("[]"), port)

    @property
    def is_loopback(self) -> bool:
        """True if this machine alone reaches the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def listen(self) -> socket.socket:
        """Return a socket that listens.

        Raises:
            UserError: the address is not of this machine, or the port is taken.
        """
        port = DEFAULT_PORT if self.port is None else self.port
        try:
            return _listening(self.host, port)
        except OSError as error:
            if self.port is None and self._is_ours():
                return _listening(self.host, 0)
            raise UserError(
                f"--monitor {self.host}:{port}", got=str(error.strerror or error).lower(),
                expected="an address of this machine, and a free port",
                todo="choose another port, or 0 for a free one",
            ) from None  # fmt: skip

    def _is_ours(self) -> bool:
        try:
            _listening(self.host, 0).close()
        except OSError:
            return False
        return True

    def url(self, port: int) -> str:
        """Return the page's address for a browser, of a server that listens at `port`."""
        host = self.host
        if host in ("0.0.0.0", "::"):
            host = _own_address()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def is_host(self, host: str) -> bool:
        """True if a browser may call the server by this name; other names may be rebound to this machine by anyone.

        An IP address is none that DNS gives, so that each is right for an address that others reach.
        """
        if host in ("localhost", self.host):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            own = socket.gethostname().lower()
            return not self.is_loopback and host in (own, f"{own}.local")
        return address.is_loopback or not self.is_loopback


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
