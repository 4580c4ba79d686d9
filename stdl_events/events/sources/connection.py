"""Reading a connection of TCP, and opening it again when it was lost. Nothing is ever sent to the other side.

A peer that closes between two packets has ended. One that refuses, resets, closes within a packet or sends what cannot
be cut into packets is lost; so is one that vanished, which TCP's keep-alive finds within 12 s. With
`reconnect_s` all of these are opened again. A peer that comes back without a packet is still away.
"""

import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events.sources.address import Address
from stdl_events.events.sources.datagrams import SAY_SILENCE_S
from stdl_events.events.sources.inbox import Inbox
from stdl_events.events.sources.received import say
from stdl_events.events.sources.reopening import FIRST_PAUSE_S, LONGEST_PAUSE_S, is_said, open_within, sleep
from stdl_events.events.stream import EventArray

HEADER_S = 5.0
_POLL_S = 0.2
_RECEIVE_BYTES = 1 << 20
# Seconds and probes: a peer that vanished is found after 6 + 3 x 2 s.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 6, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}

PacketT = TypeVar("PacketT")


class ByteStream(Protocol[PacketT]):
    """A protocol: how the bytes of a connection are cut into packets.

    Attributes:
        sends: what the other side should send, for errors.
        is_open: the header is complete, or there is none.
        incomplete: number of bytes of a packet, or of the header, that is not complete.
        sensor_size: (width, height); None if it is not known.
    """

    sends: str

    @property
    def is_open(self) -> bool: ...

    @property
    def incomplete(self) -> int: ...

    @property
    def sensor_size(self) -> tuple[int, int] | None: ...

    def begin(self) -> None:
        """Begin with another connection."""
        ...

    def push(self, data: bytes | memoryview) -> Iterable[tuple[PacketT, int]]:
        """Yield the packets that are complete with `data`, which is copied, each with its number of bytes.

        Raises:
            RecordingError: the next packet cannot be found; after all packets before, and again by the next call.
        """
        ...

    def decode(self, packets: Sequence[PacketT], counts: Counter[str]) -> Iterable[EventArray]:
        """Return the events of packets; damaged packets are added to `counts`."""
        ...


class Connection(Generic[PacketT]):
    """The `Receiver` of one connection after another."""

    def __init__(self, address: Address, stream: ByteStream[PacketT], reconnect_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.name = address.name
        self._address, self._stream, self._reconnect_s = address, stream, reconnect_s
        self._socket: socket.socket | None = None
        # One for all pieces: new memory for each costs more than copying out of it.
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._first: list[tuple[PacketT, int]] = []
        self._size: tuple[int, int] | None = None
        # Whether packets came since the connection was opened, and since it was lost.
        self._heard, self._brought = False, False
        self._away_since_s, self._pause_s = 0.0, FIRST_PAUSE_S

    def open(self) -> tuple[int, int] | None:
        """Connect, and return the sensor size of the header; None if it has none.

        Raises:
            RecordingError: the peer sends something else.
            SourceLostError: it refuses, or sends no header within `HEADER_S`.
        """
        open_within(self._connect, self._reconnect_s, sleep)
        self._size = self._stream.sensor_size
        return self._size

    def receive(self, inbox: Inbox[PacketT]) -> None:
        losses, self._brought = 0, True
        while True:
            try:
                self._read(inbox)
                lost = self._lost("a connection that the other side closed")
                if not self._reconnect_s:
                    return
            except (OSError, RecordingError, SourceLostError) as error:
                lost = self._count(error)
            if inbox.closed:
                return
            if not self._reconnect_s:
                raise lost
            losses += 1
            if is_said(losses):
                say(self.name, f"{lost.got}; opening it again, for the {losses}. time")
            self.close()
            if not self._open_again(inbox, lost):
                return
            self.counts["reopened"] += 1

    def decode(self, packets: Sequence[PacketT]) -> Iterable[EventArray]:
        return self._stream.decode(packets, self.counts)

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def _read(self, inbox: Inbox[PacketT]) -> None:
        """Read up to the end of the connection."""
        self._heard = False
        self._put(inbox, self._first)
        self._first = []
        self._put(inbox, self._stream.push(b""))
        said_s: float | None = time.monotonic()
        while not inbox.closed:
            data = self._received()
            if data is None:
                if said_s is not None and not self._heard and time.monotonic() - said_s > SAY_SILENCE_S:
                    said_s = None
                    say(self.name, f"nothing has arrived for {SAY_SILENCE_S:g} s: check that the sender has events")
                continue
            if not data:
                break
            self._put(inbox, self._stream.push(data))
        if self._stream.incomplete and not inbox.closed:
            raise self._lost(f"a connection closed within a packet, after {self._stream.incomplete} bytes of it")

    def _put(self, inbox: Inbox[PacketT], packets: Iterable[tuple[PacketT, int]]) -> None:
        for packet, size in packets:
            self._heard = self._brought = True
            inbox.put(packet, size)

    def _received(self) -> memoryview | None:
        """Return what has arrived, valid until the next call.

        None if nothing has for `_POLL_S`, no bytes at the end of the connection.
        """
        assert self._socket is not None
        try:
            return self._buffer[: self._socket.recv_into(self._buffer)]
        except TimeoutError:
            return None

    def _count(self, error: Exception) -> SourceLostError:
        """Count the packet that `error` cut off, and return the loss."""
        if isinstance(error, RecordingError):
            self.counts["damaged_packets"] += 1
        elif self._stream.incomplete:
            self.counts["truncated_packets"] += 1
        return self._as_lost(error)

    def _open_again(self, inbox: Inbox[PacketT], lost: SourceLostError) -> bool:
        """Open the connection again within `reconnect_s` of the last packet; False if the inbox was closed before.

        Raises:
            SourceLostError: `lost`, or the last reason; or the sensor has another size.
        """
        now_s = time.monotonic()
        if self._brought:
            self._away_since_s, self._pause_s, self._brought = now_s, 2 * FIRST_PAUSE_S, False
            if inbox.wait(FIRST_PAUSE_S):  # a peer may close each connection at once
                return False
        else:
            left_s = self._away_since_s + self._reconnect_s - now_s
            if left_s <= 0:
                raise lost
            if inbox.wait(min(self._pause_s, left_s)):
                return False
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        left_s = max(0.0, self._away_since_s + self._reconnect_s - time.monotonic())
        open_within(self._connect_again, left_s, inbox.wait)
        if inbox.closed:
            return False
        if (size := self._stream.sensor_size) != self._size:
            raise SourceLostError(
                self.name, got=f"a sensor of {size} after it was opened again", expected=f"{self._size}, as before",
                todo="start again",
            )  # fmt: skip
        return True

    def _connect_again(self) -> None:
        """Connect; what the peer sends was right before, so that anything else means that it is still away."""
        try:
            self._connect()
        except RecordingError as error:
            self.close()
            raise self._as_lost(error) from None

    def _connect(self) -> None:
        deadline_s = time.monotonic() + HEADER_S
        self._first = []
        self._stream.begin()
        try:
            self._socket = socket.create_connection((self._address.host, self._address.port), timeout=HEADER_S)
            _keep_alive(self._socket)
            self._socket.settimeout(_POLL_S)
            while not self._stream.is_open:
                self._push_first(self._header(deadline_s))
        except OSError as error:
            self.close()
            raise self._as_lost(error) from None
        except BaseException:  # an interrupt is one
            self.close()
            raise

    def _push_first(self, data: bytes | memoryview) -> None:
        """Take the header, and what came with it; what is wrong behind it is raised again by the next push."""
        try:
            self._first += self._stream.push(data)
        except RecordingError:
            if not self._stream.is_open:
                raise

    def _header(self, deadline_s: float) -> bytes | memoryview:
        """Return the next bytes before the deadline, however slowly they come."""
        data = self._received()
        if self._stream.is_open or (data != b"" and time.monotonic() <= deadline_s):
            return data or b""
        silent = f"no header of {self._stream.sends} within {HEADER_S:g} s"
        raise SourceLostError(
            self.name, got="a connection closed before its header" if data == b"" else silent,
            expected="events", todo=f"check that the other side sends {self._stream.sends}",
        )  # fmt: skip

    def _as_lost(self, error: Exception) -> SourceLostError:
        if isinstance(error, SourceLostError):
            return error
        if isinstance(error, RecordingError):
            return SourceLostError(self.name, got=error.got, expected=error.expected, todo=error.todo)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SourceLostError(
            self.name, got=reason.lower(), expected=f"a server that sends {self._stream.sends}",
            todo="start it, check host and port, or wait for it with --reconnect SECONDS",
        )  # fmt: skip

    def _lost(self, got: str) -> SourceLostError:
        return SourceLostError(self.name, got=got, expected="whole packets", todo="start the other side again")


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
