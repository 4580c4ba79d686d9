"""`tcp://HOST:PORT`: AEDAT 4 from dv-processing's `NetworkWriter`, without encryption. Nothing is ever sent to it.

A peer that closes between two packets has ended. One that refuses, resets or closes within a packet is lost; so is one
that vanished, which TCP's keep-alive finds within `VANISHED_S`. With `reconnect` both are opened again.
"""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events.sources.address import Address, parse_address
from stdl_events.events.sources.aedat4_packets import Aedat4Packets, Packet, decode_packets, size_of
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.sources.received import ReceivedSource, say
from stdl_events.events.sources.reopening import open_within, sleep
from stdl_events.events.stream import EventArray

HEADER_S = 5.0
VANISHED_S = 12.0
_POLL_S = 0.2
_RECEIVE_BYTES = 1 << 20
_KEEP_ALIVE = {"TCP_KEEPIDLE": 6, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}


def open_tcp(
    address: str,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    stream: int | None = None,
    overload: Overload = "fresh",
    reconnect_s: float = 0.0,
) -> ReceivedSource[Packet]:
    """Connect to //HOST:PORT and read the header.

    Args:
        sensor_size: (width, height), used if the header has none; `default_sensor_size` if this is None too.
        stream: number of the event stream, if the peer declares several.
        overload: see `ReceivedSource`.
        reconnect_s: a lost peer is opened again for so long, with growing pauses; 0 ends the source.

    Raises:
        RecordingError: the address is wrong, the peer sends something else, or no size is known.
        SourceLostError: it refuses, or sends no header within `HEADER_S`.
    """
    receiver = Aedat4Receiver(parse_address("tcp", address), stream, reconnect_s)
    try:
        size = size_of(receiver.name, receiver.open(), sensor_size, default_sensor_size)
    except RecordingError:
        receiver.close()
        raise
    return ReceivedSource(receiver.name, size, receiver, overload=overload)


class Aedat4Receiver:
    """Reads one connection after another."""

    def __init__(self, address: Address, stream: int | None, reconnect_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.name = address.name
        self._address, self._asked, self._reconnect_s = address, stream, reconnect_s
        self._socket: socket.socket | None = None
        self._packets = Aedat4Packets(self.name, stream)
        self._first: list[Packet] = []
        self._size: tuple[int, int] | None = None

    def open(self) -> tuple[int, int] | None:
        """Connect, and return the sensor size of the header; None if it has none."""
        open_within(self._reached, self._reconnect_s, sleep)
        assert self._packets.stream is not None
        self._size = self._packets.stream.events.sensor_size
        return self._size

    def receive(self, inbox: Inbox[Packet]) -> None:
        losses = 0
        while True:
            try:
                self._read_connection(inbox)
                lost = SourceLostError(
                    self.name, got="a connection that the other side closed", expected="events",
                    todo="start it again",
                )  # fmt: skip
                if not self._reconnect_s:
                    return
            except (OSError, RecordingError, SourceLostError) as error:
                lost = error if isinstance(error, SourceLostError) else self._lost(error)
            if inbox.closed:
                return
            if not self._reconnect_s:
                raise lost
            losses += 1
            say(self.name, f"{lost.got}; opening it again, for the {losses}. time")
            self.close()
            if open_within(self._reached, self._reconnect_s, inbox.wait) is None:
                return
            self._check_size()
            self.counts["reopened"] += 1

    def decode(self, packets: Sequence[Packet]) -> Iterator[EventArray]:
        return decode_packets(self.name, packets, self.counts)

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def _read_connection(self, inbox: Inbox[Packet]) -> None:
        """Read up to the end of the connection."""
        assert self._socket is not None
        for packet in self._first:
            inbox.put(packet, len(packet.data))
        self._first = []
        while not inbox.closed:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                continue
            if not data:
                break
            for packet in self._packets.push(data):
                inbox.put(packet, len(packet.data))
        if self._packets.incomplete and not inbox.closed:
            self.counts["truncated_packets"] += 1
            raise SourceLostError(
                self.name, got=f"a connection closed within a packet, after {self._packets.incomplete} bytes of it",
                expected="whole packets", todo="start the other side again",
            )  # fmt: skip

    def _reached(self) -> bool:
        """True once it is connected and the header is read.

        Raises:
            SourceLostError: it refuses, or sends no header.
        """
        try:
            self._connect()
        except OSError as error:
            self.close()
            raise self._lost(error) from None
        except SourceLostError:
            self.close()
            raise
        return True

    def _connect(self) -> None:
        deadline_s = time.monotonic() + HEADER_S
        self._packets, self._first = Aedat4Packets(self.name, self._asked), []
        self._socket = socket.create_connection((self._address.host, self._address.port), timeout=HEADER_S)
        _keep_alive(self._socket)
        self._socket.settimeout(_POLL_S)
        while self._packets.stream is None:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                data = None
            if data == b"" or (data is None and time.monotonic() > deadline_s):
                silent = f"no header of AEDAT 4 within {HEADER_S:g} s"
                raise SourceLostError(
                    self.name, got="a connection closed before its header" if data == b"" else silent,
                    expected="events", todo="check that the other side sends AEDAT 4",
                )  # fmt: skip
            self._first += self._packets.push(data or b"")

    def _check_size(self) -> None:
        assert self._packets.stream is not None
        size = self._packets.stream.events.sensor_size
        if size != self._size:
            raise SourceLostError(
                self.name, got=f"a sensor of {size} after it was opened again", expected=f"{self._size}, as before",
                todo="start again",
            )  # fmt: skip

    def _lost(self, error: Exception) -> SourceLostError:
        if isinstance(error, RecordingError):
            return SourceLostError(self.name, got=error.got, expected=error.expected, todo=error.todo)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SourceLostError(
            self.name, got=reason.lower(), expected="a server that sends AEDAT 4",
            todo="start it, check host and port, or wait for it with --reconnect SECONDS",
        )  # fmt: skip


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
