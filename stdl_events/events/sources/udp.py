"""`udp://HOST:PORT`: datagrams of words of 32 bits, as eventcv's `UdpSender` and AEStream send them to HOST.

| word | bit 31 | bits 16-30 | bit 15 | bits 0-14 |
|---|---|---|---|---|
| with a time | 0 | x | polarity | y; the next word is the time in microseconds, which wraps |
| without | 1 | x | polarity | y; there is no time: the event is stamped with its datagram's arrival |

Words are little-endian, as these programs send them on all usual machines; `?byteorder=big` reads the others. The
datagrams are not numbered, so only those are counted as lost that reach this machine and find no room. Sources:
`eventcv-core/src/net.rs`, which follows AEStream's `dvs_to_udp.cpp`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.sources.address import parse_address
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram, DatagramReceiver
from stdl_events.events.sources.inbox import Overload
from stdl_events.events.sources.received import ReceivedSource, say
from stdl_events.events.stream import EVENT_DTYPE, EventArray

BYTE_ORDERS = {"little": "<", "big": ">"}
_WITHOUT_TIME = 1 << 31
_COORDINATE = 0x7FFF

Words = npt.NDArray[np.uint32]


def open_udp(
    address: str,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    overload: Overload = "fresh",
) -> ReceivedSource[Datagram]:
    """Receive at //HOST:PORT.

    Args:
        sensor_size: (width, height); `default_sensor_size` if it is None.
        overload: see `ReceivedSource`; the senders do not wait.

    Raises:
        RecordingError: the address is wrong, or no size is known.
        SourceLostError: the address is not of this machine, or its port is taken.
    """
    where = parse_address("udp", address, settings=("byteorder",))
    order = where.settings.get("byteorder", "little")
    if order not in BYTE_ORDERS:
        raise RecordingError(
            where.name, got=f"byteorder={order}", expected=" or ".join(BYTE_ORDERS), todo="choose one of these"
        )
    size = sensor_size or default_sensor_size
    if size is None:
        raise RecordingError(where.name, got="no sensor size", expected="a size", todo="pass --sensor WxH")
    receiver = DatagramReceiver(where, EventWords(where.name, BYTE_ORDERS[order]))
    return ReceivedSource(where.name, size, receiver, overload=overload)


class EventWords:
    """Layout of the datagrams; the first of a sender decides whether its events have times."""

    numbered = False

    def __init__(self, name: str, byte_order: str) -> None:
        self.counts: Counter[str] = Counter()
        self._name, self._dtype = name, np.dtype(f"{byte_order}u4")
        self._clock = UnwrappedClock()
        self._timed: bool | None = None

    def restart(self) -> None:
        self._timed = None

    def admit(self, datagram: bytes) -> bytes:
        if len(datagram) % self._dtype.itemsize or not datagram:
            raise DamagedDatagram(f"a datagram of {len(datagram)} bytes instead of words of 4")
        words = np.frombuffer(datagram, self._dtype)
        timed = not words[0] & _WITHOUT_TIME
        without_time = (words[::2] if timed else words) & _WITHOUT_TIME
        if (len(words) % 2 or without_time.any()) if timed else not without_time.all():
            raise DamagedDatagram("a datagram in which only some events have times")
        if self._timed is None:
            self._timed = timed
            if not timed:
                say(self._name, "the events carry no times: each is stamped with the arrival of its datagram")
        if timed != self._timed:
            raise DamagedDatagram("a datagram with times among others without, or the reverse")
        return datagram

    def decode(self, packets: Sequence[Datagram]) -> Iterator[EventArray]:
        for timed, together in groupby(packets, lambda packet: not self._words(packet)[0] & _WITHOUT_TIME):
            parts = list(together)
            words = np.concatenate([self._words(packet) for packet in parts])
            if timed:
                yield _events(words[::2], self._clock.unwrap(words[1::2]))
            else:
                counts = [len(packet.data) // self._dtype.itemsize for packet in parts]
                yield _events(words, np.repeat([packet.t_us for packet in parts], counts))

    def _words(self, packet: Datagram) -> Words:
        return np.frombuffer(packet.data, self._dtype)


def _events(words: Words, t_us: npt.NDArray[np.int64]) -> EventArray:
    events = np.empty(len(words), EVENT_DTYPE)
    events["t"] = t_us
    events["x"] = words >> 16 & _COORDINATE
    events["y"] = words & _COORDINATE
    events["p"] = words & 0x8000 != 0
    return events
