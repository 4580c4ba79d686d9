"""A bundle contains the network, its SHA-256 and its card, nothing else, and is restored bit for bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import stdl_events
from stdl_events.errors import ModelError, RunError
from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.training.bundle import load_bundle, package_versions, save_bundle


@pytest.fixture
def network() -> SpikingNetwork:
    return SpikingNetwork.build(NetworkSpec.parse("4C3-AP2-6R-3FC", input_shape=(2, 8, 8)), seed=3)


@pytest.fixture
def card(network: SpikingNetwork) -> ModelCard:
    return ModelCard(
        network=network.spec.to_dict(),
        frame=FrameSpec.parse({"kind": "stream", "steps": 4, "dt_us": 1000, "sensor_size": (8, 8)}),
        labels=("a", "b", "c"),
        readout="reset",
        state_shapes=network.state_shapes,
    )


def test_network_and_card_come_back(tmp_path: Path, network: SpikingNetwork, card: ModelCard) -> None:
    save_bundle(tmp_path / "bundle", network, card)
    loaded, loaded_card = load_bundle(tmp_path / "bundle")
    assert loaded_card == card
    assert not loaded.training
    saved = load_file(tmp_path / "bundle" / "model.safetensors")
    assert saved.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_newer_bundle_replaces_the_older_one(tmp_path: Path, network: SpikingNetwork, card: ModelCard) -> None:
    save_bundle(tmp_path / "bundle", network, card)
    (tmp_path / "bundle" / "stale").touch()
    other = SpikingNetwork.build(network.spec, seed=4)
    save_bundle(tmp_path / "bundle", other, card)
    loaded, _ = load_bundle(tmp_path / "bundle")
    assert torch.equal(next(loaded.parameters()), next(other.parameters()))
    assert not (tmp_path / "bundle" / "stale").exists()


def test_damaged_bundles_are_named(tmp_path: Path, network: SpikingNetwork, card: ModelCard) -> None:
    folder = tmp_path / "bundle"
    with pytest.raises(RunError, match=r"got nothing there; .*, or let the training finish"):
        load_bundle(folder)
    save_bundle(folder, network, card)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"model\.safetensors: got damaged weights, SHA-256 .*; use an undamaged bundle"):
        load_bundle(folder)
    (folder / "model.safetensors.sha256").unlink()  # as in bundles of older versions
    weights.write_bytes(whole[:-5])
    with pytest.raises(RunError, match=r"got weights that do not load .*expected the weights of 4C3-AP2-6R-3FC"):
        load_bundle(folder)
    save_file({"layers.0.body.synapse.conv.weight": torch.zeros(1)}, weights)
    with pytest.raises(RunError, match="got weights that do not load"):
        load_bundle(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json: got no JSON"):
        load_bundle(folder)


def test_card_of_no_network_is_named(tmp_path: Path, network: SpikingNetwork, card: ModelCard) -> None:
    save_bundle(tmp_path / "bundle", network, card.model_copy(update={"network": {"notation": "4C3"}}))
    with pytest.raises(ModelError, match=r"model\.json: network: got a document without"):
        load_bundle(tmp_path / "bundle")


def test_versions_are_those_of_the_code_that_runs() -> None:
    versions = package_versions()
    assert versions["stdl-events"] == stdl_events.__version__
    assert versions["torch"] == torch.__version__
