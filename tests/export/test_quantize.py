"""Files in eight bits: the same classes, exact spikes, states in float32."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stdl_events.errors import VerificationError
from stdl_events.export import quantize as quantize_module
from stdl_events.export.onnx import export_onnx
from stdl_events.export.quantize import quantize
from stdl_events.live.onnx_file import read_onnx_file
from stdl_events.live.session import OnnxSession

STEPS = 6
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def float_file(trained: Make, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    export_onnx(*trained("4C3-AP2-6C3-3FC"), path)
    return path


@pytest.fixture
def clips_NTCHW() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.4, (12, STEPS, 2, 12, 12)).astype(np.uint8)


def test_products_are_in_eight_bits_and_the_rest_is_not(float_file: Path, tmp_path: Path, clips_NTCHW) -> None:
    quantized = quantize(float_file, clips_NTCHW, tmp_path / "int8.onnx")
    assert quantized.clips == len(clips_NTCHW)
    assert quantized.agreeing >= 0.95 * len(clips_NTCHW)
    model = onnx.load(tmp_path / "int8.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {array.dtype for array in weights.values() if array.ndim > 1} == {np.dtype(np.int8)}
    assert Counter(node.op_type for node in model.graph.node)["Conv"] == 2
    session = OnnxSession(tmp_path / "int8.onnx")
    assert {entry.dtype for entry in session.initial_state()} == {np.dtype(np.float32)}
    assert "int8" in str(session.card.provenance["precision"])
    assert session.card.weights_sha256 == read_onnx_file(tmp_path / "int8.onnx").weights_sha256
    assert [entry.key for entry in model.metadata_props] == ["stdl_events.model_card"]


def test_logits_are_those_of_rounded_products(float_file: Path, tmp_path: Path, clips_NTCHW) -> None:
    """The reference: the first layer's product in numpy, with weights and counts rounded as the file says."""
    quantize(float_file, clips_NTCHW, tmp_path / "int8.onnx")
    ours, theirs = OnnxSession(float_file), OnnxSession(tmp_path / "int8.onnx")
    frame_NCHW = clips_NTCHW[:, 0]
    _, (float_state, _) = ours.step(frame_NCHW, ours.initial_state(len(frame_NCHW)))
    _, (int8_state, _) = theirs.step(frame_NCHW, theirs.initial_state(len(frame_NCHW)))
    weight = next(p for p in onnx.load(float_file).graph.initializer if [*p.dims][1:] == [2, 3, 3])
    weight_OCKK = numpy_helper.to_array(weight)
    # Each of the 18 products is off by half a step of its weight times the count, and the count by half a step.
    step_O = np.abs(weight_OCKK).max((1, 2, 3)) / 127
    highest = float(clips_NTCHW.max())
    bound_O = 18 * (highest * step_O / 2 + np.abs(weight_OCKK).max((1, 2, 3)) * highest / 255 / 2) + 1e-5
    same = np.sign(float_state) == np.sign(int8_state)  # a neuron at its threshold may fire in one file alone
    difference_NCHW = np.abs(float_state - int8_state)
    assert (difference_NCHW[same] <= np.broadcast_to(bound_O[:, None, None], difference_NCHW.shape)[same]).mean() > 0.98
    assert difference_NCHW.max() > 0


def test_files_that_disagree_are_not_kept(float_file: Path, tmp_path: Path, clips_NTCHW, monkeypatch) -> None:
    monkeypatch.setattr(quantize_module, "LEAST_AGREEMENT", 1.01)
    with pytest.raises(VerificationError, match="another class for 0 of 12 clips"):
        quantize(float_file, clips_NTCHW, tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()


def test_the_same_file_and_clips_give_the_same_bytes(float_file: Path, tmp_path: Path, clips_NTCHW) -> None:
    for name in ("one.onnx", "other.onnx"):
        quantize(float_file, clips_NTCHW, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
