"""Connections that break in every way: each packet before is taken, the rest is counted, and the end is one line."""

import socket
import struct
import threading
from contextlib import suppress
from typing import ClassVar

import event_files
import numpy as np
import pytest
from network_senders import jaer_datagrams, network_writer, serving

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events import open_source
from stdl_events.events.sources import connection
from stdl_events.events.sources.address import Address
from stdl_events.events.sources.aedat4_packets import Aedat4Packets
from stdl_events.events.sources.connection import Connection
from stdl_events.events.sources.jaer_tcp import JaerBytes
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.sources.reopening import is_said
from stdl_events.events.stream import RecordingWarning

SIZE, DVS128 = (8, 6), (128, 128)
EVENTS = event_files.make_events(600, *SIZE, t0_us=5_000, step_us=500)
DATA = network_writer(EVENTS, SIZE, packet_events=200, compression="none")


def records(events):
    return b"".join(datagram[4:] for datagram in jaer_datagrams(events))


def taken(source):
    """Return the number of events of a source until it is lost, and the reason."""
    parts = []
    with pytest.raises(SourceLostError) as lost:
        parts.extend(source.chunks())
    return sum(map(len, parts)), lost.value


@pytest.mark.parametrize("step", [1, 7])
def test_a_peer_of_single_bytes_is_a_peer(step):
    pieces = [DATA[start : start + step] for start in range(0, len(DATA), step)]
    with serving(pieces) as port:
        found = np.concatenate(list(open_source(f"tcp://127.0.0.1:{port}", overload="complete").chunks()))
    assert np.array_equal(found, EVENTS)


def test_a_header_that_never_ends_is_lost_however_often_a_byte_comes(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: now_s[0])

    class Slow:
        def recv_into(self, buffer):
            now_s[0] += 1.0
            return 1

        def setsockopt(self, *option): ...
        def settimeout(self, seconds): ...
        def close(self): ...

    class Endless:
        sends, is_open, incomplete, sensor_size = "AEDAT 4", False, 0, None

        def begin(self): ...
        def push(self, data):
            return []

    monkeypatch.setattr(connection.socket, "create_connection", lambda *where, **options: Slow())
    with pytest.raises(SourceLostError, match="no header of AEDAT 4 within 5 s"):
        Connection(Address("tcp://a:1", "a", 1), Endless(), 0.0).open()
    assert now_s == [6.0]


def test_a_reset_within_a_packet_is_lost_and_counted():
    """SO_LINGER 0 closes with RST instead of FIN."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = threading.Event()

        def serve():
            peer, _ = listener.accept()
            peer.sendall(DATA[:-50])
            heard.wait(30)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        source = open_source(f"tcp://127.0.0.1:{listener.getsockname()[1]}", overload="complete")
        count, lost = taken(Watched(source, 400, heard))
        thread.join()
    assert lost.got == "connection reset by peer"
    assert (count, source.counts) == (400, {"truncated_packets": 1})


def test_an_enormous_packet_is_lost_after_all_packets_before_it():
    with serving([DATA + struct.pack("<iI", 0, 2**32 - 1) + bytes(100)]) as port:
        source = open_source(f"tcp://127.0.0.1:{port}", overload="complete")
        count, lost = taken(source)
    assert (count, source.counts) == (len(EVENTS), {"damaged_packets": 1})
    assert lost.got.startswith("a packet of 4294967295 bytes at byte")
    packets = Aedat4Packets("tcp")
    found = []
    with suppress(RecordingError):
        found.extend(packets.push(DATA + struct.pack("<iI", 0, 2**32 - 1)))
    assert len(found) == 3


def test_another_sensor_size_after_a_reconnect_is_lost():
    with serving([DATA], [network_writer(EVENTS, (16, 12))]) as port:
        source = open_source(f"tcp://127.0.0.1:{port}", overload="complete", reconnect_s=5.0)
        with pytest.warns(RecordingWarning, match="opening it again, for the 1. time"):
            count, lost = taken(source)
    assert (count, lost.exit_code) == (len(EVENTS), 4)
    assert str(lost) == f"tcp://127.0.0.1:{port}: got a sensor of (16, 12) after it was opened again; " + (
        "expected (8, 6), as before; start again"
    )


def test_garbage_after_a_reconnect_is_a_peer_that_is_still_away():
    with serving([DATA], [b"HTTP/1.1 400 Bad Request\r\n\r\n"], [DATA]) as port:
        source = open_source(f"tcp://127.0.0.1:{port}", overload="complete", reconnect_s=0.5)
        with pytest.warns(RecordingWarning, match="opening it again"):
            count, lost = taken(source)
    assert (count, source.counts, lost.exit_code) == (2 * len(EVENTS), {"reopened": 1}, 4)


class Watched:
    """A source that says when `count` events have come."""

    def __init__(self, source, count, reached):
        self.source, self.count, self.reached = source, count, reached

    def chunks(self):
        for events in self.source.chunks():
            self.count -= len(events)
            if not self.count:
                self.reached.set()
            yield events


class Away:
    """An inbox on a virtual clock, of a peer that comes back again and again without a packet."""

    closed = False

    def __init__(self, now_s):
        self.now_s, self.waits = now_s, []

    def put(self, packet, size): ...

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now_s[0] += seconds
        return False


def test_a_peer_that_comes_back_without_packets_is_away_and_the_pauses_grow(monkeypatch):
    now_s, connected = [0.0], [0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr("stdl_events.events.sources.reopening.time.monotonic", lambda: now_s[0])

    class Empty:
        def recv_into(self, buffer):
            return 0

        def setsockopt(self, *option): ...
        def settimeout(self, seconds): ...
        def close(self): ...

    def connect(*where, **options):
        connected[0] += 1
        return Empty()

    monkeypatch.setattr(connection.socket, "create_connection", connect)
    inbox = Away(now_s)
    receiver = Connection(Address("jaer+tcp://a:1", "a", 1), JaerBytes(DVS128), 10.0)
    receiver.open()
    with pytest.warns(RecordingWarning, match="opening it again"), pytest.raises(SourceLostError, match="closed"):
        receiver.receive(inbox)
    assert inbox.waits[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert (sum(inbox.waits), connected[0]) == (pytest.approx(10.0), len(inbox.waits) + 1)


def test_a_first_connection_without_packets_is_said(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: now_s[0])

    class Silent:
        def recv_into(self, buffer):
            now_s[0] += 1.0
            if now_s[0] < 9:
                raise TimeoutError
            return 0

        def setsockopt(self, *option): ...
        def settimeout(self, seconds): ...
        def close(self): ...

    monkeypatch.setattr(connection.socket, "create_connection", lambda *where, **options: Silent())
    receiver = Connection(Address("jaer+tcp://a:1", "a", 1), JaerBytes(DVS128), 0.0)
    receiver.open()
    with pytest.warns(RecordingWarning, match="nothing has arrived for 5 s"):
        receiver.receive(Away(now_s))


def test_a_peer_that_closes_each_connection_is_said_ever_more_seldom():
    assert [losses for losses in range(1, 40) if is_said(losses)] == [1, 2, 3, 4, 8, 16, 32]


def test_jaers_stream_is_cut_at_events_and_an_event_that_is_cut_off_is_counted():
    events = event_files.make_events(300, *DVS128, t0_us=2**32 - 20_000, step_us=100)  # jAER's counter wraps
    data = records(events)
    with serving([data[:1_003], data[1_003:], data[:5]]) as port:
        source = open_source(f"jaer+tcp://127.0.0.1:{port}", sensor_size=DVS128, overload="complete")
        parts = []
        with pytest.raises(SourceLostError, match="closed within a packet, after 5 bytes"):
            parts.extend(source.chunks())
    assert np.array_equal(np.concatenate(parts), events)
    assert source.counts == {"truncated_packets": 1}


@pytest.mark.parametrize("t_us", [2**63 - 1, -(2**63), 2**62])
def test_events_at_times_that_cannot_be_computed_with_are_counted(t_us):
    events = EVENTS.copy()
    events["t"][::100] = t_us

    class Given:
        counts: ClassVar = {}

        def receive(self, inbox):
            inbox.put(events, 1)

        def decode(self, packets):
            return packets

        def close(self): ...

    source = ReceivedSource("given", SIZE, Given())
    with pytest.warns(RecordingWarning, match=f"events at times such as {t_us} us are skipped"):
        found = np.concatenate(list(source.chunks()))
    assert np.array_equal(found, events[np.abs(events["t"].astype(float)) < 2**61])
    assert source.counts == {"impossible_times": 6}
