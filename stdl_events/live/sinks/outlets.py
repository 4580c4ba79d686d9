"""Lines to a file, or to another program by TCP or UDP.

A socket never makes a run wait: what cannot be sent is dropped and counted.
"""

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

WAITING_LINES = 1_000
CLOSE_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_CONNECT_S = 2.0


class Outlet(ABC):
    """An output of lines that has an address, for messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._text = ""

    def write(self, text: str, /) -> None:
        """Add to the line; `flush` sends it."""
        self._text += text

    def flush(self) -> None:
        """Send what was written."""
        data, self._text = self._text.encode(), ""
        if data:
            self.send(data)

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send a line, without waiting."""

    @abstractmethod
    def close(self) -> int:
        """Close the outlet, and return the number of lines that were not sent."""


class FileOutlet(Outlet):
    """The end of a file.

    Raises:
        OSError: it cannot be opened; from `send`, it takes no more.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> int:
        os.close(self._descriptor)
        return 0


class UdpOutlet(Outlet):
    """A datagram for each line; whether it arrives is unknown."""

    def __init__(self, name: str, host: str, port: int) -> None:
        super().__init__(name)
        self._lost = 0
        self._address, self._socket = _datagram_socket(host, port)

    def send(self, data: bytes) -> None:
        try:
            if self._socket is None:
                raise OSError
            self._socket.sendto(data, self._address)
        except OSError:  # refused by the last receiver, too long, or no room
            self._lost += 1

    def close(self) -> int:
        if self._socket is not None:
            self._socket.close()
        return self._lost


class TcpOutlet(Outlet):
    """Lines to a server, by a thread of its own, which connects again when the connection is lost.

    Args:
        say: is called with a warning for people, once for each loss.
    """

    def __init__(self, name: str, host: str, port: int, say: Callable[[str], object]) -> None:
        super().__init__(name)
        self._say, self._said = say, False
        self._address = (host, port)
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._closing = False
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="stdl-events lines", daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        with self._changed:
            if len(self._waiting) >= WAITING_LINES:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(data)
            self._changed.notify_all()

    def close(self) -> int:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        if self._socket is not None:
            self._socket.close()
        with self._changed:
            return self._lost + len(self._waiting)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing or self._waiting:
            try:
                with socket.create_connection(self._address, timeout=_CONNECT_S) as self._socket:
                    self._socket.settimeout(None)
                    pause_s, self._said = _FIRST_PAUSE_S, False
                    self._send_all(self._socket)
                    return
            except OSError as error:
                self._say_lost(str(error.strerror or error).lower())
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, pause_s):
                    return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _say_lost(self, why: str) -> None:
        if not self._said and not self._closing:
            self._said = True
            self._say(f"{self.name}: {why}: it is tried again")

    def _send_all(self, connection: socket.socket) -> None:
        """Send lines as they come, until the outlet is closed and none is left."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or bool(self._waiting))
                if not self._waiting:
                    return
                data = self._waiting[0]
            connection.sendall(data)
            with self._changed:
                if self._waiting and self._waiting[0] is data:
                    self._waiting.popleft()


def _datagram_socket(host: str, port: int) -> tuple[Any, socket.socket | None]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
    except OSError:
        return None, None
    return address, opened
