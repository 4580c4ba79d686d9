"""A state machine breaks the live path: every event is accounted for, and no clip is counted half."""

import warnings
from collections import Counter

import numpy as np
import pytest
from collectors import Collector
from counting_session import CountingSession
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from network_senders import jaer_datagrams
from onnx_models import make_card, stream_spec

from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.geometry import Geometry
from stdl_events.events.ordering import extent_of
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram
from stdl_events.events.sources.jaer import JaerDatagrams
from stdl_events.events.sources.received import in_order
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer
from stdl_events.live import Recogniser
from stdl_events.live.clock_watch import MOST_SAID
from stdl_events.live.controls import Controls
from stdl_events.live.frame_queue import FrameQueue
from stdl_events.live.reader import Reader
from stdl_events.live.steps import Steps

SENSOR, SIZE, STEPS, DT_US = (128, 128), (8, 6), 3, 10_000
HOT = (1, 1)
WRAP_US = 1 << 32
# A failing run is short enough to read; shortening it took minutes.
PHASES = [Phase.explicit, Phase.generate]


class Clocked:
    """What a reader asks of its source: the clock, and when its events arrived."""

    sensor_size = SENSOR
    t_now_us = 0
    arrived_s = 0.0

    def chunks(self):
        raise AssertionError("chunks are given one by one")


class Reference:
    """Sessions as counters of pixels in windows, filled event by event, and what happened to the other events."""

    def __init__(self, cap):
        self.cap, self.sessions, self.fates = cap, [], Counter()
        self.begin()

    def begin(self):
        self.origin_us, self.open = None, 0
        if not self.sessions or self.sessions[-1]:
            self.sessions.append({})

    def take(self, events):
        first_open = self.open
        for t_us, x, y, p in events.tolist():
            if (x, y) == HOT:
                self.fates["filtered"] += 1
            elif x >= SIZE[0] or y >= SIZE[1]:
                self.fates["cropped"] += 1
            else:
                self.origin_us = t_us if self.origin_us is None else self.origin_us
                window = (t_us - self.origin_us) // DT_US
                if window < first_open:
                    self.fates["late"] += 1
                else:
                    self.sessions[-1].setdefault(window, Counter())[x, y, p] += 1
                    self.open = max(self.open, window)

    def advance(self, t_us):
        if self.origin_us is not None:
            self.open = max(self.open, (t_us - self.origin_us) // DT_US)

    def counts(self, session, seen):
        """Return the sum of counts in the windows of `seen`."""
        windows = self.sessions[session]
        counts = [n for w in seen for n in windows.get(w, Counter()).values()]
        return sum(min(n, self.cap or n) for n in counts)


class Live(RuleBasedStateMachine):
    """jAER's datagrams, through reader, framer, queue and steps in one thread; time goes on by rules alone."""

    @initialize(
        cap=st.sampled_from([None, 1]), readout=st.sampled_from(["reset", "sliding"]), start_s=st.integers(2, 40)
    )
    def open(self, cap, readout, start_s):
        card = make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording", cap=cap), readout=readout)
        recogniser = Recogniser(
            CountingSession(card), SENSOR, filters=FilterSpec(hot_pixels=(HOT,)),
            geometry=Geometry.parse({"crop": (0, 0, *SIZE)}),
        )  # fmt: skip
        self.t_us = WRAP_US - start_s * 1_000_000  # the sender's counter wraps during most runs
        self.source, self.layout, self.sent = Clocked(), JaerDatagrams(SENSOR), Counter()
        self.number = 7
        self.queue = FrameQueue(2 * STEPS, "fresh", by_clip=recogniser.resets, clock_s=lambda: self.source.arrived_s)
        self.recogniser, self.seen = recogniser, Collector()
        self.reader = Reader(self.source, recogniser.select, Framer(recogniser.spec), self.queue)
        self.controls = Controls()
        self.steps = Steps(recogniser, [self.seen], "frame", controls=self.controls)
        self.reference, self.stepped, self.paused, self.clips, self.jumps = Reference(cap), [], [], [], 0
        self.send(self.events_of([0]))

    def events_of(self, steps_us):
        """Return events that follow each other after these steps; pixels follow from the times."""
        events = empty_events(len(steps_us))
        events["t"] = self.t_us + np.cumsum(steps_us)
        events["x"], events["y"] = events["t"] % 10, events["t"] // 7 % 7
        events["p"] = events["t"] // 3 % 2 == 1
        self.t_us = int(events["t"][-1])
        return events

    def send(self, events, fate="arrives"):
        (datagram,) = jaer_datagrams(events, first=self.number, datagram_events=len(events))
        self.number += 1
        self.sent[fate] += len(events)
        self.sent[f"{fate} packets"] += 1
        for _ in range({"is lost": 0, "arrives": 1, "arrives twice": 2}[fate]):
            self.arrive(datagram, events)

    def arrive(self, datagram, events):
        packet = Datagram(self.layout.admit(datagram), 0)
        if packet.data:
            (decoded,) = self.layout.decode([packet])
            assert np.array_equal(decoded, events), "the counter is unwrapped"
            for part in in_order(decoded, extent_of(decoded)):
                self.source.t_now_us = int(part["t"][-1])
                self.reader.take(part)
                self.reference.take(part)
                self.reference.advance(self.source.t_now_us)

    steps_us = st.lists(st.integers(0, 4_000), min_size=1, max_size=12)

    @rule(steps_us=steps_us, fate=st.sampled_from(["arrives", "arrives", "arrives", "is lost", "arrives twice"]))
    def chunk(self, steps_us, fate):
        self.send(self.events_of(steps_us), fate)

    @rule(steps_us=steps_us, other_us=steps_us)
    def two_in_the_wrong_order(self, steps_us, other_us):
        """The first one comes late, and is lost no more."""
        first, second = self.events_of(steps_us), self.events_of(other_us)
        (late,) = jaer_datagrams(first, first=self.number, datagram_events=len(first))
        self.number += 1
        self.send(second)
        self.sent["arrives"] += len(first)
        self.arrive(late, first)

    @rule(data=st.binary(max_size=3))
    def garbage(self, data):
        with pytest.raises(DamagedDatagram):
            self.layout.admit(data)

    @rule(gap_us=st.integers(0, 300_000))
    def gap(self, gap_us):
        """Silence, in which the clock of the source goes on."""
        self.t_us += gap_us
        self.source.t_now_us = max(self.source.t_now_us, self.t_us)
        self.reader.take(empty_events())
        self.reference.advance(self.source.t_now_us)

    @rule(by_s=st.sampled_from([-30, -2, 11, 1_000]), steps_us=steps_us)
    def jump(self, by_s, steps_us):
        """The clock of the camera steps or leaps, with a warning the first times; what follows is another session."""
        self.t_us = max(self.t_us, self.source.t_now_us) + by_s * 1_000_000
        events = self.events_of(steps_us)
        self.reference.begin()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.send(events)
        self.jumps += 1
        assert len(said) == (self.jumps <= MOST_SAID)

    @precondition(lambda self: self.queue._frames)
    @rule(count=st.integers(1, 4), step_ms=st.sampled_from([0, 9, 15, 40]))
    def model(self, count, step_ms):
        for _ in range(count):
            if not self.queue._frames:
                return
            frame, arrived_s, shed = self.take()
            (self.paused if self.controls.paused else self.stepped).append((frame.session, frame.index))
            before = self.steps.clips
            self.steps.step(frame, arrived_s, shed)
            if self.steps.clips > before and self.recogniser.resets:
                self.clips.append((frame.session, frame.clip, self.recogniser.session.newest[0].tolist()))
            self.source.arrived_s += step_ms / 1e3

    def take(self):
        """Return a frame; at the end of a source it is not shed for one that is yet to come."""
        self.queue._closed = True
        item = self.queue.get()
        self.queue._closed = False
        return item

    @rule()
    def pause(self):
        self.controls.paused = not self.controls.paused

    def counted(self):
        """Return the events by what became of them."""
        reader = self.reader
        return {
            "filtered": reader.select.filtered_events + reader.framer.filtered_events,
            "cropped": reader.select.cropped_events + reader.framer.cropped_events,
            "late": reader.framer.late_events,
            "recognised": self.steps.recognised_events,
            "skipped": self.steps.skipped_events,
            "paused": self.steps.paused_events,
            "dropped": self.queue.dropped_events,
            "unread": self.queue.unread_events + self.steps.open_events + reader.framer.open_events,
        }

    @invariant()
    def every_event_is_one_of_these(self):
        counted, reference = self.counted(), self.reference.fates
        waiting = sum(waiting.frame.events for waiting in self.queue._frames)
        arrived = self.sent["arrives"] + self.sent["arrives twice"]
        assert self.reader.events == arrived == sum(counted.values()) + waiting
        assert {name: counted[name] for name in ("filtered", "cropped", "late")} == {
            name: reference[name] for name in ("filtered", "cropped", "late")
        }
        assert self.layout.counts["repeated_packets"] == self.sent["arrives twice packets"]
        assert self.reader.clock.resets == self.jumps

    @invariant()
    def no_clip_is_counted_half(self):
        """A clip is decided at its last frame, if the model stepped all others of its frames that were not shed."""
        if not self.recogniser.resets:
            return
        clips = self.stepped_clips()
        paused = {(session, index // STEPS) for session, index in self.paused}
        decided = [key for key, steps in clips.items() if steps[-1] == STEPS - 1 and key not in paused]
        finals = [p for p in self.seen.predictions if p.final]
        assert self.steps.clips == len(finals) == len(decided)
        assert [(session, clip) for session, clip, _ in self.clips] == decided
        assert [final.clip for final in finals] == [clip for _, clip in decided]
        assert self.steps.thinned_clips == sum(len(clips[key]) < STEPS for key in decided)
        last = list(clips)[-1] if clips else None
        is_open = last is not None and last not in decided and not self.was_paused_within(last)
        assert self.recogniser.incomplete_clips == len(clips) - len(decided) - is_open

    def stepped_clips(self):
        """Return the steps that the model made of each clip."""
        clips = {}
        for session, index in self.stepped:
            clips.setdefault((session, index // STEPS), []).append(index % STEPS)
        return clips

    def was_paused_within(self, key):
        """True if a frame of a clip was paused before the last one that was stepped."""
        return any((s, index // STEPS) == key and (s, index) < self.stepped[-1] for s, index in self.paused)

    def teardown(self):
        self.send(self.events_of([1]))  # what was lost before it is known now
        assert self.layout.counts["lost_packets"] == self.sent["is lost packets"]
        self.reader.finish()
        while self.queue._frames:
            self.model(count=4, step_ms=0)
        self.recogniser.finish()
        counted = self.counted()
        assert counted["unread"] == 0
        assert self.reader.events == sum(counted.values())
        clips = self.stepped_clips()
        for session, clip, state in self.clips:
            seen = [clip * STEPS + step for step in clips[session, clip]]
            assert state == [len(seen), self.reference.counts(session, seen)]


TestLive = Live.TestCase
TestLive.settings = settings(max_examples=15, stateful_step_count=30, derandomize=True, phases=PHASES)
