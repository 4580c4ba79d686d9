"""Exported files of networks with membrane potentials in eight bits: they compute what was trained, and say so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from stdl_events.cli.model_facts import describe_model, model_table
from stdl_events.errors import ModelError
from stdl_events.export.nir import export_nir
from stdl_events.export.onnx import export_onnx
from stdl_events.export.variants import write_variant
from stdl_events.export.verify import compare
from stdl_events.live.session import OnnxSession
from stdl_events.model_card import METADATA_KEY, ModelCard, StateFormat
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.training.bundle import load_bundle, save_bundle, state_format

NEURON = NeuronSpec(decay=0.5, threshold=0.5, state="int8")
Q = 1 / 128
STEPS = 12


@pytest.fixture(scope="module")
def exported(card_of: Callable[[SpikingNetwork], ModelCard], tmp_path_factory) -> tuple[SpikingNetwork, Path]:
    """A network whose currents are multiples of 1/1024, so that float32 sums them exactly; and its file."""
    network = SpikingNetwork.build(NetworkSpec.parse("3C1-5C1-3FC", input_shape=(2, 4, 4), neuron=NEURON, norm="none"))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-900, 900, parameter.shape, generator=generator) / 1024)
    card = card_of(network).model_copy(update={"state_format": state_format(network)})
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(network, card, path, steps=20)
    return network, path


def frames() -> np.ndarray:
    return np.random.default_rng(1).poisson(0.5, (STEPS, 3, 2, 4, 4)).astype(np.float32)


def literal(network: SpikingNetwork, frames_TBCHW: np.ndarray) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Logits and kept integers of each step: the two layers in float64, written out."""
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    kept = [np.zeros((3, count, 4, 4)) for count in (3, 5)]
    logits, states = [], []
    for x in frames_TBCHW.astype(np.float64):
        for layer in range(2):
            name = f"layers.{layer}.body.synapse.conv."
            current = np.einsum("oi,bihw->bohw", weights[name + "weight"][:, :, 0, 0], x)
            current = current + weights[name + "bias"][:, None, None]
            m = current + 0.5 * Q * kept[layer]
            x = (m >= 0.5).astype(np.float64)
            kept[layer] = np.clip(np.rint((m - 0.5 * x) / Q), -128, 127)
        logits.append(x.mean((2, 3)) @ weights["layers.2.body.linear.weight"].T + weights["layers.2.body.linear.bias"])
        states.append([entry.copy() for entry in kept])
    return logits, states


def test_the_file_is_the_transcription_bit_for_bit(exported):
    network, path = exported
    session = OnnxSession(path)
    state, ours = session.initial_state(3), network.eval().initial_state(3)
    logits, states = literal(network, frames())
    for frame_BCHW, expected_BK, expected in zip(frames(), logits, states, strict=True):
        found_BK, state = session.step(frame_BCHW, state)
        with torch.no_grad():
            _, ours = network.step(torch.from_numpy(frame_BCHW), ours)
        for file_kept, network_kept, kept in zip(state, ours, expected, strict=True):
            assert file_kept.dtype == np.int8
            assert np.array_equal(file_kept, kept)
            assert np.array_equal(network_kept.numpy(), kept)
        np.testing.assert_allclose(found_BK, expected_BK, atol=1e-6)
    assert {-128, 127} <= set(np.concatenate([entry.ravel() for entry in state]).tolist()), "some were clamped"


def test_card_and_info_say_it(exported):
    _, path = exported
    session = OnnxSession(path)
    assert session.card.state_format == StateFormat(dtype="int8", scale=Q)
    assert session.card.network["neuron"]["state"] == "int8"
    assert 0 < session.card.verification.at_the_ends < 1
    rows = model_table(describe_model(path)).columns[1]._cells
    stated = next(str(cell) for cell in rows if "zeroed at each clip" in str(cell))
    assert stated == "zeroed at each clip; int8, potentials of -1 to 0.992188 in steps of 0.0078125"


def test_a_bundle_keeps_it(exported, tmp_path):
    network, path = exported
    save_bundle(tmp_path / "bundle", network, OnnxSession(path).card)
    loaded, card = load_bundle(tmp_path / "bundle")
    assert card.state_format == StateFormat(dtype="int8", scale=Q)
    assert loaded.spec == network.spec
    assert compare(loaded, path, steps=5).largest_difference < 1e-6


def test_a_potential_rounded_to_the_neighbour_is_counted_and_another_one_is_a_difference(exported, tmp_path):
    """A bias moved by 2^-20 changes what lies within that of the middle between two integers, and nothing else."""
    network, path = exported
    moved = SpikingNetwork.build(network.spec)
    moved.load_state_dict(network.state_dict())
    for by, fine in ((2.0**-20, True), (0.3 * Q, False)):
        with torch.no_grad():
            moved.layers[0].body.synapse.conv.bias.copy_(network.layers[0].body.synapse.conv.bias + by)
        found = compare(moved, path, steps=20)
        assert (found.near_rounding > 0) == fine
        assert (found.problem() is None) == fine, found.problem()


def test_a_card_of_another_state_is_refused(exported, card_of, tmp_path):
    network, path = exported
    with pytest.raises(ModelError, match="expected the card of 3C1-5C1-3FC"):
        export_onnx(network, card_of(network), tmp_path / "m.onnx")
    model = onnx.load(path)
    card = OnnxSession(path).card.model_copy(update={"state_format": None})
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"state_0 of type int8; expected float32 or float16, as its model card says"):
        OnnxSession(tmp_path / "other.onnx")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_variants_keep_the_state(exported, tmp_path, precision):
    _, path = exported
    clips_NTCHW = np.random.default_rng(3).poisson(0.5, (20, 5, 2, 4, 4)).astype(np.uint8)
    write_variant(precision, path, clips_NTCHW, tmp_path / "variant.onnx")
    assert {entry.dtype for entry in OnnxSession(tmp_path / "variant.onnx").initial_state()} == {np.dtype(np.int8)}


def test_nir_refuses_it(exported, tmp_path):
    network, path = exported
    with pytest.raises(ModelError, match=r"membrane potentials in eight bits .*, which NIR does not have; .* to .onnx"):
        export_nir(network, OnnxSession(path).card, tmp_path / "m.nir")
