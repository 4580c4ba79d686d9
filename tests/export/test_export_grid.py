"""The grid of `tests/benchmarks/run_export_grid.py`: it is whole, and one point of it is exported here."""

import itertools
from dataclasses import asdict

import pytest
from export_grid import Case, check, covering, eventcv_difference, grid, most_weights, shrunk, warmed

from stdl_events.live import OnnxSession
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.registries import NEURONS, NORMS
from stdl_events.network.zoo import list_networks


def test_it_holds_every_named_network_neuron_norm_and_classifier() -> None:
    cases = grid()
    assert len(set(cases)) == len(cases) == len(list_networks()) * len(NEURONS) * len(NORMS) * 2
    for case in cases:
        spec = shrunk(case)
        assert (spec.neuron.kind, spec.norm, spec.classifier) == (case.neuron, case.norm, case.classifier)
        assert max(layer.body.channels for layer in spec.layers) <= 128


def test_a_covering_selection_holds_every_pair() -> None:
    cases = grid()
    chosen = covering(cases)
    assert len(chosen) < len(cases) / 4
    for one, other in itertools.combinations(asdict(cases[0]), 2):
        assert {(getattr(case, one), getattr(case, other)) for case in chosen} == {
            (getattr(case, one), getattr(case, other)) for case in cases
        }


def test_one_point_agrees_over_200_steps() -> None:
    row = check(Case("vgg-small", "plif", "ws", "spiking"))
    assert row["verification"]["steps"] == 200
    assert row["verification"]["largest_difference"] <= 1e-4
    assert row["verification"]["silent_layers"] == []


def test_more_weights_than_the_network_has_are_noticed() -> None:
    network = warmed(SpikingNetwork.build(shrunk(Case("vgg-small", "lif", "batch", "linear")), seed=1))
    shipped = OnnxSession("models:nmnist")
    assert most_weights(network) < shipped.file.weights, "a file of a larger network would be found"
    with pytest.raises(ValueError, match="32"):
        eventcv_difference(shipped)
