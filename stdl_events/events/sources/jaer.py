"""`jaer://HOST:PORT`: datagrams that jAER sends ("AE unicast output") to HOST, an address of this machine.

| bytes | what |
|---|---|
| 4 | number of the datagram, from 1 on; 0 follows 2^31 - 1 |
| 8 each | address (4 bytes) and time in microseconds (4 bytes) of an event, as in AEDAT 2 |

All are big-endian. This is jAER's default; its other settings (no number, times first, 2 bytes, swapped bytes, the
SpiNNaker protocol) are not read. A datagram that jAER sends last for a packet may hold no event. Which bits of an
address are x, y and polarity depends on the camera's chip, which the sensor size tells. Sources:
`net.sf.jaer.eventio.AEUnicastOutput.writePacket`, `AEUnicastSettings`, `AENetworkInterfaceConstants` (port 8991).
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from stdl_events.errors import RecordingError
from stdl_events.events.formats.aedat2 import CHIPS, RECORD_DTYPE, decoder_of_chip
from stdl_events.events.sources.address import parse_address
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram, DatagramReceiver
from stdl_events.events.sources.inbox import Overload
from stdl_events.events.sources.received import ReceivedSource, say
from stdl_events.events.stream import EventArray

_NUMBER_BYTES = 4
_NUMBERS = 1 << 31
# Numbers of datagrams that are missing and may still come.
_REMEMBERED = 256
# A larger gap is no loss, but damage, or a sender that began again: then the next number follows.
_MOST_LOST = 1 << 20


def open_jaer(
    address: str,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    overload: Overload = "fresh",
) -> ReceivedSource[Datagram]:
    """Receive at //HOST:PORT.

    Args:
        sensor_size: (width, height) of the camera's chip; `default_sensor_size`, with a warning, if it is None.
        overload: see `ReceivedSource`; jAER does not wait.

    Raises:
        RecordingError: the address is wrong, or the size is that of no known chip.
        SourceLostError: the address is not of this machine, or its port is taken.
    """
    where = parse_address("jaer", address)
    size = size_of_chip(where.name, sensor_size, default_sensor_size)
    receiver = DatagramReceiver(where, JaerDatagrams(size))
    return ReceivedSource(where.name, size, receiver, overload=overload)


def size_of_chip(name: str, given: tuple[int, int] | None, default: tuple[int, int] | None) -> tuple[int, int]:
    """Return the given size of the camera's chip, or else the default one, with a warning.

    Raises:
        RecordingError: it is that of no known chip.
    """
    size = given or default
    if size is None or size not in CHIPS:
        known = ", ".join(f"{w}x{h} ({chip})" for (w, h), chip in CHIPS.items())
        raise RecordingError(
            name, got="no sensor size" if size is None else "a sensor of {}x{}".format(*size),
            expected=known, todo="state the camera's with --sensor WxH (sensor_size=(W, H))",
        )  # fmt: skip
    if given is None:
        say(name, "the camera is taken for a {}, by the model's size: state it with --sensor {}x{}".format(
            CHIPS[size], *size
        ))  # fmt: skip
    return size


class JaerDatagrams:
    """Layout and numbering of jAER's datagrams."""

    numbered = True

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self.counts: Counter[str] = Counter()
        self._numbers = Numbers(self.counts)
        self._decode = decoder_of_chip(sensor_size)

    def restart(self) -> None:
        self._numbers.restart()

    def admit(self, datagram: bytes) -> bytes:
        if len(datagram) % RECORD_DTYPE.itemsize != _NUMBER_BYTES:
            raise DamagedDatagram(f"a datagram of {len(datagram)} bytes instead of 4 and 8 for each event")
        number = int.from_bytes(datagram[:_NUMBER_BYTES], "big")
        if number >= _NUMBERS:
            raise DamagedDatagram(f"a datagram of number {number}")
        return datagram[_NUMBER_BYTES:] if self._numbers.admit(number) else b""

    def decode(self, packets: Sequence[Datagram]) -> Iterator[EventArray]:
        if packets:
            yield self._decode(np.frombuffer(b"".join(packet.data for packet in packets), RECORD_DTYPE))


class Numbers:
    """Counts missing datagrams by their numbers: `lost_packets`; one that comes later is lost no more.

    `repeated_packets` came before.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._next: int | None = None
        self._missing: dict[int, None] = {}
        # Numbers before the first one, which are neither lost nor repeated.
        self._early: set[int] = set()
        self._doubted: int | None = None

    def restart(self) -> None:
        """Begin with another sender."""
        self._next = None
        self._missing.clear()
        self._early.clear()

    def admit(self, number: int) -> bool:
        """Return True unless the datagram came before.

        Raises:
            DamagedDatagram: the number is far from those before it.
        """
        if number in self._missing:
            del self._missing[number]
            self._counts["lost_packets"] -= 1
            return True
        if self._next is None:
            self._early.update((number - before) % _NUMBERS for before in range(1, _REMEMBERED + 1))
        elif number in self._early:
            self._early.remove(number)
            return True
        ahead = 0 if self._next is None else (number - self._next) % _NUMBERS
        if _NUMBERS - ahead <= _REMEMBERED:
            self._counts["repeated_packets"] += 1
            return False
        after, self._doubted = self._doubted, None
        if ahead > _MOST_LOST and number != after:
            self._doubted = (number + 1) % _NUMBERS
            raise DamagedDatagram(f"a datagram of number {number}, where {self._next} is next")
        if 0 < ahead <= _MOST_LOST:
            self._lose(ahead)
        self._next = (number + 1) % _NUMBERS
        return True

    def _lose(self, count: int) -> None:
        """Count the `count` numbers from the next one on as lost."""
        self._counts["lost_packets"] += count
        for missing in range(max(0, count - _REMEMBERED), count):
            self._missing[((self._next or 0) + missing) % _NUMBERS] = None
        while len(self._missing) > _REMEMBERED:
            del self._missing[next(iter(self._missing))]
