"""The logits behind a prediction, and the clips that get one."""

import json

import numpy as np
import pytest
from onnx_models import LABELS, expected_logits, make_card, softmax, stream_spec, write_model

from stdl_events.errors import FrameSpecError, ModelError
from stdl_events.frames import Frame, FrameSpec
from stdl_events.live import OnnxSession, Prediction, Recogniser

STEPS = 4


def frames_of(counts_NCHW: np.ndarray, first_index: int = 0) -> list[Frame]:
    return [
        Frame(first_index + n, 10_000 * n, 10_000 * (n + 1), counts_CHW, STEPS)
        for n, counts_CHW in enumerate(counts_NCHW)
    ]


def random_counts(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (count, 2, 6, 8), np.uint16)


def recogniser(tmp_path, **card) -> Recogniser:
    return Recogniser(OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(), **card))), (8, 6))


def test_reset_reads_the_mean_of_each_clips_logits_so_far(tmp_path):
    counts_NCHW = random_counts(3 * STEPS)
    model = recogniser(tmp_path)
    outcomes = [model.push(frame) for frame in frames_of(counts_NCHW)]
    for clip in range(3):
        logits_TK = expected_logits(counts_NCHW[clip * STEPS : (clip + 1) * STEPS])
        for step in range(STEPS):
            readout = outcomes[clip * STEPS + step]
            mean_K = logits_TK[: step + 1].mean(axis=0)
            assert readout.label == LABELS[int(mean_K.argmax())]
            assert list(readout.probabilities) == list(LABELS)
            np.testing.assert_allclose(list(readout.probabilities.values()), softmax(mean_K), rtol=1e-4)
            assert readout.final == (step == STEPS - 1)
    assert len({outcome.label for outcome in outcomes}) > 1  # otherwise the labels could not differ
    assert model.incomplete_clips == 0


def test_sliding_carries_the_state_over_clips(tmp_path):
    counts_NCHW = random_counts(2 * STEPS + 1, seed=4)
    model = recogniser(tmp_path, readout="sliding")
    outcomes = [model.push(frame) for frame in frames_of(counts_NCHW, first_index=2)]
    logits_NK = expected_logits(counts_NCHW)
    for position, readout in enumerate(outcomes):
        mean_K = logits_NK[max(0, position + 1 - STEPS) : position + 1].mean(axis=0)
        np.testing.assert_allclose(list(readout.probabilities.values()), softmax(mean_K), rtol=1e-4)
    assert [readout.final for readout in outcomes] == [n % STEPS == STEPS - 1 for n in range(2, 2 + len(outcomes))]


def test_clips_whose_beginning_was_not_seen_are_left_out_and_counted(tmp_path):
    counts_NCHW = random_counts(4 * STEPS, seed=2)
    model = recogniser(tmp_path)
    seen = [frame for frame in frames_of(counts_NCHW) if frame.index not in (0, 9)]
    answered = [frame.index for frame in seen if model.push(frame) is not None]
    model.finish()
    assert answered == [4, 5, 6, 7, 8, 12, 13, 14, 15]
    assert model.incomplete_clips == 2


def test_a_clip_goes_on_without_the_frames_that_were_shed(tmp_path):
    counts_NCHW = random_counts(4 * STEPS, seed=2)
    model, frames = recogniser(tmp_path), frames_of(counts_NCHW)
    # (index, number shed right before): within clip 0, its last frame and the first two of clip 1, all of clip 2
    taken = [(0, 0), (2, 1), (6, 3), (7, 0), (12, 4), (13, 0), (14, 0), (15, 0)]
    readouts = {index: model.push(frames[index], shed) for index, shed in taken}
    assert {index: readout.missing for index, readout in readouts.items()} == {
        0: 0, 2: 1, 6: 2, 7: 2, 12: 0, 13: 0, 14: 0, 15: 0,
    }  # fmt: skip
    for seen in ([0, 2], [6, 7], [12, 13, 14, 15]):
        expected_K = softmax(expected_logits(counts_NCHW[seen]).mean(axis=0))
        np.testing.assert_allclose(list(readouts[seen[-1]].probabilities.values()), expected_K, rtol=1e-4)
    assert model.incomplete_clips == 1, "clip 0, whose last frame was shed"


def test_an_open_clip_at_the_end_is_incomplete(tmp_path):
    model = recogniser(tmp_path)
    for frame in frames_of(random_counts(STEPS + 1)):
        model.push(frame)
    assert model.incomplete_clips == 0
    model.finish()
    assert model.incomplete_clips == 1


def test_another_sensor_is_refused(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    with pytest.raises(
        ModelError, match=r"got a source of 128x128 pixels; expected 8x6, on which the model was trained"
    ):
        Recogniser(session, (128, 128))


def test_models_of_whole_recordings_need_to_be_told_how_to_cut(tmp_path):
    spec = FrameSpec(kind="recording", steps=STEPS, sensor_size=(8, 6), by="count", remainder="drop", cap=3)
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(spec)))
    with pytest.raises(ModelError, match=r"got frames that are bins of a whole recording \(by count\).*--frame-us"):
        Recogniser(session, (8, 6))
    expected = FrameSpec(kind="stream", steps=STEPS, sensor_size=(8, 6), dt_us=500, cap=3)
    assert Recogniser(session, (8, 6), frame_us=500).spec == expected
    with pytest.raises(FrameSpecError, match="dt_us: got 0"):
        Recogniser(session, (8, 6), frame_us=0)


def test_frame_us_replaces_the_models_own_windows(tmp_path):
    by_count = FrameSpec(kind="stream", steps=STEPS, sensor_size=(8, 6), events_per_frame=100)
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(by_count)))
    assert Recogniser(session, (8, 6)).spec == by_count
    assert Recogniser(session, (8, 6), frame_us=500).spec == stream_spec(dt_us=500, grid="recording")


def test_logits_that_are_not_finite_are_an_error(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    model = Recogniser(session, (8, 6))
    bad = np.full((1, 2, 6, 8), np.inf, np.float32)
    with pytest.raises(ModelError, match="got logits that are not finite at t=10000 us"):
        model.push(frames_of(bad)[0])


def test_predictions_are_one_line_of_json():
    prediction = Prediction(20_000, "gehen – langsam", {"gehen – langsam": 1.0}, 350, clip=3, step=1, final=False)
    line = prediction.to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "t_us": 20_000,
        "label": "gehen – langsam",
        "probabilities": {"gehen – langsam": 1.0},
        "latency_us": 350,
        "clip": 3,
        "step": 1,
        "final": False,
        "decision": None,
        "state": "open",
        "why": "",
        "decided_after": None,
        "t_start_us": None,
    }
