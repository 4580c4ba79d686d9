"""Receiving datagrams of UDP: one sender at a time; what the protocol refuses is counted and skipped."""

import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from stdl_events.errors import SourceLostError
from stdl_events.events.sources.address import Address
from stdl_events.events.sources.inbox import Inbox
from stdl_events.events.sources.received import say
from stdl_events.events.stream import EventArray

# Another sender is taken once the one before was silent for so long.
SILENT_S = 1.0
SAY_SILENCE_S = 5.0
_POLL_S = 0.2
_DATAGRAM_BYTES = 1 << 16
_BUFFER_BYTES = 8 << 20
# Linux tells with each datagram how many of this socket it had no room for.
_SO_RXQ_OVFL = 40 if sys.platform == "linux" else None
_COUNTER = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram's events, as sent, and the time of arrival in microseconds of a clock of this machine."""

    data: bytes
    t_us: int


class DamagedDatagram(Exception):
    """Raised by `Layout.admit`; the text says what was found."""


class Layout(Protocol):
    """The layout of datagrams.

    Attributes:
        counts: of what is lost, by name.
        numbered: the datagrams are numbered, so that the protocol itself counts those lost.
    """

    counts: Counter[str]
    numbered: bool

    def restart(self) -> None:
        """Begin with another sender."""
        ...

    def admit(self, datagram: bytes) -> bytes:
        """Return the events of a datagram, as sent; none if it came before.

        Raises:
            DamagedDatagram: it is none of this protocol.
        """
        ...

    def decode(self, packets: Sequence[Datagram]) -> Iterable[EventArray]:
        """Return the events of the datagrams."""
        ...


class DatagramReceiver:
    """The `Receiver` of a protocol of datagrams that arrive at an address of this machine.

    Raises:
        SourceLostError: nothing can be received there.
    """

    def __init__(self, address: Address, layout: Layout) -> None:
        self.name = address.name
        self._layout = layout
        self._sender: object = None
        self._heard_s = 0.0
        self._socket = _bound(address)

    @property
    def counts(self) -> Counter[str]:
        return self._layout.counts

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def receive(self, inbox: Inbox[Datagram]) -> None:
        began_s, dropped = time.monotonic(), 0
        while not inbox.closed:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(_COUNTER.size))
            except TimeoutError:
                if began_s and self._sender is None and time.monotonic() - began_s > SAY_SILENCE_S:
                    say(self.name, f"nothing has arrived for {SAY_SILENCE_S:g} s: check the sender's host and port")
                    began_s = 0.0
                continue
            except OSError as error:
                if inbox.closed:
                    return
                raise _refused(self.name, error) from None
            if not self._layout.numbered:
                dropped = _count_dropped(ancillary, dropped, self.counts)
            now_s = time.monotonic()
            if self._is_senders(sender, now_s) and (events := self._admitted(data)):
                inbox.put(Datagram(events, int(now_s * 1e6)), len(events))

    def decode(self, packets: Sequence[Datagram]) -> Iterable[EventArray]:
        return self._layout.decode(packets)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def _admitted(self, data: bytes) -> bytes:
        try:
            return self._layout.admit(data)
        except DamagedDatagram as damage:
            if not self.counts["damaged_packets"]:
                say(self.name, f"{damage}: skipped, as are all that are damaged")
            self.counts["damaged_packets"] += 1
            return b""

    def _is_senders(self, sender: object, now_s: float) -> bool:
        if sender != self._sender:
            if self._sender is not None and now_s - self._heard_s < SILENT_S:
                if not self.counts["packets_of_others"]:
                    say(self.name, f"packets of {sender} are skipped, since {self._sender} is sending")
                self.counts["packets_of_others"] += 1
                return False
            if self._sender is not None:
                self._layout.restart()
            self._sender = sender
        self._heard_s = now_s
        return True


def _count_dropped(ancillary: list[tuple[int, int, bytes]], before: int, counts: Counter[str]) -> int:
    """Add the datagrams that the system dropped since `before`; return its counter."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(value) == _COUNTER.size:
            now: int = _COUNTER.unpack(value)[0]
            counts["lost_packets"] += (now - before) % (1 << 32)
            return now
    return before


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if _SO_RXQ_OVFL is not None:
                bound.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            bound.bind(where)
            bound.settimeout(_POLL_S)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise _refused(address.name, error) from None
    return bound


def _refused(name: str, error: OSError) -> SourceLostError:
    return SourceLostError(
        name, got=(error.strerror or str(error)).lower(), expected="an address of this machine and a port that is free",
        todo="name the address at which the packets arrive, such as 0.0.0.0 for all",
    )  # fmt: skip
