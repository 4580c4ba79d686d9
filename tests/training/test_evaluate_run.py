"""Evaluation equals the live readout, its metrics are those of the clips, and an exported file gives the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stdl_events.errors import ModelError, RunError
from stdl_events.events import ReplaySource
from stdl_events.export.onnx import export_onnx
from stdl_events.live import OnnxSession, Prediction, Recogniser, run_live
from stdl_events.live.readout import softmax
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.recipes import load_recipe
from stdl_events.recordings import ClipArray, Entry, RecordingSet, load_clips
from stdl_events.training.bundle import load_bundle
from stdl_events.training.data import ordered_batches
from stdl_events.training.evaluation.evaluate_clips import Evaluation, evaluate_clips, network_logits
from stdl_events.training.evaluation.evaluate_run import evaluate, session_logits
from stdl_events.training.evaluation.suspicious_answers import TRAINED_STEPS, check_finite, warn_of_equal_answers
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_split
from stdl_events.training.settings import TrainConfig


def three_recordings(targets: list[int], entries: list[int]) -> tuple[RecordingSet, ClipArray]:
    count = len(targets)
    frames = np.random.default_rng(0).integers(0, 4, (count, 5, 2, 8, 8), dtype=np.uint8)
    recordings = RecordingSet(("a", "b", "c"), (8, 8), tuple(Entry(f"r{n}", Path(f"r{n}"), 0) for n in range(4)))
    clips = ClipArray(frames, np.array(targets), np.array(entries), np.arange(count) * 1000, 0)
    return recordings, clips


def test_readout_is_the_mean_of_the_logits_from_a_silent_past() -> None:
    network = SpikingNetwork.build(NetworkSpec.parse("4C3-AP2-3FC", input_shape=(2, 8, 8)), seed=1)
    recordings, clips = three_recordings([0, 1, 2, 0, 1], [0, 0, 1, 1, 2])
    network.train()
    result = evaluate_clips(network_logits(network), recordings, clips, batch_size=2)
    network.eval()
    with torch.no_grad():
        for clip in range(5):
            state = network.initial_state(1)
            logits = []
            for frame_CHW in clips.frames_NTCHW[clip]:
                logits_BK, state = network.step(torch.from_numpy(frame_CHW)[None].float(), state)
                logits.append(logits_BK[0].double())
            expected_K = torch.softmax(torch.stack(logits).mean(0), 0).numpy()
            np.testing.assert_allclose(result.probabilities_NK[clip], expected_K, atol=1e-6)


def test_numbers_are_those_of_the_clips() -> None:
    recordings, clips = three_recordings([0, 0, 1, 1, 2], [0, 0, 1, 1, 2])
    probabilities_NK = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.6, 0.2]], np.float64
    )
    result = Evaluation(recordings, clips, probabilities_NK)
    assert result.accuracy == pytest.approx(2 / 5)
    assert result.chance == pytest.approx(2 / 5)
    assert result.class_accuracy_K.tolist() == [0.5, 0.5, 0]
    assert result.mean_class_accuracy == pytest.approx(1 / 3)
    assert result.confusion_KK.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert result.loss == pytest.approx(-np.log([0.8, 0.3, 0.6, 0.3, 0.2]).mean())
    # Sums over the clips of recordings 0 and 1 are (1.1, 0.7, 0.2) and (0.6, 0.9, 0.5).
    assert result.recording_is_right_R.tolist() == [True, True, False]
    assert result.recording_accuracy == pytest.approx(2 / 3)
    summary = result.summary()
    assert (summary["n"], summary["recordings"], summary["too_short"]) == (5, 3, 1)
    first = result.predictions()[1]
    assert (first["key"], first["t_start_us"], first["label"], first["predicted"]) == ("r0", 1000, "a", "b")
    assert first["probabilities"] == [0.3, 0.6, 0.1]


def test_answers_that_no_trained_network_gives(tmp_path: Path) -> None:
    answers_NK = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]])
    recordings, clips = three_recordings([0, 1, 2], [0, 1, 2])
    with pytest.warns(UserWarning, match="the outputs are the same for all 3 clips"):
        warn_of_equal_answers(tmp_path, Evaluation(recordings, clips, answers_NK), TRAINED_STEPS)
    warn_of_equal_answers(tmp_path, Evaluation(recordings, clips, answers_NK), TRAINED_STEPS - 1)
    check_finite(tmp_path, Evaluation(recordings, clips, answers_NK))
    answers_NK[0, 0] = np.nan
    with pytest.raises(RunError, match="got a network whose outputs are not finite"):
        check_finite(tmp_path, Evaluation(recordings, clips, answers_NK))


def test_probability_of_zero_has_a_finite_loss() -> None:
    recordings, clips = three_recordings([0], [0])
    assert np.isfinite(Evaluation(recordings, clips, np.array([[0.0, 1.0, 0.0]])).loss)


def test_batches_do_not_matter() -> None:
    network = SpikingNetwork.build(NetworkSpec.parse("4C3-AP2-3FC", input_shape=(2, 8, 8)), seed=1)
    recordings, clips = three_recordings([0, 1, 2, 0, 1], [0, 0, 1, 1, 2])
    ones, threes = (
        evaluate_clips(network_logits(network), recordings, clips, batch_size=size).probabilities_NK for size in (1, 3)
    )
    np.testing.assert_allclose(ones, threes, atol=1e-6)
    assert len(list(ordered_batches(5, 3))) == 2


class Finals:
    """Records a live run's prediction of each complete clip."""

    def __init__(self) -> None:
        self.kept: list[Prediction] = []

    def predicted(self, prediction: Prediction) -> None:
        if prediction.final:
            self.kept.append(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        raise AssertionError(f"{dropped_frames} frames dropped")

    def ended(self, summary: object) -> None:
        del summary


def test_exported_file_evaluates_the_same_and_live_sees_the_same_clips(tmp_path: Path, config: TrainConfig) -> None:
    run = tmp_path / "run"
    fit(config, run, quiet=True)
    model = tmp_path / "model.onnx"
    export_onnx(*load_bundle(run / "bundle"), model, steps=20)
    ours, exported = evaluate(run, over_time=True), evaluate(run, model=model, keep_logits=True)
    np.testing.assert_allclose(ours.probabilities_NK, exported.probabilities_NK, atol=1e-4)
    assert exported.running_logits_TNK is not None
    np.testing.assert_allclose(
        softmax(exported.running_logits_TNK[-1].astype(float)), exported.probabilities_NK, atol=1e-5
    )
    np.testing.assert_array_equal(ours.predicted_TN, exported.predicted_TN)
    np.testing.assert_array_equal(evaluate(run).probabilities_NK, ours.probabilities_NK)
    through = evaluate(run, through="onnx", baseline=False)
    np.testing.assert_array_equal(through.probabilities_NK, evaluate(run, model=model).probabilities_NK)
    assert through.own is not None
    np.testing.assert_array_equal(through.own.probabilities_NK, ours.probabilities_NK)
    differ = int((through.predicted_N != ours.predicted_N).sum())
    assert through.summary()["through"] == {"network_accuracy": ours.accuracy, "clips_that_differ": differ}
    with pytest.raises(ModelError, match="expected one of the two; leave --model out, or --through"):
        evaluate(run, model=model, through="onnx")
    with pytest.raises(RunError, match="got no recordings to validate on"):
        evaluate(run, side="validation")
    assert ours.predictions()[0].keys() == exported.predictions()[0].keys()
    session = OnnxSession(model)
    for index, entry in enumerate(exported.recordings.entries):
        finals = Finals()
        recording = entry.open()
        source = ReplaySource(recording, speed=None)
        run_live(source, Recogniser(session, recording.sensor_size), [finals], overload="complete")
        rows_NK = exported.probabilities_NK[exported.clips.entry_index_N == index]
        live_NK = np.array([list(prediction.probabilities.values()) for prediction in finals.kept])
        np.testing.assert_allclose(live_NK, rows_NK, atol=1e-6)


@pytest.mark.parametrize("name", ["mug", "pencil"])
def test_live_from_the_held_out_part_of_a_real_recording_is_what_was_evaluated(
    tmp_path: Path, recordings_dir: Path, name: str
) -> None:
    config = load_recipe("objects").derive(data={"path": str(recordings_dir / "objects")})
    split = load_split(config)
    frame_spec = config.frames.spec(split.test.sensor_size)
    classes = split.test.classes
    network = SpikingNetwork.build(NetworkSpec.parse("4C3(s2)-7FC", input_shape=frame_spec.frame_shape_CHW), seed=1)
    card = ModelCard(
        network=network.spec.to_dict(),
        frame=frame_spec,
        labels=classes,
        readout="reset",
        state_shapes=network.state_shapes,
    )
    export_onnx(network, card, tmp_path / "model.onnx", steps=20)
    session = OnnxSession(tmp_path / "model.onnx")
    entry = split.test.entries[classes.index(name)]
    recordings = split.test.with_entries([entry])
    evaluated = evaluate_clips(session_logits(session), recordings, load_clips(recordings, frame_spec), batch_size=8)
    finals = Finals()
    source = ReplaySource(entry.open(), speed=None, start="70%")
    run_live(source, Recogniser(session, source.sensor_size), [finals], overload="complete")
    assert len(finals.kept) == len(evaluated.clips) > 20
    live_NK = np.array([list(prediction.probabilities.values()) for prediction in finals.kept])
    np.testing.assert_allclose(live_NK, evaluated.probabilities_NK, atol=1e-6)


def test_what_cannot_be_evaluated_is_said(tmp_path: Path, config: TrainConfig) -> None:
    with pytest.raises(RunError, match=r"got no config\.json; expected the folder of a run"):
        evaluate(tmp_path)
    run = tmp_path / "run"
    fit(config.derive(epochs=1), run, quiet=True)
    with pytest.raises(ModelError, match=r"got no such file; expected an exported \.onnx model"):
        evaluate(run, model=tmp_path / "none.onnx")
    (run / "bundle" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"got no model\.safetensors; expected a finished network"):
        evaluate(run)


def test_over_time_steps_each_prediction_is_that_of_a_clip_that_ends_there() -> None:
    network = SpikingNetwork.build(NetworkSpec.parse("4C3-AP2-3FC", input_shape=(2, 8, 8)), seed=1)
    recordings, clips = three_recordings([0, 1, 2, 0, 1], [0, 0, 1, 1, 2])
    running = network_logits(network, over_time=True)
    result = evaluate_clips(running, recordings, clips, batch_size=2, over_time=True, keep_logits=True)
    assert result.running_logits_TNK is not None
    assert result.predicted_TN is not None
    assert result.accuracy_T is not None
    for steps in range(1, 6):
        shorter = replace(clips, frames_NTCHW=np.asarray(clips.frames_NTCHW)[:, :steps])
        expected = evaluate_clips(network_logits(network), recordings, shorter, batch_size=5)
        got_NK = result.running_logits_TNK[steps - 1]
        np.testing.assert_allclose(softmax(got_NK.astype(float)), expected.probabilities_NK, atol=1e-6)
        np.testing.assert_array_equal(result.predicted_TN[steps - 1], expected.predicted_N)
        assert result.accuracy_T[steps - 1] == expected.accuracy
    np.testing.assert_array_equal(expected.predicted_N, result.predicted_N)
    without = evaluate_clips(running, recordings, clips, batch_size=2, over_time=True)
    assert without.running_logits_TNK is None
    assert evaluate_clips(network_logits(network), recordings, clips, batch_size=2).summary()["over_time"] is None
