"""Files of whole clips: the numbers of single steps, bit for bit, and one line where frames come one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export import whole_clip
from stdl_events.export.onnx import write_step
from stdl_events.export.opsets import OPSETS
from stdl_events.export.precisions import PRECISIONS
from stdl_events.export.variants import write_variant
from stdl_events.export.whole_clip import unrolled, write_whole_clip
from stdl_events.live.onnx_file import read_onnx_file
from stdl_events.live.session import OnnxSession

STEPS = 5  # of the card
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def step_file(trained: Make, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("steps") / "steps.onnx"
    write_step(*trained("4C3-AP2-6C3-3FC"), path)
    return path


@pytest.fixture
def clips_NTCHW() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.4, (6, STEPS, 2, 12, 12)).astype(np.float32)


def in_a_loop(path: Path, clips_NTCHW: np.ndarray) -> list[np.ndarray]:
    """Logits_BTK and last states of calls of single steps in onnxruntime itself."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()[1:]
    state = [np.zeros((len(clips_NTCHW), *value.shape[1:]), np.float32) for value in inputs]
    logits = []
    for frame_BCHW in clips_NTCHW.swapaxes(0, 1):
        feed = {"frame": frame_BCHW} | {value.name: entry for value, entry in zip(inputs, state, strict=True)}
        logits_BK, *state = session.run(None, feed)
        logits.append(logits_BK)
    return [np.stack(logits, axis=1), *state]


def in_one_call(path: Path, clips_NTCHW: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    state = {
        value.name: np.zeros((len(clips_NTCHW), *value.shape[1:]), np.float32) for value in session.get_inputs()[1:]
    }
    return session.run(None, {"frames": clips_NTCHW} | state)


@pytest.mark.parametrize("precision", PRECISIONS.names)
def test_every_number_format_gives_the_numbers_of_single_steps(step_file, tmp_path, clips_NTCHW, precision) -> None:
    variant, path = tmp_path / "variant.onnx", tmp_path / "clips.onnx"
    write_variant(precision, step_file, clips_NTCHW, variant)
    made = write_whole_clip(variant, clips_NTCHW, path)
    for found, expected in zip(in_one_call(path, clips_NTCHW), in_a_loop(variant, clips_NTCHW), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert np.abs(expected).max() > 0
    assert (made.steps, made.held_out_clips, made.simulated_clips, made.largest_difference) == (STEPS, 6, 4, 0.0)
    assert (made.step_bytes, made.bytes) == (variant.stat().st_size, path.stat().st_size)
    held = [sum(np.prod(t.dims) for t in onnx.load(file).graph.initializer) for file in (variant, path)]
    assert held[1] == held[0] + STEPS + 1, "weights stand in it once"
    write_whole_clip(variant, clips_NTCHW, tmp_path / "again.onnx")
    assert path.read_bytes() == (tmp_path / "again.onnx").read_bytes()


def test_a_network_with_branches_in_the_oldest_operator_set(trained, tmp_path, clips_NTCHW) -> None:
    write_step(*trained("4C3-4SEWR-DP(0.5)-6R(s2)-3FC", norm="ws"), tmp_path / "steps.onnx", OPSETS[0])
    write_whole_clip(tmp_path / "steps.onnx", None, tmp_path / "clips.onnx")
    expected = in_a_loop(tmp_path / "steps.onnx", clips_NTCHW)
    for found, wanted in zip(in_one_call(tmp_path / "clips.onnx", clips_NTCHW), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_session_runs_both_files_alike_and_carries_the_state(step_file, tmp_path, clips_NTCHW) -> None:
    write_whole_clip(step_file, None, tmp_path / "clips.onnx")
    steps, clips = OnnxSession(step_file), OnnxSession(tmp_path / "clips.onnx", whole_clips=True)
    assert (steps.card.steps_per_call, clips.card.steps_per_call) == (1, STEPS)
    assert clips.card.weights_sha256 == read_onnx_file(tmp_path / "clips.onnx").weights_sha256
    assert clips.card.verification is None
    frames_TBCHW, states = clips_NTCHW.swapaxes(0, 1), [session.initial_state(6) for session in (steps, clips)]
    for _ in range(2):
        (ours, states[0]), (theirs, states[1]) = (
            session.steps(frames_TBCHW, state) for session, state in zip((steps, clips), states, strict=True)
        )
        np.testing.assert_array_equal(ours, theirs)
        assert theirs.shape == (STEPS, 6, 3)
    with pytest.raises(
        ModelError, match=r"got frames of shape \(6, 4, 2, 12, 12\) .* expected \(batch, 5, 2, 12, 12\)"
    ):
        clips.steps(frames_TBCHW[:4], states[1])
    with pytest.raises(ModelError, match="got one frame for a file of whole clips; expected 5 frames; call steps"):
        clips.step(frames_TBCHW[0], states[1])


def test_where_frames_come_one_by_one_it_is_refused_in_a_line(step_file, tmp_path, run_cli) -> None:
    path = tmp_path / "clips.onnx"
    write_whole_clip(step_file, None, path)
    said = "got a file of whole clips, 5 frames in a call; expected one frame in a call; export it without --whole-clip"
    for command in (["live", path, "--source", tmp_path], ["predict", path, tmp_path], ["bench", path, "--steps", "1"]):
        code, _, err = run_cli(*command)
        assert code == 2
        assert said in " ".join(err.split())
    with pytest.raises(ModelError, match="whole clips"):
        OnnxSession(path)
    code, out, _ = run_cli("info", path)
    assert code == 0
    assert "a whole clip, 5 frames" in out


def test_a_file_that_gives_another_class_is_not_kept(step_file, tmp_path, clips_NTCHW, monkeypatch) -> None:
    honest = whole_clip.unrolled

    def wrong(*arguments: Any) -> onnx.ModelProto:
        model = honest(*arguments)
        concat = next(node for node in model.graph.node if node.op_type == "Concat")
        model.graph.node.append(onnx.helper.make_node("Neg", ["upright"], ["logits"]))
        concat.output[0] = "upright"
        return model

    monkeypatch.setattr(whole_clip, "unrolled", wrong)
    (tmp_path / "clips.onnx").write_bytes(b"older")
    with pytest.raises(VerificationError, match="another class for a clip"):
        write_whole_clip(step_file, clips_NTCHW, tmp_path / "clips.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_a_graph_that_no_reader_takes_is_refused(step_file: Path) -> None:
    with pytest.raises(ModelError, match=r"nodes for 4000 steps; expected at most 16,384"):
        unrolled(onnx.load(step_file), 4000, step_file)
