"""A model file runs only if it matches its card."""

import numpy as np
import pytest
from onnx import TensorProto
from onnx_models import LABELS, expected_logits, make_card, stream_spec, write_model

from stdl_events.errors import ModelError
from stdl_events.live import OnnxSession


def test_steps_are_the_numpy_steps_and_state_is_explicit(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    frames_TCHW = np.random.default_rng(0).integers(0, 9, (6, 2, 6, 8), np.uint16)
    state = session.initial_state()
    assert [tensor.shape for tensor in state] == [(1, 2)]
    outcomes = []
    for counts_CHW in frames_TCHW:
        logits_BK, state = session.step(counts_CHW[np.newaxis], state)
        outcomes.append(logits_BK[0])
    np.testing.assert_allclose(outcomes, expected_logits(frames_TCHW), rtol=1e-5)
    # the same first step again: the session keeps no state
    again, _ = session.step(frames_TCHW[:1], session.initial_state())
    np.testing.assert_array_equal(again[0], outcomes[0])


def test_batches(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    frames_BCHW = np.random.default_rng(1).integers(0, 9, (3, 2, 6, 8), np.uint16)
    logits_BK, state = session.step(frames_BCHW, session.initial_state(3))
    assert logits_BK.shape == (3, len(LABELS))
    assert state[0].shape == (3, 2)
    for frame_CHW, logits_K in zip(frames_BCHW, logits_BK, strict=True):
        np.testing.assert_allclose(logits_K, expected_logits(frame_CHW[np.newaxis])[0], rtol=1e-5)


def test_half_precision_models_keep_their_state_in_half_precision(tmp_path):
    path = write_model(tmp_path / "m.onnx", make_card(stream_spec()), elem=TensorProto.FLOAT16)
    session = OnnxSession(path)
    assert session.initial_state()[0].dtype == np.float16
    logits_BK, state = session.step(np.ones((1, 2, 6, 8), np.uint16), session.initial_state())
    assert (logits_BK.dtype, state[0].dtype) == (np.float32, np.float16)
    np.testing.assert_allclose(logits_BK, expected_logits(np.ones((1, 2, 6, 8))), rtol=1e-2)


def refusal(path) -> str:
    with pytest.raises(ModelError) as caught:
        OnnxSession(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_models(tmp_path):
    assert "none.onnx: got no such file; expected an exported .onnx model; check the path" in refusal(
        tmp_path / "none.onnx"
    )
    assert "got a folder; expected an exported .onnx model" in refusal(tmp_path)
    text = tmp_path / "text.onnx"
    text.write_text("not a model\n")
    assert "text.onnx: got a file that is no ONNX model (" in refusal(text)
    text.write_bytes(b"")
    assert "got a graph of 0 nodes; expected 1 to" in refusal(text)
    whole = write_model(tmp_path / "m.onnx", make_card(stream_spec())).read_bytes()
    text.write_bytes(whole[: len(whole) // 2])
    assert "got a file that is no ONNX model (" in refusal(text)


def test_models_without_a_card(tmp_path):
    message = refusal(write_model(tmp_path / "m.onnx", None))
    assert "got no model card in its metadata; expected the entry stdl_events.model_card; export it with" in message


def test_a_card_that_is_no_text(tmp_path):
    path = write_model(tmp_path / "m.onnx", make_card(stream_spec(), labels=("a", "?", "c")))
    path.write_bytes(path.read_bytes().replace(b'"?"', b'"\xff"'))
    assert "m.onnx: got a file that is no ONNX model (String field had bad UTF-8)" in refusal(path)


@pytest.mark.parametrize(
    ("card", "file", "text"),
    [
        (
            {},
            {"frame_CHW": (2, 6, 9)},
            "got the inputs frame[2, 6, 9], state_0[2]; expected frame[2, 6, 8], state_0[2]",
        ),
        ({"state_shapes": ((2,), (3,))}, {}, "expected frame[2, 6, 8], state_0[2], state_1[3], as its model card says"),
        ({"labels": ("a", "b")}, {}, "got the outputs logits[3], next_state_0[2]; expected logits[2], next_state_0[2]"),
        (
            {},
            {"elem": TensorProto.DOUBLE},
            "got frame of type tensor(double); expected tensor(float) or tensor(float16)",
        ),
    ],
)
def test_models_that_contradict_their_card(tmp_path, card, file, text):
    assert text in refusal(write_model(tmp_path / "m.onnx", make_card(stream_spec(), **card), **file))


def test_frames_of_another_shape_are_refused(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    with pytest.raises(
        ModelError, match=r"got a frame of shape \(1, 2, 8, 6\) and 1 state tensors; expected \(batch, 2"
    ):
        session.step(np.zeros((1, 2, 8, 6)), session.initial_state())
    with pytest.raises(ModelError, match="and 0 state tensors"):
        session.step(np.zeros((1, 2, 6, 8)), ())
    with pytest.raises(
        ModelError, match=r"got state_0 of shape \(1, 2\); expected \(3, 2\), as a frame of shape \(3, 2"
    ):
        session.step(np.zeros((3, 2, 6, 8)), session.initial_state())
