"""Fuzz targets: what arrives at sources of live events, without the sockets."""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fuzz_targets import Target

from stdl_events.events.sources.aedat4_packets import Aedat4Packets, decode_packets
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram, Layout
from stdl_events.events.sources.eventcv import parse_camera
from stdl_events.events.sources.jaer import JaerDatagrams
from stdl_events.events.sources.jaer_tcp import JaerBytes
from stdl_events.events.sources.udp import EventWords

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from event_files import make_events  # lies beside the tests of the sources
from network_senders import jaer_datagrams, network_writer, word_datagrams

EVENTS = make_events(100, 128, 128)
# Of `SOURCES`: files are targets by their format, growing ones too, and the standard input is read as TCP is.
NOT_HERE = {"file", "follow", "stdin"}


def stream_seeds(folder: Path) -> list[bytes]:
    del folder
    kinds = (network_writer(EVENTS, (128, 128), packet_events=40, compression=name) for name in ("none", "lz4", "zstd"))
    return [bytes((number,)) + data for number, data in enumerate(kinds)]


def take_stream(folder: Path, data: bytes) -> str:
    """Cut AEDAT 4 that arrives in pieces; the first byte is their size, and 0 is all at once."""
    del folder
    size = data[0] if data and data[0] else len(data) + 1
    packets, events = Aedat4Packets("tcp"), 0
    for start in range(1, len(data), size):
        found = packets.push(data[start : start + size])
        events += sum(map(len, decode_packets("tcp", found, Counter())))
    return f"{events} events"


def record_seeds(folder: Path) -> list[bytes]:
    del folder
    return [bytes((size,)) + b"".join(one[4:] for one in jaer_datagrams(EVENTS)) for size in (0, 7)]


def take_records(folder: Path, data: bytes) -> str:
    """Cut jAER's events that arrive in pieces; the first byte is their size, and 0 is all at once."""
    del folder
    size = data[0] if data and data[0] else len(data) + 1
    receiving, packets = JaerBytes((128, 128)), []
    for start in range(1, len(data), size):
        packets += [packet for packet, _ in receiving.push(data[start : start + size])]
    return f"{sum(map(len, receiving.decode(packets, Counter())))} events"


def datagram_seeds(send: Callable[..., list[bytes]], folder: Path) -> list[bytes]:
    del folder
    return [b"".join(len(one).to_bytes(2, "big") + one for one in send(EVENTS, datagram_events=30))]


def take_datagrams(layout: Callable[[], Layout], folder: Path, data: bytes) -> str:
    """Receive datagrams, each behind two bytes of its length."""
    del folder
    receiving, received = layout(), []
    while data:
        stop = 2 + int.from_bytes(data[:2], "big")
        try:
            admitted = receiving.admit(data[2:stop])
        except DamagedDatagram:
            admitted = b""
        if admitted:
            received.append(Datagram(admitted, 1000 * len(received)))
        data = data[stop:]
    return f"{sum(map(len, receiving.decode(received)))} events"


def camera_seeds(folder: Path) -> list[bytes]:
    del folder
    return [b"", b"DAVIS346", b"//00051463?roi=320,180,640x360&rate_cap=5e6", b"EVK%204?adaptive_bias=2e5,1e6"]


def take_camera(folder: Path, data: bytes) -> str:
    """Parse a camera's address; the camera's own bytes are decoded by eventcv."""
    del folder
    wanted, settings = parse_camera(data.decode(errors="replace"))
    return f"{len(wanted)} letters, {settings.roi is not None}"


TARGETS: dict[str, Target] = {
    "tcp": Target(stream_seeds, take_stream),
    "jaer": Target(
        partial(datagram_seeds, jaer_datagrams), partial(take_datagrams, partial(JaerDatagrams, (128, 128)))
    ),
    "jaer+tcp": Target(record_seeds, take_records),
    "eventcv": Target(camera_seeds, take_camera),
    "udp": Target(partial(datagram_seeds, word_datagrams), partial(take_datagrams, partial(EventWords, "udp", "<"))),
}
