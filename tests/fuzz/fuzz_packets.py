"""Damaged packets of each protocol, through all between the socket and the model: nothing crashes, all is counted.

`run` is called by a test with a few hundred packets, and by `tests/benchmarks/run_fuzz_packets.py` with many.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial

import event_files
import numpy as np
from network_senders import jaer_datagrams, network_writer, word_datagrams
from onnx_models import stream_spec

from stdl_events.errors import StdlEventsError
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram, Layout
from stdl_events.events.sources.jaer import JaerDatagrams
from stdl_events.events.sources.jaer_tcp import JaerBytes
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.sources.stdin import open_stdin
from stdl_events.events.sources.tcp import Aedat4Bytes
from stdl_events.events.sources.udp import EventWords
from stdl_events.events.stream import EventArray
from stdl_events.frames import Framer
from stdl_events.frames.selection import Selection
from stdl_events.live.frame_queue import FrameQueue
from stdl_events.live.reader import Reader

SIZE = (128, 128)
EVENTS = event_files.make_events(400, *SIZE, t0_us=2**32 - 100_000, step_us=500)
PACKET_EVENTS, STREAM_PACKETS = 10, 40
# One byte too many and no further packet is found: fewer are damaged, so that some come behind them.
IN_STREAMS = 0.1
SPEC = stream_spec(SIZE, 4, 100_000, grid="recording", downscale=16)


def mutated(packets: list[bytes], rng: np.random.Generator, share: float = 1.0) -> list[bytes]:
    """Return packets of which about 7/8 of `share` are damaged, cut, repeated, exchanged, lost or replaced."""
    found = []
    for packet in packets:
        data = bytearray(packet)
        kind = rng.integers(0, 8) if rng.random() < share else 7
        if kind == 0:
            data[rng.integers(0, len(data))] ^= 1 << rng.integers(0, 8)
        elif kind == 1:
            del data[rng.integers(0, len(data)) :]
        elif kind == 2:
            data[(at := rng.integers(0, len(data))) : at] = rng.bytes(rng.integers(1, 9))
        elif kind == 3:
            data = bytearray(rng.bytes(rng.integers(0, 60)))
        found += [bytes(data)] * (0 if kind == 4 else 2 if kind == 5 else 1)
        if kind == 6 and len(found) > 1:
            found[-1], found[-2] = found[-2], found[-1]
    return found


class Behind:
    """What is behind the decoder of a protocol: order, sensor, reader, framer and a queue whose model is too slow."""

    def __init__(self) -> None:
        self.source = ReceivedSource("fuzz", SIZE, receiver=None)  # type: ignore[arg-type]
        self.queue = FrameQueue(8, "fresh")
        self.reader = Reader(self.source, Selection.of(SPEC.plain), Framer(SPEC), self.queue)
        self.decoded = 0

    def take(self, events: EventArray) -> None:
        self.decoded += len(events)
        for part in self.source._parts(events):
            self.source._now_us = int(part["t"][-1])
            self.reader.take(part)

    def check(self) -> None:
        """Every event that was decoded is in one count."""
        counts, reader, queue = self.source._counts, self.reader, self.queue
        assert self.decoded == reader.events + counts["outside_events"] + counts["impossible_times"]
        queue.close(discard=True)
        framer = reader.framer
        assert reader.events == (
            framer.late_events + framer.open_events + queue.dropped_events + queue.unread_events
            + framer.filtered_events + framer.cropped_events + reader.select.cropped_events
        )  # fmt: skip


def datagrams(
    layout: Layout, originals: Callable[[int], list[bytes]], count: int, rng: np.random.Generator
) -> Counter[str]:
    """Datagrams, of which `originals` returns those from a number on."""
    outcomes: Counter[str] = Counter()
    behind = Behind()
    while outcomes["packets"] < count:
        for data in mutated(originals(outcomes["packets"]), rng):
            outcomes["packets"] += 1
            before = layout.counts["repeated_packets"]
            try:
                admitted = layout.admit(data)
            except DamagedDatagram:
                outcomes["damaged"] += 1
                continue
            outcomes["admitted" if admitted or layout.counts["repeated_packets"] == before else "repeated"] += 1
            for events in layout.decode([Datagram(admitted, outcomes["packets"])] if admitted else []):
                behind.take(events)
        if rng.random() < 0.05:
            layout.restart()
    behind.check()
    assert outcomes["packets"] == outcomes["damaged"] + outcomes["admitted"] + outcomes["repeated"]
    assert layout.counts["lost_packets"] >= 0
    return outcomes + Counter(events=behind.decoded)


def streams(make: Callable[[], object], whole: list[bytes], count: int, rng: np.random.Generator) -> Counter[str]:
    """Connections of TCP: what is cut out of each is decoded or damaged, and less than a packet is left."""
    outcomes: Counter[str] = Counter()
    behind = Behind()
    while outcomes["packets"] < count:
        stream, counts = make(), Counter({"damaged_packets": 1})  # it was said before
        header, *packets = whole
        data = b"".join([header if rng.random() < 0.95 else header[:-1], *mutated(packets, rng, IN_STREAMS)])
        outcomes["packets"] += len(packets)
        step = int(rng.choice([1 << 16, 301, 17]))
        cut = []
        try:
            for start in range(0, len(data), step):
                cut += [packet for packet, _ in stream.push(data[start : start + step])]
            outcomes["streams whole" if not stream.incomplete else "streams cut off"] += 1
        except StdlEventsError:
            outcomes["streams refused"] += 1
        for packet in cut:
            before = counts["damaged_packets"]
            for events in stream.decode([packet], counts):
                behind.take(events)
            outcomes["damaged" if counts["damaged_packets"] > before else "decoded"] += 1
        outcomes["cut"] += len(cut)
    behind.check()
    assert outcomes["cut"] == outcomes["damaged"] + outcomes["decoded"]
    return outcomes + Counter(events=behind.decoded)


def pipes(whole: list[bytes], count: int, rng: np.random.Generator) -> Counter[str]:
    """Recordings on the standard input, each in a pipe that holds all of it."""
    outcomes: Counter[str] = Counter()
    behind = Behind()
    while outcomes["packets"] < count:
        header, *packets = whole
        data = b"".join([header, *mutated(packets, rng, IN_STREAMS)])
        outcomes["packets"] += len(packets)
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        try:
            for events in open_stdin("", descriptor=reading, repair=bool(rng.integers(0, 2))).chunks():
                behind.take(events)
            outcomes["streams whole or repaired"] += 1
        except StdlEventsError:
            outcomes["streams refused"] += 1
        finally:
            os.close(reading)
    behind.check()
    return outcomes + Counter(events=behind.decoded)


def of_aedat4(first_line: bool) -> list[bytes]:
    """Return the header and each packet."""
    parts = np.split(EVENTS, STREAM_PACKETS)
    header = (event_files.aedat4([(0, *SIZE, [])], table=False, compression="none"))[0 if first_line else 14 :]
    data = network_writer(EVENTS, SIZE, packet_events=PACKET_EVENTS, compression="none")
    at, packets = len(data) - len(header_less(data)), []
    for _ in parts:
        size = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        packets.append(data[at : at + size])
        at += size
    assert at == len(data)
    return [header, *packets]


def header_less(data: bytes) -> bytes:
    return data[4 + int.from_bytes(data[:4], "little") :]


def records() -> list[bytes]:
    return [b"", *(one[4:] for one in jaer_datagrams(EVENTS, datagram_events=PACKET_EVENTS))]


def words(order: str, *, timed: bool) -> list[bytes]:
    return word_datagrams(EVENTS, timed=timed, datagram_events=PACKET_EVENTS, order=order)


PROTOCOLS: dict[str, Callable[[int, np.random.Generator], Counter[str]]] = {
    "tcp": lambda count, rng: streams(partial(Aedat4Bytes, "tcp", None), of_aedat4(False), count, rng),
    "jaer": lambda count, rng: datagrams(
        JaerDatagrams(SIZE),
        lambda number: jaer_datagrams(EVENTS, first=number, datagram_events=PACKET_EVENTS),
        count,
        rng,
    ),
    "jaer+tcp": lambda count, rng: streams(partial(JaerBytes, SIZE), records(), count, rng),
    "udp": lambda count, rng: datagrams(
        EventWords("udp", "<"), lambda number: words("<", timed=number % 3 > 0), count, rng
    ),
    "udp, network order": lambda count, rng: datagrams(
        EventWords("udp", ">"), lambda number: words(">", timed=True), count, rng
    ),
    "stdin": lambda count, rng: pipes(of_aedat4(True), count, rng),
}


def run(protocol: str, count: int, seed: int) -> Counter[str]:
    """Pass `count` packets, many of them damaged, through a protocol; return what became of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PROTOCOLS[protocol](count, np.random.default_rng(seed))
