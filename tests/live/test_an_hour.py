"""An hour of a camera behind jAER on a virtual clock, with every fault at random moments, in seconds."""

import warnings

import numpy as np
from collectors import Collector
from counting_session import CountingSession
from network_senders import jaer_datagrams
from onnx_models import make_card, stream_spec

from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram
from stdl_events.events.sources.jaer import JaerDatagrams
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer
from stdl_events.live import Recogniser
from stdl_events.live.clock_watch import MOST_SAID
from stdl_events.live.frame_queue import FrameQueue
from stdl_events.live.reader import Reader
from stdl_events.live.steps import Steps

SIZE, STEPS, DT_US, HOUR = (128, 128), 4, 500_000, 7_200
CAPACITY = 3 * STEPS
FAULTS = (
    "lost", "repeated", "overtaken", "garbage", "storm", "slow model", "back", "leap", "silence", "reconnect",
)  # fmt: skip
BEGIN_AGAIN = ("back", "leap", "reconnect")
SILENT = 10


class Hour:
    """What lies between the datagrams and the predictions, driven window by window."""

    def __init__(self):
        card = make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording", downscale=16))
        self.rng, self.now_s = np.random.default_rng(12), 0.0
        self.t_us = 2**32 - 1_800_000_000  # jAER's counter wraps after half an hour
        self.number, self.events = 1, 0
        self.layout, self.held = JaerDatagrams(SIZE), []
        self.source = ReceivedSource("camera", SIZE, receiver=None, clock_s=lambda: self.now_s)
        self.silent = self.all_silent = 0
        self.queue = FrameQueue(CAPACITY, "fresh", clock_s=lambda: self.now_s)
        self.recogniser, self.seen = Recogniser(CountingSession(card), SIZE), Collector()
        self.reader = Reader(self.source, self.recogniser.select, Framer(self.recogniser.spec), self.queue)
        self.steps = Steps(self.recogniser, [self.seen], "clip")

    def send(self, fault):
        """Return the datagrams of half a second, with a fault or none."""
        self.t_us += {"back": -60_000_000, "leap": 100_000_000}.get(fault, 0)
        if fault == "reconnect":  # another sender, whose numbers begin at any time of its clock
            self.t_us, self.number = int(self.rng.integers(2**32)), 1
            self.layout.restart()
        if fault == "silence":
            self.silent = SILENT
        if self.silent:
            self.silent, self.all_silent = self.silent - 1, self.all_silent + 1
            self.t_us, self.now_s = self.t_us + DT_US, self.now_s + DT_US / 1e6
            overtaken, self.held = self.held, []
            return overtaken
        count = 3_000 if fault == "storm" else 8
        events = empty_events(count)
        events["t"] = self.t_us + np.sort(self.rng.integers(0, DT_US, count))
        events["x"], events["y"] = self.rng.integers(0, 128, count), self.rng.integers(0, 128, count)
        self.t_us, self.now_s = self.t_us + DT_US, self.now_s + DT_US / 1e6
        (datagram,) = jaer_datagrams(events, first=self.number, datagram_events=count)
        self.number += 1
        if fault == "overtaken":
            self.held.append(datagram)
        sent = {"lost": [], "overtaken": [], "repeated": [datagram] * 2, "garbage": [datagram, b"garbage"]}
        overtaken, self.held = ([], self.held) if fault == "overtaken" else (self.held, [])
        return [*sent.get(fault, [datagram]), *overtaken]

    def arrive(self, datagrams):
        self.source._arrived_s = self.now_s
        for data in datagrams:
            try:
                admitted = self.layout.admit(data)
            except DamagedDatagram:
                self.layout.counts["damaged_packets"] += 1
                continue
            for events in self.layout.decode([Datagram(admitted, 0)] if admitted else []):
                self.events += len(events)
                for part in self.source._parts(events):
                    self.source._advance(int(part["t"][0]), int(part["t"][-1]))
                    self.reader.take(part)
        self.source._tick()  # in silence the clock goes on
        self.reader.take(empty_events())

    def recognise(self):
        self.queue._closed = True  # what is shed at the front is not waited for
        while (item := self.queue.get()) is not None:
            self.steps.step(*item)
        self.queue._closed = False


def test_an_hour_with_every_fault():
    hour = Hour()
    faults = hour.rng.choice([*FAULTS, ""], HOUR, p=[0.004] * len(FAULTS) + [1 - 0.004 * len(FAULTS)])
    slow_until, longest, decided, session_began, late_starts = 0, 0, 0, 0, []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for tick, fault in enumerate(faults):
            if hour.silent:
                fault = faults[tick] = ""
            hour.arrive(hour.send(fault))
            slow_until = tick + 20 if fault == "slow model" else slow_until
            longest = max(longest, len(hour.queue))
            if tick >= slow_until:
                hour.recognise()
            if fault in BEGIN_AGAIN:
                session_began, decided = tick, len(hour.seen.predictions)
            calm = not faults[session_began + 1 : tick + 1].any() and slow_until < session_began
            if calm and tick == session_began + STEPS:  # a window is closed by the first event after it
                late_starts += [tick] if len(hour.seen.predictions) <= decided else []
    sent = {fault: int((faults == fault).sum()) for fault in FAULTS}
    assert min(sent.values()) > 10
    counts, reader, steps, queue = hour.layout.counts, hour.reader, hour.steps, hour.queue
    assert {name: count for name, count in counts.items() if count} == {
        "lost_packets": sent["lost"], "repeated_packets": sent["repeated"], "damaged_packets": sent["garbage"],
    }  # fmt: skip
    in_calm = HOUR - hour.all_silent - sent["lost"] - sent["storm"]
    assert hour.all_silent == SILENT * sent["silence"]
    assert hour.events == 8 * in_calm + 3_000 * sent["storm"] == reader.events
    assert reader.clock.resets == sum(sent[fault] for fault in BEGIN_AGAIN)
    assert len(said) == MOST_SAID
    assert late_starts == []
    queue.close(discard=True)
    assert longest <= CAPACITY
    assert queue.dropped_events > 0
    assert reader.framer.late_events > 0
    assert reader.events == (
        steps.recognised_events + steps.skipped_events + queue.dropped_events + queue.unread_events
        + reader.framer.late_events + reader.framer.open_events
    )  # fmt: skip
    assert steps.clips == sum(prediction.final for prediction in hour.seen.predictions) > HOUR // STEPS // 2
