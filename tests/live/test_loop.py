"""The live loop: the same clips as offline, steps in a still scene, overload, and every kind of end."""

import json
import threading

import numpy as np
import pytest
from collectors import Collector
from onnx_models import LABELS, expected_logits, make_card, stream_spec, write_model

from stdl_events.errors import SourceLostError
from stdl_events.events import ReplaySource, open_recording, write_recording
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.stream import EventArray, RecordingWarning, empty_events
from stdl_events.frames import Framer, FrameSpec, clips
from stdl_events.live import ClockedSource, OnnxSession, Recogniser, run_live
from stdl_events.live.percentiles import Percentiles
from stdl_events.live.steps import Steps
from stdl_events.live.summary import LiveSummary
from stdl_events.recordings import Entry, clips_of

SIZE, STEPS, DT_US = (8, 6), 4, 10_000


class Chunks:
    """A source of given chunks, without a clock."""

    sensor_size = SIZE

    def __init__(self, chunks):
        self._chunks = chunks

    def chunks(self):
        yield from self._chunks


class Ticks(Chunks):
    """A source of given (time, chunk) pairs, with a clock."""

    t_now_us = 0

    def chunks(self):
        for t_now_us, events in self._chunks:
            self.t_now_us = t_now_us
            yield events


def events_at(t_us, seed=0) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(len(t_us))
    events["t"] = t_us
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(t_us)), rng.integers(0, SIZE[1], len(t_us))
    # runs of one polarity, so that clips differ
    events["p"] = np.sin(events["t"] / 60_000) > 0
    return events


def scene(seed=0, count=3_000, duration_us=1_000_000) -> EventArray:
    return events_at(np.sort(np.random.default_rng(seed).integers(5_000, duration_us, count)), seed)


@pytest.fixture
def session(tmp_path) -> OnnxSession:
    return OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US))))


def offline(events: EventArray) -> list[tuple[int, int, str]]:
    """Return (clip, end, label) of every complete clip, from an evaluation over the whole recording."""
    spec = stream_spec(SIZE, STEPS, DT_US)
    framer = Framer(spec)
    found = clips(framer.push(events) + framer.finish(), spec)
    return [
        (clip.index, clip.t_end_us, LABELS[int(expected_logits(clip.frames_TCHW).mean(axis=0).argmax())])
        for clip in found
    ]


def seen(collector: Collector) -> list[tuple[int, int, str]]:
    return [(p.clip, p.t_us, p.label) for p in collector.predictions]


@pytest.mark.parametrize("chunk", [7, 500, 10_000])
def test_waiting_for_the_model_gives_exactly_the_offline_predictions(session, chunk):
    events = scene()
    collector = Collector()
    source = Chunks([events[start : start + chunk] for start in range(0, len(events), chunk)])
    summary = run_live(source, Recogniser(session, SIZE), [collector], overload="complete", queue_clips=1)
    expected = offline(events)
    assert seen(collector) == expected
    assert len({label for _, _, label in expected}) == 2  # otherwise the comparison could not fail
    assert (summary.events, summary.clips, summary.dropped_frames) == (len(events), len(expected), 0)
    assert summary is collector.summary
    assert summary.frames == summary.clips * STEPS
    assert not summary.interrupted


def test_every_frame(session):
    collector = Collector()
    events = scene()
    run_live(Chunks([events]), Recogniser(session, SIZE), [collector], every="frame", overload="complete")
    # the scene ends with the last frame of a clip and begins with the first of one
    assert [p.clip * STEPS + p.step for p in collector.predictions] == list(range(100))
    assert [p.final for p in collector.predictions] == [n % STEPS == STEPS - 1 for n in range(100)]
    assert [p.t_us for p in collector.predictions] == [(n + 1) * DT_US for n in range(100)]


def test_a_replayed_file_gives_the_offline_predictions_at_any_speed(session, tmp_path):
    events = scene(duration_us=400_000)
    write_recording(tmp_path / "r.h5", events, SIZE)
    recording = open_recording(tmp_path / "r.h5")
    for speed in (None, 4.0):
        collector = Collector()
        source = ReplaySource(recording, speed=speed)
        assert isinstance(source, ClockedSource)
        summary = run_live(source, Recogniser(session, SIZE), [collector], overload="complete")
        assert summary.late_events == 0
        assert seen(collector) == offline(events)


def test_a_still_scene_steps_by_the_clock(session):
    release = threading.Event()

    class Still(Ticks):
        def chunks(self):
            yield from super().chunks()
            assert release.wait(30)  # the frames must arrive before the source ends

    class Releasing(Collector):
        def predicted(self, prediction):
            super().predicted(prediction)
            if prediction.clip == 2:
                release.set()

    collector = Releasing()
    chunks = [(1_000, events_at([500])), *((t_us, empty_events()) for t_us in range(2_000, 121_000, 1_000))]
    run_live(Still(chunks), Recogniser(session, SIZE), [collector], overload="complete")
    assert [p.clip for p in collector.predictions] == [0, 1, 2]
    assert [p.label for p in collector.predictions[1:]] == ["still", "still"]


def test_events_behind_the_sources_clock_are_counted(session):
    chunks = [(25_000, events_at([500])), (35_000, events_at([19_999, 30_000]))]
    summary = run_live(Ticks(chunks), Recogniser(session, SIZE), [])
    assert (summary.events, summary.late_events) == (3, 1)


def test_a_slow_model_sheds_frames_and_says_so(session):
    begun, source_ended = threading.Event(), threading.Event()

    class Fast(Chunks):
        def chunks(self):
            for position, events in enumerate(self._chunks):
                assert position < 10 or begun.wait(30)
                yield events
            source_ended.set()

    class Slow(Recogniser):
        def push(self, frame, shed=0):
            begun.set()
            assert source_ended.wait(30)
            return super().push(frame, shed)

    events = scene(count=5_000)
    collector = Collector()
    chunks = [events[start : start + 20] for start in range(0, len(events), 20)]
    summary = run_live(Fast(chunks), Slow(session, SIZE), [collector], queue_clips=2)
    frames = 100
    assert summary.dropped_frames == frames - summary.frames > 0
    assert collector.dropped == summary.dropped_frames
    kept = [p.clip for p in collector.predictions]
    assert kept == sorted(set(kept))
    assert kept[-1] == frames // STEPS - 1, "the newest clip is decided"
    thinned = [p for p in collector.predictions if "that were shed" in p.why]
    assert summary.clips == len(collector.predictions)
    assert summary.thinned_clips == len(thinned)
    whole = {(p.clip, p.t_us, p.label) for p in collector.predictions if p not in thinned}
    assert whole <= set(offline(events)), "clips without a gap equal those offline"


def test_overload_is_said_once_in_a_while_and_in_full(session, monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("stdl_events.live.steps.time.monotonic", lambda: now_s[0])
    said = []

    class Saying(Collector):
        def overloaded(self, dropped_frames):
            said.append((now_s[0], dropped_frames))

    run = Steps(Recogniser(session, SIZE), [Saying()], "clip")
    for t_s, dropped in ((0.0, 0), (0.1, 4), (0.2, 8), (1.0, 8), (1.2, 12), (1.3, 12), (1.4, 16)):
        now_s[0] = t_s
        run.say_overload(dropped)
    run.say_overload(20, at_once=True)
    run.say_overload(20, at_once=True)
    assert said == [(0.1, 4), (1.2, 8), (1.4, 8)]


def test_an_interrupt_ends_with_the_summary(session):
    class Interrupting(Collector):
        def predicted(self, prediction):
            super().predicted(prediction)
            if prediction.clip == 1:
                raise KeyboardInterrupt

    def endless():
        t_us = 0
        while True:
            t_us += 1_000
            yield events_at([t_us])

    collector = Interrupting()
    summary = run_live(Chunks(endless()), Recogniser(session, SIZE), [collector], overload="complete")
    assert summary.interrupted
    assert summary.clips == 2
    assert collector.summary is summary
    assert not [thread for thread in threading.enumerate() if thread.name == "stdl-events source"]


def test_a_source_that_fails_is_recognised_up_to_there_and_then_raised(session):
    error = SourceLostError("camera", got="silence", expected="events", todo="check the cable")

    def failing():
        yield scene()
        raise error

    collector = Collector()
    with pytest.raises(SourceLostError) as caught:
        run_live(Chunks(failing()), Recogniser(session, SIZE), [collector], overload="complete")
    assert caught.value is error
    # the open window is not a frame, since its remaining events are unknown
    assert seen(collector) == offline(scene())[:-1]
    assert collector.summary.clips == len(collector.predictions)


def test_a_source_without_events_ends_with_an_empty_summary(session):
    summary = run_live(Chunks([empty_events()]), Recogniser(session, SIZE), [])
    assert (summary.events, summary.frames, summary.clips) == (0, 0, 0)
    document = json.loads(summary.to_json())["summary"]
    assert document["latency_us"] == {"p50": None, "p95": None, "p99": None, "max": None}
    assert "latency unknown" in summary.to_text()


def test_the_counts_so_far_are_told_also_while_nothing_comes(session, monkeypatch):
    monkeypatch.setattr("stdl_events.live.loop.STATUS_EVERY_S", 0.01)
    told = threading.Event()
    statuses = []

    class Watching(Collector):
        def status(self, summary):
            statuses.append(summary)
            if summary.frames == STEPS:
                told.set()

    def silent_after_a_clip():
        yield events_at([0, STEPS * DT_US])
        assert told.wait(30)

    collector = Watching()
    summary = run_live(Chunks(silent_after_a_clip()), Recogniser(session, SIZE), [collector])
    frames = [status.frames for status in statuses]
    assert frames == sorted(frames)
    assert summary.frames == STEPS + 1
    assert summary.seconds >= statuses[-1].seconds


def test_latency_runs_from_arrival_to_prediction(session, monkeypatch):
    """With a clock that advances only in the source and in the model, latency is the model's time."""
    now_s = [100.0]
    monkeypatch.setattr("stdl_events.live.steps.time.monotonic", lambda: now_s[0])

    class Slow(Recogniser):
        def push(self, frame, shed=0):
            now_s[0] += 0.25
            return super().push(frame, shed)

    taken = threading.Semaphore(0)

    class Paced(Chunks):
        def chunks(self):
            for events in self._chunks:
                yield events
                if events["t"][0] >= DT_US:
                    assert taken.acquire(timeout=30)
                now_s[0] += 1.0

    class Taking(Collector):
        def predicted(self, prediction):
            super().predicted(prediction)
            taken.release()

    collector = Taking()
    source = Paced([events_at([n * DT_US]) for n in range(6)])
    run_live(source, Slow(session, SIZE), [collector], every="frame")
    assert [p.latency_us for p in collector.predictions] == [250_000] * 6


def test_a_source_that_waits_adds_no_latency(session, monkeypatch):
    """All frames arrive at once, yet none is late: the next one is ready when the model requests it."""
    now_s = [100.0]
    monkeypatch.setattr("stdl_events.live.steps.time.monotonic", lambda: now_s[0])

    class Slow(Recogniser):
        def push(self, frame, shed=0):
            now_s[0] += 0.25
            return super().push(frame, shed)

    collector = Collector()
    run_live(Chunks([scene()]), Slow(session, SIZE), [collector], every="frame", overload="complete")
    assert len(collector.predictions) == 100
    assert {p.latency_us for p in collector.predictions} == {250_000}


def test_percentiles_are_those_of_numpy_within_the_bins():
    durations_us = np.random.default_rng(0).lognormal(7, 1.5, 20_000)
    percentiles = Percentiles()
    for duration_us in durations_us:
        percentiles.add(duration_us)
    summary_us = percentiles.summary_us()
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert summary_us[name] == pytest.approx(np.percentile(durations_us, share), rel=0.013)
    assert summary_us["max"] == pytest.approx(durations_us.max(), abs=0.1)


def test_percentiles_of_extremes():
    percentiles = Percentiles()
    percentiles.add(0.0)
    assert percentiles.summary_us() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    percentiles.add(1e12)
    assert percentiles.summary_us()["max"] == 1e12


def test_the_summary_as_json_and_text():
    times = {"p50": 1000.0, "p95": 2000.0, "p99": 3000.0, "max": 4000.0}
    summary = LiveSummary(2.0, 5_000, 40, 10, 1, 8, 3, times, times, interrupted=True)
    document = json.loads(summary.to_json())["summary"]
    assert document["events_per_s"] == 2500.0
    assert document["frames_per_s"] == 20.0
    assert document["latency_us"] == times
    assert document["dropped_frames"] == 8
    assert summary.to_text().splitlines() == [
        "interrupted after 2.00 s: 10 clips, 40 frames, 5,000 events (20 frames/s, 2,500 events/s)",
        "latency p50 1.00 ms, p95 2.00 ms, p99 3.00 ms, max 4.00 ms; of which the model p50 1.00 ms, p95 2.00 ms, "
        "p99 3.00 ms, max 4.00 ms",
        "dropped frames 8, late events 3, incomplete clips 1",
        "events 5,000 = recognised 0 + late 3 + in work 4,997",
    ]


@pytest.mark.parametrize("speed", [None, 50.0])
def test_a_replay_passes_the_filters_of_the_models_card(tmp_path, speed):
    """The clips of the live loop are those of the recording, cut offline with the card's frame spec."""
    events = scene(seed=4)
    write_recording(tmp_path / "r.h5", events, SIZE)
    filters = FilterSpec(hot_pixels=((1, 2),), background_us=3_000, refractory_us=2_000)
    spec = FrameSpec.parse(stream_spec(SIZE, STEPS, DT_US).model_dump() | {"filters": filters})
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(spec)))
    kept = filters.start(SIZE)(events)
    assert len(kept) < 0.9 * len(events)
    collector = Collector()
    source = ReplaySource(open_recording(tmp_path / "r.h5"), speed=speed)
    summary = run_live(source, Recogniser(session, SIZE), [collector], overload="complete")
    frames_NTCHW, _ = clips_of(Entry("r", tmp_path / "r.h5", 0), spec)
    expected = [LABELS[int(expected_logits(frames_TCHW).mean(axis=0).argmax())] for frames_TCHW in frames_NTCHW]
    assert [label for _, _, label in seen(collector)] == expected
    assert seen(collector) == offline(kept)
    assert (summary.events, summary.filtered_events) == (len(events), len(events) - len(kept))
    assert f"filtered events {len(events) - len(kept):,}" in summary.to_text()


@pytest.mark.parametrize("readout", ["reset", "sliding"])
@pytest.mark.parametrize("clocked", [False, True])
def test_a_clock_that_goes_back_begins_again(tmp_path, readout, clocked):
    """The predictions after the reset are those of a run of their own; only the clip that it cut off is lost."""
    card = make_card(stream_spec(SIZE, STEPS, DT_US), readout=readout)
    session = OnnxSession(write_model(tmp_path / "m.onnx", card))

    def run(parts):
        collector = Collector()
        chunks = [part[at : at + 50] for part in parts for at in range(0, len(part), 50)]
        source = Ticks([(int(c["t"][-1]), c) for c in chunks]) if clocked else Chunks(chunks)
        summary = run_live(source, Recogniser(session, SIZE), [collector], overload="complete")
        return [(p.t_us, p.clip, p.probabilities) for p in collector.predictions], summary

    later, earlier = scene(seed=1), scene(seed=2)
    later["t"] += 100_000_000
    alone = [run([part])[0] for part in (later, earlier)]
    assert min(map(len, alone)) > 15
    with pytest.warns(RecordingWarning, match=r"the source's clock went back by 100\.\d+ s: windows and clips begin"):
        together, summary = run([later, earlier])
    assert together == alone[0] + alone[1]
    assert (summary.clock_resets, summary.late_events, summary.events) == (1, 0, len(later) + len(earlier))
    assert "resets of the clock 1" in summary.to_text()


def test_events_that_are_a_little_late_are_no_reset(session):
    parts = [events_at(np.arange(0, 2_000_000, 1_000)), events_at(np.arange(1_100_000, 1_105_000, 1_000))]
    summary = run_live(Chunks([*parts, events_at([2_100_000])]), Recogniser(session, SIZE), [], overload="complete")
    assert (summary.clock_resets, summary.late_events) == (0, 5)
