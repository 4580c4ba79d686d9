"""The cost model: its equations on one block, written out; and the paper's figures."""

import json

import pytest
from typer.testing import CliRunner

from stdl_events.analysis.cost import (
    Block,
    Cost,
    Schedule,
    Unit,
    classifier_of,
    memory_by_equation,
    training_cost,
    units_of,
)
from stdl_events.cli import app
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec

B, ALPHA = 4, 0.25
W1, W2, WC = 50, 300, 60
N1, N2, NC = 20, 30, 6
M1, M2 = 1000, 900
UNITS = (Unit(W1, N1, M1, past=False), Unit(W2, N2, M2))


def cost(interval, *, steps=5, learning=None, traces=0, learns=True, blocks=1):
    schedule = Schedule(steps, interval, -(-steps // interval) if learning is None else learning, traces)
    block = Block(UNITS, Unit(WC, NC, WC), learns)
    return training_cost([block] * blocks, schedule, batch_size=B, activity=ALPHA, memory_bytes=1.0)


def test_accesses_are_equations_11_to_13():
    """T = 5 with intervals of 2, 2 and 1 steps."""
    u1, u2, uc = B * N1, B * N2, B * NC
    forward = (W1 + u1) + (W2 + u2) + (WC + uc) + (u1 + u2 + uc)
    middle_reads = (W1 + 2 * u1) + (W2 + 2 * u2) + W2 + 2 * WC + 3 * uc
    last_reads = W2 + u1 + WC
    gradients, errors = W1 + W2 + WC, u1 + u2 + uc
    expected = 5 * forward + 2 * (middle_reads + errors) + 3 * last_reads + 5 * gradients
    assert cost(2).accesses == expected
    assert cost(2, blocks=3).accesses == 3 * expected


def test_operations_are_equations_14_to_16():
    forward = ALPHA * B * (M1 + M2 + WC)
    backward = 2 * B * (N1 + N2 + NC) + B * ALPHA * (W1 + W2 + WC)
    assert cost(2).additions == pytest.approx(5 * (forward + backward))
    assert cost(2).macs == 5 * B * (M2 + WC)


def test_random_classifiers_leave_out_their_weights():
    trained, random = cost(5), cost(5, learns=False)
    assert trained.accesses - random.accesses == 5 * WC + (4 * 2 + 1) * WC + 5 * WC
    assert trained.additions - random.additions == pytest.approx(5 * B * ALPHA * WC)
    assert trained.macs == random.macs


def test_steps_without_backward_cost_their_forward_alone():
    none, one, all_of_them = (cost(1, learning=count) for count in (0, 1, 5))
    assert none.macs == 0
    assert one.macs == all_of_them.macs / 5
    assert all_of_them.accesses - none.accesses == pytest.approx(5 * (one.accesses - none.accesses))


def test_traces_are_read_written_and_multiplied():
    plain, traced = cost(1), cost(1, traces=1)
    neurons = B * (N1 + N2)
    assert traced.accesses - plain.accesses == 5 * 3 * neurons
    assert plain.additions - traced.additions == pytest.approx(5 * B * ALPHA * (W2 + WC))
    assert traced.macs - plain.macs == 5 * (B * (W2 + WC) + neurons)


def test_memory_is_equations_8_to_10():
    assert memory_by_equation([10.0], 4, 100.0) == 4 * 10 + 100
    assert memory_by_equation([10.0, 30.0, 20.0], 1, 100.0, 7.0) == 30 + 107
    assert memory_by_equation([10.0, 30.0, 20.0], 3, 100.0) == 2 * 60 + 30 + 100


def test_the_figure_of_merit_is_equation_17():
    ours, baseline = Cost(1.0, 20.0, 330.0, 4.0), Cost(4.0, 40.0, 300.0, 40.0)
    assert ours.figure_of_merit(baseline, 0.02) == pytest.approx(0.02 + 0.25 * (0.25 + 0.5 + 1.1 + 0.1))
    assert baseline.figure_of_merit(baseline, 0.0) == 1.0


@pytest.mark.parametrize(
    "notation",
    ["AP2-3C5(s2p1)-4R-5R(s2)-AP2-6SEWR-6SEWR(s2)-7FC", "4S3-4NFR-8NFR(s2)-16NFB(s2)-16NFB"],
)
def test_units_have_the_networks_weights_and_neurons(notation):
    spec = NetworkSpec.parse(notation + "-3FC", input_shape=(2, 32, 32), norm="none")
    units, classifier = units_of(spec.layers[:-1], first=True), classifier_of(spec)
    network = SpikingNetwork.build(spec)
    counted = sum(weight.numel() for name, weight in network.named_parameters() if name.endswith("weight"))
    assert sum(unit.weights for unit in units) + classifier.weights == counted
    neurons = sum(channels * height * width for channels, height, width in network.state_shapes)
    assert sum(unit.neurons for unit in units) == neurons
    assert [unit.past for unit in units] == [False] + [True] * (len(units) - 1)


# Table 2 omits paddings; these reproduce the paper's figures.
LENET_1 = NetworkSpec.parse("6C5-AP2-16C5(p0)-AP2-120C5(p0)-128FC-47FC", input_shape=(1, 28, 28), classifier="spiking")
ALEXNET = "96C3(s2)-256C3-AP2-384C3-AP2-512C3-384C3-256C3-4096FC-1024FC-10FC"


def blocks_of(spec, n, *, learns=True):
    layers = len(spec.layers) - 1
    stops = [*range(n, layers, n), layers]
    classifier = str(spec.layers[-1])
    return [
        Block(
            units_of(spec.layers[start:stop], first=start == 0),
            classifier_of(spec if stop == layers else spec.auxiliary(classifier, stop)),
            learns,
        )
        for start, stop in zip([0, *stops], stops, strict=False)
    ]


def share(spec, steps, k, n, *, learns=True, activity=0.2, base=None):
    base_k, base_n = base or (steps, 99)
    costs = [
        training_cost(
            blocks_of(spec, layers, learns=trains),
            Schedule(steps, interval, -(-steps // interval)),
            batch_size=128,
            activity=activity,
            memory_bytes=1.0,
        )
        for interval, layers, trains in ((k, n, learns), (base_k, base_n, learns if base and base_n == n else True))
    ]
    return costs[0].relative_to(costs[1])


def test_the_papers_figures_for_lenet_1():
    """Section IV-B: 72 % fewer MACs with LBP1; 55 % fewer accesses by truncation; 23 % fewer than BP at k = 1; up to
    32 % more additions, 16 % with random classifiers."""
    assert 1 - share(LENET_1, 20, 20, 1).macs == pytest.approx(0.72, abs=0.005)
    assert 1 - share(LENET_1, 20, 1, 1, base=(20, 1)).accesses == pytest.approx(0.55, abs=0.015)
    assert 1 - share(LENET_1, 20, 1, 1, base=(1, 99)).accesses == pytest.approx(0.23, abs=0.01)
    assert 1 - share(LENET_1, 20, 1, 1, learns=False, base=(1, 99)).accesses == pytest.approx(0.29, abs=0.04)
    assert share(LENET_1, 20, 20, 1, activity=1.0).additions - 1 == pytest.approx(0.32, abs=0.01)
    assert share(LENET_1, 20, 20, 1, activity=1.0, learns=False).additions - 1 == pytest.approx(0.16, abs=0.02)


def test_the_papers_figures_for_alexnet():
    """31 % and 33 % fewer accesses than BP at k = 1 with trainable and random classifiers, 99 % fewer MACs, 1 % more
    additions; on CIFAR10-DVS with (10, 1) 10.79 % fewer accesses and 99.64 % fewer MACs than BPTT."""
    spec = NetworkSpec.parse(ALEXNET, input_shape=(3, 32, 32), classifier="spiking")
    assert 1 - share(spec, 10, 1, 1, base=(1, 99)).accesses == pytest.approx(0.31, abs=0.01)
    assert 1 - share(spec, 10, 1, 1, learns=False, base=(1, 99)).accesses == pytest.approx(0.33, abs=0.01)
    assert 1 - share(spec, 10, 10, 1).macs > 0.99
    assert share(spec, 10, 10, 1).additions - 1 == pytest.approx(0.0066, abs=0.005)
    events = NetworkSpec.parse(ALEXNET, input_shape=(2, 128, 128), classifier="spiking")
    assert 1 - share(events, 100, 10, 1).accesses == pytest.approx(0.1079, abs=0.03)
    assert 1 - share(events, 100, 10, 1).macs == pytest.approx(0.9964, abs=0.001)


SETTING = ["--network", "8C3-AP2-8R-4FC", "--input", "2x8x8", "--classes", "4", "--batch", "8", "--steps", "4"]


def run(*arguments):
    return CliRunner().invoke(app, ["cost", *SETTING, *arguments])


def test_the_command_prints_every_rule_as_json():
    document = json.loads(run("--json", "--activity", "0.2", "--rho", "2").stdout)
    costs = {row["rule"]: row for row in document["rules"]}
    assert len(costs) == 14
    assert costs["bptt"]["figure_of_merit"] == 1.0
    assert set(costs["bptt"]["relative_to_bptt"].values()) == {1.0}
    assert costs["sltt"]["macs"] == costs["bptt"]["macs"]
    assert costs["sltt-k"]["macs"] == costs["sltt"]["macs"] / 4
    assert costs["ottt-a"]["accesses"] > costs["sltt"]["accesses"]
    assert costs["decolle"]["accesses"] < costs["ell"]["accesses"]
    assert costs["sltt"]["memory_bytes"] < costs["bptt"]["memory_bytes"]
    for row in costs.values():
        assert row["memory_by_equation"] > 0


def test_the_command_takes_one_rule_with_options_and_prints_a_table():
    arguments = ["--rule", "tbptt", "--option", "k=2", "--option", "n=1", "--option", "classifier=random"]
    assert "tbptt" in run(*arguments).stdout
    (row,) = json.loads(run(*arguments, "--accuracy-loss", "0.5", "--json").stdout)["rules"]
    assert row["blocks"] == 2
    assert row["figure_of_merit"] == pytest.approx(0.5 + sum(row["relative_to_bptt"].values()) / 4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--option", "k=1"], "--option: got no --rule; expected the rule that has the option; add --rule"),
        (["--rule", "tbptt", "--option", "k"], "--option: got 'k'; expected NAME=VALUE, such as k=10; correct it"),
        (["--rule", "tbptt", "--option", "k=x"], "steps per interval (k): got 'x'; expected a positive whole number"),
    ],
)
def test_wrong_options_are_told(arguments, text):
    assert str(run(*arguments).exception).startswith(text)
