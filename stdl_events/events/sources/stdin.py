"""`stdin`: a recording of AEDAT 4 that another program writes to the standard input; it waits for the model."""

import os
import select
from collections import Counter
from collections.abc import Iterator, Sequence

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events.sources.aedat4_packets import Aedat4Packets, Packet, decode_packets, size_of
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import EventArray

_READ_BYTES = 1 << 16
_POLL_S = 0.2


def open_stdin(
    address: str,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    stream: int | None = None,
    overload: Overload = "wait",
    descriptor: int = 0,
) -> ReceivedSource[Packet]:
    """Read the header of the recording.

    Args:
        address: empty.
        sensor_size: (width, height), used if the header has none; `default_sensor_size` if this is None too.
        stream: number of the event stream, if the recording has several.
        overload: see `ReceivedSource`.
        descriptor: of the open file that is read.

    Raises:
        RecordingError: it ends before its header, is of another format, or no size is known.
    """
    if address:
        raise RecordingError(f"source stdin:{address}", got=address, expected="stdin alone", todo="correct it")
    receiver = StdinReceiver(descriptor, stream)
    size = size_of("stdin", receiver.open(), sensor_size, default_sensor_size)
    return ReceivedSource("stdin", size, receiver, overload=overload)


class StdinReceiver:
    """Reads an open file to its end."""

    name = "stdin"

    def __init__(self, descriptor: int, stream: int | None) -> None:
        self.counts: Counter[str] = Counter()
        self._descriptor = descriptor
        self._packets = Aedat4Packets(self.name, stream)
        self._first: list[Packet] = []

    def open(self) -> tuple[int, int] | None:
        """Read up to the first packets, and return the sensor size of the header; None if it has none."""
        while self._packets.stream is None:
            data = os.read(self._descriptor, _READ_BYTES)
            if not data:
                raise RecordingError(
                    self.name, got=f"{self._packets.incomplete} bytes", expected="a recording of AEDAT 4",
                    todo="check the program in front of the pipe",
                )  # fmt: skip
            self._first = self._packets.push(data)
        return self._packets.stream.events.sensor_size

    def receive(self, inbox: Inbox[Packet]) -> None:
        packets = self._first
        while True:
            for packet in packets:
                inbox.put(packet, len(packet.data))
            while not inbox.closed and not select.select([self._descriptor], [], [], _POLL_S)[0]:
                pass
            if inbox.closed:
                return
            data = os.read(self._descriptor, _READ_BYTES)
            if not data:
                break
            packets = self._packets.push(data)
        if self._packets.incomplete:
            self.counts["truncated_packets"] += 1
            raise SourceLostError(
                self.name, got=f"an end within a packet, after {self._packets.incomplete} bytes of it",
                expected="whole packets", todo="check the program in front of the pipe",
            )  # fmt: skip

    def decode(self, packets: Sequence[Packet]) -> Iterator[EventArray]:
        return decode_packets(self.name, packets, self.counts)

    def close(self) -> None:
        """Leave the file to its owner."""
