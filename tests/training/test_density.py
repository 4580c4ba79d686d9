"""Densities at the layers of a network: by stepping its layers one by one, and names of layers of neurons."""

import pytest
import torch

from stdl_events.network.network import SpikingNetwork
from stdl_events.network.populations import populations
from stdl_events.network.spec import NetworkSpec
from stdl_events.training.checkpoint import load_checkpoint, save_checkpoint
from stdl_events.training.evaluation.density import DensityCount
from stdl_events.training.evaluation.evaluate_clips import network_logits
from stdl_events.training.position import Means, Position


def build(notation: str, **settings: object) -> SpikingNetwork:
    return SpikingNetwork.build(NetworkSpec.parse(notation, input_shape=(2, 8, 8), **settings), seed=1).eval()


def share(x: torch.Tensor) -> float:
    return float((x != 0).double().mean())


def test_densities_are_those_of_the_layers_stepped_one_by_one() -> None:
    network = build("4C3-AP2-6C3-AP2-5FC-3FC")
    frames_TBCHW = torch.poisson(torch.full((3, 4, 2, 8, 8), 0.8), torch.Generator().manual_seed(0)).to(torch.uint8)
    behind, entering = ([[], [], []] for _ in range(2))
    states = [layer.initial_state(4) for layer in network.layers_in_order()]
    with torch.no_grad():
        for frame in frames_TBCHW:
            x = frame.float()
            for index, layer in enumerate(network.layers_in_order()[:3]):
                entering[index].append(share(layer.before(x)))
                x, states[index] = layer.body.step(layer.before(x), states[index])
                behind[index].append(share(x))
                x = layer.after(x)
    count = DensityCount(network)
    with count.counting():
        for batch in (frames_TBCHW[:, :1], frames_TBCHW[:, 1:]):
            network_logits(network)(batch.numpy())
    network_logits(network)(frames_TBCHW.numpy())  # not counted
    found = count.read()
    assert [layer.name for layer in found.layers] == ["layers.0", "layers.1", "layers.2"]
    assert [layer.notation for layer in found.layers] == ["4C3-AP2", "6C3-AP2", "5FC"]
    rates, inputs = ([sum(own) / 3 for own in each] for each in (behind, entering))
    assert [layer.rate for layer in found.layers] == pytest.approx(rates, rel=1e-12)
    assert [layer.entering for layer in found.layers] == pytest.approx(inputs, rel=1e-12)
    assert found.mean_rate == pytest.approx(sum(rates) / 3)
    assert found.mean_entering == pytest.approx(sum(inputs[1:]) / 2)
    assert rates[1] < inputs[2], "pooling spreads spikes"


@pytest.mark.parametrize(
    ("notation", "names"),
    [
        ("6C3-8R(s2)-8SEWR-3FC", "0 1.first 1.second 2.first 2.second"),
        ("6C3-8SEWR(s2)-9FC-3FC", "0 1.first 1.second 1.shortcut 2"),
        ("6S3-8NFR(s2)-3FC", "1.units.0 1.units.1"),
    ],
)
def test_layers_of_neurons_have_names(notation: str, names: str) -> None:
    assert list(populations(build(notation, norm="ws"))) == [f"layers.{name}" for name in names.split()]


def test_a_spiking_classifier_is_no_layer_whose_spikes_another_receives() -> None:
    assert list(populations(build("6C3-3FC", classifier="spiking"), first=2)) == ["layers.2"]


def test_rates_are_means_over_clips_and_survive_a_checkpoint(tmp_path) -> None:
    position = Position()
    for samples, rate in ((4, 0.1), (1, 0.6)):
        metrics = {"loss": torch.tensor(1.0), "correct": torch.tensor(samples), "rate_layers.0": torch.tensor(rate)}
        position.row.add(metrics | {"rate_layers.1": torch.tensor(0.0)}, samples, 1.0)
    save_checkpoint(tmp_path / "state", position.to_state())
    row = Position.from_state(load_checkpoint(tmp_path / "state")).row.read()
    assert row["rate_layers.0"] == pytest.approx(0.2)
    assert row["mean_rate"] == pytest.approx(0.1)
    assert not any("rate_" in key for key in Means(1, 1.0).read())
