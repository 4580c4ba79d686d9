"""Files in eight bits with channels last: the same numbers, and nothing that onnxruntime turns within a step."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stdl_events.export import quantize
from stdl_events.export.onnx import export_onnx
from stdl_events.export.variants import write_variant
from stdl_events.live.session import OnnxSession

Make = Callable[..., Any]
NETWORKS = ("4C3-AP2-6C3-8C3-3FC", "4C3-8R(s2)-8R-3FC", "4C3-3FC")


def turned(path: Path, tmp_path: Path) -> int:
    """Number of turns in a step as onnxruntime runs it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)["Transpose"]


@pytest.mark.parametrize("notation", NETWORKS)
def test_numbers_are_those_of_channels_first(trained: Make, tmp_path: Path, monkeypatch, notation: str) -> None:
    export_onnx(*trained(notation), tmp_path / "float.onnx", steps=20)
    clips_NTCHW = np.random.default_rng(0).poisson(0.6, (12, 6, 2, 12, 12)).astype(np.uint8)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "last.onnx")
    monkeypatch.setattr(quantize, "states_channels_last", lambda model: None)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "first.onnx")
    ours, theirs = OnnxSession(tmp_path / "last.onnx"), OnnxSession(tmp_path / "first.onnx")
    state, other_state = ours.initial_state(12), theirs.initial_state(12)
    spoke = False
    for frames_NCHW in clips_NTCHW.swapaxes(0, 1):
        logits, state = ours.step(frames_NCHW, state)
        other_logits, other_state = theirs.step(frames_NCHW, other_state)
        np.testing.assert_array_equal(logits, other_logits)
        for number, (entry, other) in enumerate(zip(state, other_state, strict=True)):
            is_last = number > 0 and other.ndim == 4
            assert ours.card.state_shapes[number] == entry.shape[1:]
            np.testing.assert_array_equal(entry.transpose(0, 3, 1, 2) if is_last else entry, other)
        spoke = spoke or bool(logits.any())
    assert spoke, "silent networks are alike"


def test_one_turn_is_left_that_of_the_first_spikes(trained: Make, tmp_path: Path, monkeypatch) -> None:
    export_onnx(*trained("16C3-16C3-16C3-3FC"), tmp_path / "float.onnx", steps=20)
    clips_NTCHW = np.random.default_rng(0).poisson(0.6, (12, 6, 2, 12, 12)).astype(np.uint8)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "last.onnx")
    assert turned(tmp_path / "last.onnx", tmp_path) == 1
    monkeypatch.setattr(quantize, "states_channels_last", lambda model: None)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "first.onnx")
    assert turned(tmp_path / "first.onnx", tmp_path) > 2
