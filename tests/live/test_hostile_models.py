"""A model file from a stranger is refused in a line, or runs; nothing outside it is read, and memory is bounded."""

import fuzz_models
import numpy as np
import onnx
import pytest
from hostile_models import CORPUS, constant, external
from onnx import helper
from onnx_models import make_card, stream_spec, write_model
from opened_files import opened_files

from stdl_events.errors import ModelError
from stdl_events.live import OnnxSession
from stdl_events.live.onnx_file import OPERATORS, read_onnx_file, weights_sha256


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> onnx.ModelProto:
    return onnx.load(write_model(tmp_path_factory.mktemp("good") / "m.onnx", make_card(stream_spec())))


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def run(path) -> np.ndarray:
    session = OnnxSession(path)
    frame_BCHW = np.ones((1, *session.card.frame.frame_shape_CHW), np.uint16)
    logits_BK, _ = session.step(frame_BCHW, session.initial_state())
    return logits_BK


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused_or_runs(name, good, tmp_path):
    bytes_of, word = CORPUS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes_of(copy_of(good)))
    if word is None:
        assert run(path).shape == (1, 3)
        return
    with pytest.raises(ModelError) as caught:
        run(path)
    text = str(caught.value)
    assert word in text
    assert "\n" not in text
    assert len(text) < 1000
    assert text.isprintable()


def test_the_corpus_is_of_a_hundred_files_and_more():
    assert len(CORPUS) > 100


def test_channels_that_are_joined_to_few_are_no_growth(good, tmp_path):
    """A densely connected network: each layer joins what is there with what a convolution makes of it."""
    model, last = copy_of(good), "frame"
    constant(model, "kernel", np.ones((2, 2, 1, 1), np.float32))
    for index in range(40):
        model.graph.node.append(helper.make_node("Conv", [last, "kernel"], [f"c{index}"]))
        model.graph.node.append(helper.make_node("Concat", [last, f"c{index}"], [f"d{index}"], axis=1))
        last = f"d{index}"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert read_onnx_file(tmp_path / "m.onnx").operators["Concat"] == 40


def test_data_beside_the_file_is_not_read(good, tmp_path):
    """onnxruntime would read it: the file could choose what of its folder becomes weights."""
    model = copy_of(good)
    values = model.graph.initializer[1].raw_data
    external("weights.bin")(model)
    (tmp_path / "weights.bin").write_bytes(values)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="in another file"):
        OnnxSession(tmp_path / "m.onnx")


def test_damaged_files_and_cards_are_refused_or_run(tmp_path):
    """Bytes, fields and cards changed, removed and repeated at random, and cut off: no exception but the package's."""
    (tmp_path / "models").mkdir()
    (tmp_path / fuzz_models.ABOVE).write_bytes(bytes(100))
    (tmp_path / "models" / fuzz_models.BESIDE).write_bytes(bytes(100))
    good = [data for data in fuzz_models.seeds() if len(data) < 4_000]
    with opened_files([tmp_path / "models", tmp_path]) as opened:
        outcomes = fuzz_models.run(tmp_path / "models", good, range(300), seed=0)
    assert {name.split(": ")[1] for name in outcomes} == {"refused", "runs"}
    assert {name.split(": ")[0] for name in outcomes} == set(fuzz_models.DAMAGES)
    assert outcomes.total() == 300
    assert set(opened) == {tmp_path / "models" / fuzz_models.MODEL}


def test_a_file_that_is_opened_is_seen(tmp_path):
    with opened_files([tmp_path]) as opened:
        (tmp_path / "secret.bin").write_bytes(b"1")
    assert opened == [tmp_path / "secret.bin"]


def test_changed_weights_are_found_by_the_card(good, tmp_path):
    card = make_card(stream_spec(), weights_sha256=weights_sha256(good.SerializeToString()))
    path = write_model(tmp_path / "m.onnx", card)
    assert read_onnx_file(path).weights_sha256 == card.weights_sha256
    assert run(path).shape == (1, 3)
    model = onnx.load(path)
    weights = model.graph.initializer[1]
    weights.raw_data = np.float32(np.nextafter(np.frombuffer(weights.raw_data, np.float32), np.float32(1))).tobytes()
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="it was changed since"):
        OnnxSession(path)


def test_the_checksum_is_of_values_and_not_of_their_order(good):
    one, other = copy_of(good), copy_of(good)
    tensors = [*other.graph.initializer]
    del other.graph.initializer[:]
    other.graph.initializer.extend(reversed(tensors))
    assert one.SerializeToString() != other.SerializeToString()
    assert weights_sha256(one.SerializeToString()) == weights_sha256(other.SerializeToString())


def test_the_operators_are_standard_ones():
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert known >= OPERATORS
