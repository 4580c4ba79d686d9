"""`tcp://HOST:PORT`: AEDAT 4 from dv-processing's `NetworkWriter`, without encryption."""

from collections import Counter
from collections.abc import Iterator, Sequence

from stdl_events.errors import RecordingError
from stdl_events.events.sources.address import parse_address
from stdl_events.events.sources.aedat4_packets import Aedat4Packets, Packet, decode_packets, size_of
from stdl_events.events.sources.connection import Connection
from stdl_events.events.sources.inbox import Overload
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import EventArray


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
        SourceLostError: see `Connection.open`.
    """
    where = parse_address("tcp", address)
    receiver = Connection(where, Aedat4Bytes(where.name, stream), reconnect_s)
    try:
        size = size_of(receiver.name, receiver.open(), sensor_size, default_sensor_size)
    except RecordingError:
        receiver.close()
        raise
    return ReceivedSource(receiver.name, size, receiver, overload=overload)


class Aedat4Bytes:
    """The `ByteStream` of AEDAT 4."""

    sends = "AEDAT 4"

    def __init__(self, name: str, stream: int | None) -> None:
        self._name, self._asked = name, stream
        self.begin()

    def begin(self) -> None:
        self._packets = Aedat4Packets(self._name, self._asked)

    @property
    def is_open(self) -> bool:
        return self._packets.stream is not None

    @property
    def incomplete(self) -> int:
        return self._packets.incomplete

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        assert self._packets.stream is not None, "the header is read"
        return self._packets.stream.events.sensor_size

    def push(self, data: bytes | memoryview) -> Iterator[tuple[Packet, int]]:
        return ((packet, len(packet.data)) for packet in self._packets.push(data))

    def decode(self, packets: Sequence[Packet], counts: Counter[str]) -> Iterator[EventArray]:
        return decode_packets(self._name, packets, counts)
