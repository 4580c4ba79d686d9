"""Senders of each protocol over loopback, their bytes written literally from the protocols' descriptions."""

import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import contextmanager

import event_files


def network_writer(events, size, *, packet_events=500, compression="lz4") -> bytes:
    """What dv-processing's NetworkWriter sends: its file without the first line and the table of packets."""
    packets = [events[start : start + packet_events] for start in range(0, len(events), packet_events)]
    return event_files.aedat4([(0, *size, packets)], compression=compression, table=False)[14:]


def jaer_datagrams(events, *, first=1, datagram_events=150) -> list[bytes]:
    """A big-endian number, then address and time of each event of a DVS128."""
    datagrams = []
    for number, start in enumerate(range(0, len(events), datagram_events), first):
        data = struct.pack(">I", number % 2**31)
        for t, x, y, p in events[start : start + datagram_events].tolist():
            data += struct.pack(">II", (127 - x) << 1 | (127 - y) << 8 | (0 if p else 1), t % 2**32)
        datagrams.append(data)
    return datagrams


def word_datagrams(events, *, timed=True, datagram_events=150, order="<") -> list[bytes]:
    """One word of 32 bits for each event, as AEStream packs it, and a second one with its time."""
    datagrams = []
    for start in range(0, len(events), datagram_events):
        data = b""
        for t, x, y, p in events[start : start + datagram_events].tolist():
            data += struct.pack(f"{order}I", (0 if timed else 1 << 31) | x << 16 | p << 15 | y)
            data += struct.pack(f"{order}I", t % 2**32) if timed else b""
        datagrams.append(data)
    return datagrams


@contextmanager
def serving(*connections: Iterable[bytes], hold: threading.Event | None = None):
    """Yield the port of a server; each connection is sent one of `connections`, in pieces, and closed.

    With `hold`, connections stay open until it is set.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            for pieces in connections:
                peer, _ = listener.accept()
                with peer:
                    for piece in pieces:
                        peer.sendall(piece)
                    assert hold is None or hold.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(30)
    assert not thread.is_alive()


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def send_datagrams(port: int, datagrams: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, ("127.0.0.1", port))
