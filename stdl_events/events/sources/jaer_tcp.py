"""`jaer+tcp://HOST:PORT`: events from jAER's stream server ("AE server socket", port 8990) at HOST.

The stream is nothing but events, without a header: the address and the time in microseconds of each, big-endian words
of 32 bits, as in AEDAT 2. TCP loses none of them. Source: `net.sf.jaer.eventio.AESocket.writePacket`, which the class's
own comment describes with addresses of 16 bits.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from stdl_events.events.formats.aedat2 import RECORD_DTYPE, decoder_of_chip
from stdl_events.events.sources.address import parse_address
from stdl_events.events.sources.connection import Connection
from stdl_events.events.sources.inbox import Overload
from stdl_events.events.sources.jaer import size_of_chip
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import EventArray


def open_jaer_tcp(
    address: str,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    overload: Overload = "fresh",
    reconnect_s: float = 0.0,
) -> ReceivedSource[bytes]:
    """Connect to //HOST:PORT.

    Args:
        sensor_size: (width, height) of the camera's chip; `default_sensor_size`, with a warning, if it is None.
        overload, reconnect_s: as for `open_tcp`.

    Raises:
        RecordingError: the address is wrong, or the size is that of no known chip.
        SourceLostError: see `Connection.open`.
    """
    where = parse_address("jaer+tcp", address)
    size = size_of_chip(where.name, sensor_size, default_sensor_size)
    receiver = Connection(where, JaerBytes(size), reconnect_s)
    receiver.open()
    return ReceivedSource(where.name, size, receiver, overload=overload)


class JaerBytes:
    """The `ByteStream` of jAER: each piece that arrives is cut behind its last whole event."""

    sends = "events of jAER"
    is_open = True

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self.sensor_size = sensor_size
        self._left = b""
        self._decode = decoder_of_chip(sensor_size)

    def begin(self) -> None:
        self._left = b""

    @property
    def incomplete(self) -> int:
        return len(self._left)

    def push(self, data: bytes | memoryview) -> Iterator[tuple[bytes, int]]:
        whole = self._left + data
        used = len(whole) - len(whole) % RECORD_DTYPE.itemsize
        self._left = whole[used:]
        if used:
            yield whole[:used], used

    def decode(self, packets: Sequence[bytes], counts: Counter[str]) -> Iterator[EventArray]:
        del counts  # any bytes are events: those that no chip has are outside the sensor
        if packets:
            yield self._decode(np.frombuffer(b"".join(packets), RECORD_DTYPE))
