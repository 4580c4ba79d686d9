"""Traces: explicit state, counted in bytes, right in every kind of network, and unknown to the inference network."""

import math

import pytest
import torch
from pairs import pairs
from reference_cases import BATCH, SHAPE, gradients, largest_difference, scramble_weights

from stdl_events.build import build_learner
from stdl_events.learning import Learner
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Trace
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.learning.traced_spikes import TracedSpikes
from stdl_events.learning.traces import with_traces
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.cost import fixed_bytes

EVERYTHING = "AP(k3s1p1)-3C3-DP(0.4)-AP2-4R-4SEWR-DP(0.2)-6R(s2)-6SEWR(s2)-7FC-DP(0.5)-4FC"
NORM_FREE = "4S3-4NFR-8NFB(s2)-DP(0.3)-8NFR-4FC"


def make(notation: str, rule: str, **options: object) -> Learner:
    learner = build_learner(
        NetworkSpec.parse(notation, input_shape=SHAPE), rule, batch_size=BATCH, steps=4, dtype=torch.float64, seed=2,
        **({"decay": 0.6, "threshold": 0.4, "surrogate_width": 3.0} | options),
    )  # fmt: skip
    scramble_weights(learner, 1)
    return learner


def learn(learner: Learner) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(4, BATCH, *SHAPE, generator=generator, dtype=torch.float64) * 3
    learner.backward(frames, torch.tensor([0, 1, 2]))
    return gradients(learner)


@pytest.mark.parametrize(
    ("network", "neuron", "rule"),
    pairs(
        [(EVERYTHING, "batch"), (EVERYTHING, "ws"), (EVERYTHING, "none"), (NORM_FREE, "ws")],
        [{}, {"neuron": "plif"}, {"neuron": "alif"}, {"reset": "hard"}],
        ["ottt-a", "ndot-a"],
    ),
)
def test_traces_follow_their_spikes_through_every_layer(network, neuron, rule):
    """With λ = 0 the trace is the spike wherever it has gone, dropout's masks included; with λ > 0 it is not."""
    notation, norm = network
    sltt = learn(make(notation, "sltt", norm=norm, **neuron))
    assert largest_difference(learn(make(notation, rule, norm=norm, trace_decay=0.0, **neuron)), sltt) <= 1e-12
    assert largest_difference(learn(make(notation, rule, norm=norm, trace_decay=0.6, **neuron)), sltt) > 1e-3


def test_a_learned_decay_is_the_traces_too():
    """σ(logit) is the λ that the trace takes where none is given."""
    options = {"neuron": "plif", "norm": "batch"}
    followed, fixed = make(EVERYTHING, "ottt-a", **options), make(EVERYTHING, "ottt-a", trace_decay=0.25, **options)
    for learner in (followed, fixed):
        with torch.no_grad():
            for name, weight in learner.network.named_parameters():
                if name.endswith("logit"):
                    weight.fill_(math.log(0.25 / 0.75))
    assert largest_difference(learn(followed), learn(fixed)) <= 1e-12


@pytest.mark.parametrize(("rule", "per_neuron"), [("ottt-a", 2), ("ndot-a", 3), ("ndot-o", 3)])
def test_traces_are_state_of_the_blocks_and_not_of_the_network(rule, per_neuron):
    learner = make("3C3-AP2-4R-4FC", rule)
    (block,) = learner.blocks
    assert len(learner.network.initial_state(BATCH)) == 3
    state = block.initial_state(BATCH)
    assert [entry.shape[1:] for entry in state] == [
        shape for shape in [(3, 8, 8), (4, 4, 4), (4, 4, 4)] for _ in range(per_neuron)
    ]
    frame = torch.rand(BATCH, *SHAPE, dtype=torch.float64)
    first, logits, new = block.step(frame, state)
    again, _, repeated = block.step(frame, state)
    assert torch.equal(first, again)
    assert logits.shape == (BATCH, 4)
    assert all(torch.equal(a, b) for a, b in zip(new, repeated, strict=True))
    assert not any(entry.requires_grad for entry in new if entry.grad_fn is None)
    plain, _ = learner.network.step(frame, learner.network.initial_state(BATCH))
    assert torch.equal(logits, plain)


def test_a_network_with_traces_shares_weights_and_statistics():
    network = SpikingNetwork.build(NetworkSpec.parse("3C3-4R-4FC", input_shape=SHAPE))
    twin = with_traces(network, Trace("ottt"))
    assert [id(weight) for weight in twin.parameters()] == [id(weight) for weight in network.parameters()]
    assert [id(buffer) for buffer in twin.buffers()] == [id(buffer) for buffer in network.buffers()]
    assert all(weight.requires_grad for weight in network.parameters())


def test_traces_refuse_what_is_not_linear():
    signal = TracedSpikes(torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(AssertionError, match="traces cannot follow their spikes through"):
        torch.relu(signal)


def test_a_current_is_its_own_trace_in_a_sum():
    spikes, current = torch.ones(2, 3), torch.full((2, 3), 0.5)
    signal = TracedSpikes(spikes, 2 * spikes)
    for total in (current + signal, signal + current):
        assert torch.equal(total.spikes, spikes + current)
        assert torch.equal(total.trace, 2 * spikes + current)
    both = signal + signal
    assert torch.equal(both.spikes, 2 * spikes)
    assert torch.equal(both.trace, 4 * spikes)


def meter(rule: str, notation: str, steps: int, **options: object) -> int:
    spec = NetworkSpec.parse(notation, input_shape=(2, 16, 16))
    blueprint = Blueprint(spec, get_rule(rule, **options), 64, steps, InstantaneousLoss(), OptimizerSpec())
    return measure_learner(blueprint, None, steps=steps)[0].peak_bytes


@pytest.mark.parametrize("rule", ["ottt-a", "ottt-o", "ndot-a", "ndot-o", "sltt-k", "decolle"])
def test_memory_is_flat_in_time(rule):
    assert meter(rule, "8C3-AP2-8R-4FC", 2) == meter(rule, "8C3-AP2-8R-4FC", 9)


def test_memory_of_an_interval_does_not_depend_on_how_many_there_are():
    assert meter("tbptt", "8C3-AP2-8R-4FC", 6, k=3) == meter("tbptt", "8C3-AP2-8R-4FC", 12, k=3)
    assert meter("tbptt", "8C3-AP2-8R-4FC", 6, k=3) > meter("tbptt", "8C3-AP2-8R-4FC", 6, k=2)


@pytest.mark.parametrize(("rule", "kept"), [("ottt-a", 0), ("ndot-a", 1), ("ndot-o", 1)])
def test_lean_mode_makes_all_but_the_state_again(rule, kept):
    """Beside SLTT's step: the trace's state and, where that has moved beyond the trace, the trace."""
    notation, neurons = "16C3-16C3-16C3-4FC", 64 * 3 * 16 * 16 * 16
    state = {"ottt-a": 1, "ndot-a": 2, "ndot-o": 2}[rule]
    with part_sizes(PartSizes(channel_bytes=2**16)):
        more = meter(rule, notation, 2) - meter("sltt", notation, 2)
    assert more == pytest.approx(4 * neurons * (state + kept), rel=0.1)


@pytest.mark.parametrize(("rule", "tensors"), [("ottt-a", 1), ("ndot-a", 2), ("ndot-o", 2)])
def test_the_planner_counts_traces(rule, tensors):
    """Behind each neuron a trace of 4 bytes, or what NDOT keeps for it."""
    spec = NetworkSpec.parse("8C3-AP2-8R-4FC", input_shape=(2, 16, 16))
    neurons = 64 * (8 * 16 * 16 + 2 * 8 * 8 * 8)

    def fixed(name: str) -> int:
        cost_of = LayerMeter(spec, 64, OptimizerSpec(), torch.float32, False, get_rule(name).time.trace)
        return fixed_bytes([cost_of(layer, index > 0) for index, layer in enumerate(spec.layers)])

    assert fixed(rule) - fixed("sltt") == 4 * tensors * neurons


@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("rule", ["stdl+ottt", "stdl+ndot"])
def test_a_plan_is_made_with_the_traces_in_it(rule, memory):
    spec = NetworkSpec.parse("16C3-16C3-AP2-32C3-32C3-AP2-32C3-4FC", input_shape=(2, 32, 32))
    options = {"batch_size": 16, "steps": 4, "least_blocks": 2}
    plan, plain = (build_learner(spec, name, memory=memory, **options).plan for name in (rule, "stdl"))
    assert len(plan.blocks) > 1
    assert plan.whole_bytes > plain.whole_bytes  # in plain mode, whatever mode is in force
    assert plan.total_bytes > plain.total_bytes
    for block in plan.blocks:
        assert block.metered_bytes == pytest.approx(block.predicted_bytes, rel=0.05)
