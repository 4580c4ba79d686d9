"""What a user changes of a run: pauses are counted or wait, thresholds hold from the next clip, recordings begin."""

import io

import numpy as np
import pytest
from collectors import Collector, LosslessCollector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import RecordingError, UserError
from stdl_events.events import open_recording
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer
from stdl_events.live import Controls, OnnxSession, Recogniser, loop, run_live
from stdl_events.live.recording_switch import RecordingSwitch
from stdl_events.live.sinks.recorder import Recorder
from stdl_events.live.steps import Steps
from stdl_events.model_card import DecisionThresholds

SIZE, STEPS = (8, 6), 4


def scene(count=3_000):
    rng = np.random.default_rng(0)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(0, 1_000_000, count))
    events["x"], events["y"] = rng.integers(0, 8, count), rng.integers(0, 6, count)
    events["p"] = rng.integers(0, 2, count)
    return events


class Chunks:
    sensor_size = SIZE

    def __init__(self, events, size=50, at=lambda index: None):
        self.parts = [events[start : start + size] for start in range(0, len(events), size)]
        self.at = at

    def chunks(self):
        for index, part in enumerate(self.parts):
            self.at(index)
            yield part


@pytest.fixture
def recogniser(tmp_path):
    return Recogniser(OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, 10_000)))), SIZE)


def frames_of(recogniser, events):
    framer = Framer(recogniser.spec)
    return [*framer.push(events), *framer.finish()]


def test_frames_of_a_pause_are_counted_and_the_clips_that_it_breaks_are_incomplete(recogniser):
    controls, collector = Controls(), Collector()
    steps = Steps(recogniser, [collector], "clip", controls=controls)
    for index, frame in enumerate(frames_of(recogniser, scene())[: 10 * STEPS]):
        controls.paused = 2 * STEPS + 1 <= index < 5 * STEPS + 1
        steps.step(frame, 0.0)
    assert steps.paused_frames == 3 * STEPS
    assert [prediction.clip for prediction in collector.predictions] == [0, 1, 6, 7, 8, 9]
    assert recogniser.incomplete_clips == 2


def test_a_run_that_waits_loses_nothing_while_it_is_paused(recogniser, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "STATUS_EVERY_S", 0.001)
    controls = Controls()

    class Pauses(LosslessCollector):
        said = 0

        def predicted(self, prediction):
            super().predicted(prediction)
            controls.paused = prediction.clip == 3

        def status(self, summary):
            if controls.paused:
                self.said += 1
                assert summary.clips == 4
                controls.paused = self.said < 3

    pauses, other = Pauses(), LosslessCollector()
    summary = run_live(Chunks(scene()), recogniser, [pauses], overload="complete", controls=controls)
    run_live(Chunks(scene()), Recogniser(recogniser.session, SIZE), [other], overload="complete")
    assert pauses.said == 3
    assert summary.paused_frames == 0
    assert [each.t_us for each in pauses.predictions] == [each.t_us for each in other.predictions]


def test_thresholds_hold_from_the_next_clip(recogniser):
    controls, collector = Controls(), Collector()
    steps = Steps(recogniser, [collector], "clip", DecisionThresholds(unknown_below=0.1), controls)
    assert controls.thresholds == DecisionThresholds(unknown_below=0.1)
    for index, frame in enumerate(frames_of(recogniser, scene())[: 4 * STEPS]):
        if index == STEPS + 2:
            controls.thresholds = DecisionThresholds(unknown_below=1.0)
        steps.step(frame, 0.0)
    assert [each.why.split(", ")[1] for each in collector.predictions] == ["at least 0.1"] * 2 + ["less than 1"] * 2


def test_a_state_that_goes_on_over_clips_decides_none_early(tmp_path):
    card = make_card(stream_spec(SIZE, STEPS, 10_000), readout="sliding")
    controls = Controls()
    Steps(Recogniser(OnnxSession(write_model(tmp_path / "m.onnx", card)), SIZE), [], "clip", controls=controls)
    with pytest.raises(UserError, match=r"decide_at: got 0\.9, and a state that goes on"):
        controls.thresholds = DecisionThresholds(decide_at=0.9)
    assert controls.thresholds.decide_at is None


def test_a_recording_has_the_events_between_its_start_and_its_end(recogniser, tmp_path):
    events, messages, names = scene(), io.StringIO(), iter(("a.aedat4", "b.aedat4"))
    switch = RecordingSwitch(lambda: Recorder(tmp_path / next(names), SIZE, overload="complete", messages=messages))
    states = []

    def at(index):
        if index in (10, 40):
            switch.start()
            states.append(switch.state.file)
            switch.start()  # without effect
        if index == 20:
            switch.stop()
            states.append(switch.state)

    run_live(Chunks(events, at=at), recogniser, [], overload="complete", controls=Controls(switch))
    assert np.array_equal(open_recording(tmp_path / "a.aedat4").read(), events[500:1_000])
    assert np.array_equal(open_recording(tmp_path / "b.aedat4").read(), events[2_000:])
    assert states == ["a.aedat4", None, "b.aedat4"]
    assert (switch.state, messages.getvalue()) == (None, "")


def test_a_recording_that_cannot_begin_leaves_none(tmp_path):
    switch = RecordingSwitch(lambda: Recorder(tmp_path / "nowhere" / "a.aedat4", SIZE))
    with pytest.raises(RecordingError, match="No such file or directory"):
        switch.start()
    assert switch.state is None
    switch.stop()
