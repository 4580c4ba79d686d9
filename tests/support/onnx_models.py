"""Tiny exported models with a numpy reference: a leaky count of each polarity with a linear readout."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stdl_events.frames import FrameSpec
from stdl_events.model_card import METADATA_KEY, ModelCard

LEAK = np.float32(0.5)
WEIGHTS_CK = np.array([[0.02, -0.01, 0.0], [-0.01, 0.02, 0.0]], np.float32)
BIAS_K = np.array([0.0, 0.0, 0.05], np.float32)
LABELS = ("dark", "bright", "still")


def stream_spec(sensor_size=(8, 6), steps=4, dt_us=10_000, **settings) -> FrameSpec:
    settings = {"grid": "clock"} | settings if dt_us else settings
    return FrameSpec(kind="stream", steps=steps, sensor_size=sensor_size, dt_us=dt_us, **settings)


def make_card(frame: FrameSpec, **changes) -> ModelCard:
    entries = {
        "network": {"notation": "leaky count"},
        "frame": frame,
        "labels": LABELS,
        "readout": "reset",
        "state_shapes": ((2,),),
    }
    return ModelCard(**(entries | changes))


def write_model(path: Path, card: ModelCard | None, *, frame_CHW=None, state=(2,), elem=TensorProto.FLOAT) -> Path:
    """state' = LEAK * state + events of each polarity; logits = state' @ WEIGHTS_CK + BIAS_K."""
    dtype = helper.tensor_dtype_to_np_dtype(elem)
    frame_CHW = frame_CHW or (card.frame.frame_shape_CHW if card else (2, 6, 8))
    constants = {
        "leak": np.array(LEAK, dtype),
        "weights": WEIGHTS_CK.astype(dtype),
        "bias": BIAS_K.astype(dtype),
        "pixels": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("ReduceSum", ["frame", "pixels"], ["counts"], keepdims=0),
        helper.make_node("Mul", ["state_0", "leak"], ["decayed"]),
        helper.make_node("Add", ["decayed", "counts"], ["next_state_0"]),
        helper.make_node("MatMul", ["next_state_0", "weights"], ["weighted"]),
        helper.make_node("Add", ["weighted", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "leaky_count",
        [
            helper.make_tensor_value_info("frame", elem, ["batch", *frame_CHW]),
            helper.make_tensor_value_info("state_0", elem, ["batch", *state]),
        ],
        [
            helper.make_tensor_value_info("logits", elem, ["batch", len(BIAS_K)]),
            helper.make_tensor_value_info("next_state_0", elem, ["batch", *state]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    if card is not None:
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return path


def expected_logits(frames_TCHW: np.ndarray) -> np.ndarray:
    """Return logits_TK of a run from the zero state, by numpy alone."""
    state_C, logits = np.zeros(2, np.float64), []
    for counts_CHW in frames_TCHW:
        state_C = LEAK * state_C + counts_CHW.sum(axis=(1, 2))
        logits.append(state_C @ WEIGHTS_CK.astype(np.float64) + BIAS_K)
    return np.array(logits)


def softmax(logits_K: np.ndarray) -> np.ndarray:
    weights_K = np.exp(logits_K - logits_K.max())
    return weights_K / weights_K.sum()
