"""Every rule's gradients equal its equations worked out by hand, in float64, in plain and in lean mode."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from new_entries import neuron_settings
from pairs import pairs
from reference_cases import Case, case_of, classifier, gradients, largest_difference, random_case
from reference_parts import Block, Part, Pool

from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.network.registries import NORMS, SURROGATES
from stdl_events.network.spec import NeuronSpec

TOLERANCE = 1e-10
END_TO_END = ["bptt", "sltt", "ottt-a", "ottt-o", "ndot-a", "ndot-o"]
LOCAL = ["decolle", "ell", "stdl", "stdl+ottt", "stdl+ndot"]


@pytest.fixture(autouse=True)
def _small_parts() -> Iterator[None]:
    """Part sizes with which these small layers have as many parts as large ones."""
    with part_sizes(PartSizes(2000, 2000)):
        yield


def assert_equals_equations(case: Case, frozen: tuple[str, ...] = (), tolerance: float = TOLERANCE) -> None:
    """`frozen` lists the beginnings of the names of frozen weights."""
    for memory in case.modes:
        learner = case.learner(memory=memory)
        expected, losses, logits_TBK, _ = case.by_hand(learner)
        expected = {name: gradient for name, gradient in expected.items() if not name.startswith(frozen)}
        frames, targets = case.data()
        metrics = learner.backward(frames, targets)
        assert largest_difference(gradients(learner), expected) <= tolerance
        for index, loss in enumerate(losses):
            assert metrics[f"block_loss_{index}"].item() == pytest.approx(loss, rel=1e-12)
        assert metrics["loss"].item() == pytest.approx(losses[-1], rel=1e-12)
        assert metrics["correct"].item() == (logits_TBK.mean(0).argmax(1) == targets).sum().item()


@pytest.mark.parametrize(("rule", "norm", "seed"), pairs(END_TO_END + LOCAL, NORMS, range(2)))
def test_random_networks(rule, norm, seed):
    assert_equals_equations(random_case(seed, rule, norm), ("auxiliary",) if rule == "decolle" else ())


EVERY_LAYER = (
    Part("C", 3, before=(Pool(3, 1, 1),), after=(Pool(2, 2),)),
    Part("R", 3),
    Part("R", 4, stride=2),
    Part("SEWR", 4, after=(Pool(3, 2, 1),)),
    Part("SEWR", 5, stride=1),
    Part("FC", 6),
    classifier(),
)
EVERY_BLOCK = (
    Block(0, 1, (Part("R", 4, stride=2), Part("SEWR", 4), classifier())),
    Block(1, 3, (Part("C", 3, before=(Pool(2, 2),)), classifier())),
    Block(3, 5, (Part("FC", 5), classifier())),
    Block(5, 7),
)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rule", ["bptt", "sltt", "ottt-a", "ndot-a", "ell", "stdl", "stdl+ottt", "stdl+ndot"])
def test_a_network_of_every_kind_of_layer(rule, norm):
    case = case_of(EVERY_LAYER, np.random.default_rng(1), 1, rule, norm, {})
    if rule.startswith("stdl"):
        case = case.changed(blocks=EVERY_BLOCK)
    assert_equals_equations(case.with_equations(surrogate="sigmoid"))


@pytest.mark.parametrize("rule", ["bptt", "sltt", "stdl"])
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate(rule, surrogate):
    assert_equals_equations(random_case(7, rule).with_equations(surrogate=surrogate))


@pytest.mark.parametrize("rule", ["bptt", "tbptt", "sltt", "stdl", "ottt-a", "ndot-a"])
@pytest.mark.parametrize("neuron", neuron_settings().values(), ids=neuron_settings())
def test_every_neuron(rule: str, neuron: NeuronSpec) -> None:
    case = random_case(8, rule, **({"k": 3, "n": 1} if rule == "tbptt" else {}))
    assert_equals_equations(case.with_equations(kind=neuron.kind, reset=neuron.reset))


DENSE = tuple(Part("FC", width) for width in (9, 8, 6, 3))
DENSE_BLOCKS = (
    Block(0, 1, tuple(Part("FC", width) for width in (5, 6, 3))),
    Block(1, 2, tuple(Part("FC", width) for width in (6, 3))),
    Block(2, 4),
)
CONSTANTS = [
    {"decay": 0.5, "threshold": 0.6, "width": 1.0, "alpha": 0.05},
    {"decay": 0.9, "threshold": 0.8, "width": 0.7, "alpha": 0.0},
    {"decay": 0.3, "threshold": 0.5, "width": 1.5, "alpha": 0.5, "reset": "hard"},
    {"decay": 0.0, "threshold": 0.5, "width": 1.0, "alpha": 1.0},
]


@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("rule", ["bptt", "sltt", "stdl"])
def test_fully_connected_networks(rule, constants):
    case = case_of(DENSE, np.random.default_rng(10), 10, rule, "batch", {}).changed(shape=(7, 1, 1))
    if rule == "stdl":
        case = case.changed(blocks=DENSE_BLOCKS)
    assert_equals_equations(case.with_equations(**constants), tolerance=1e-12)


CURRENTS = {
    "sew": (Part("S", 4), Part("SEWR", 4), Part("C", 3), classifier()),
    "sew twice": (Part("S", 4), Part("SEWR", 4, after=(Pool(2, 2),)), Part("SEWR", 4), Part("FC", 5), classifier()),
    "sew, shortcut of a new shape": (Part("S", 3), Part("SEWR", 4, stride=2), Part("C", 3), classifier()),
    "spikes and branch": (Part("C", 4), Part("NFR", 4), Part("C", 3), classifier()),
}


@pytest.mark.parametrize("rule", ["sltt", "ottt-a", "ndot-a"])
@pytest.mark.parametrize("network", CURRENTS)
def test_weights_behind_sums_of_spikes_and_currents(network, rule):
    """The trace of a sum: spikes add their trace, currents themselves."""
    assert_equals_equations(case_of(CURRENTS[network], np.random.default_rng(6), 6, rule, "ws", {}))


@pytest.mark.parametrize("norm", ["batch", "ws"])
@pytest.mark.parametrize("rule", ["ndot-a", "ndot-o", "stdl+ndot"])
def test_ndot_as_its_released_code_has_it(rule, norm):
    case = random_case(4, rule, norm, variant="official")
    assert_equals_equations(case.with_equations(trace="ndot official"))


@pytest.mark.parametrize("rule", ["ottt-a", "ndot-a"])
def test_a_trace_may_decay_unlike_the_neurons(rule):
    assert_equals_equations(random_case(5, rule, trace_decay=0.35).with_equations(trace_decay=0.35))


def test_the_two_readings_of_ndot_differ():
    paper, official = (random_case(4, "ndot-a", variant=variant).learner() for variant in ("paper", "official"))
    for learner in (paper, official):
        learner.backward(*random_case(4, "ndot-a").data())
    assert largest_difference(gradients(paper), gradients(official)) > 1e-3


@pytest.mark.parametrize(("k", "n", "norm"), pairs([1, 2, 3, 4, 9], [1, 2], ["batch", "none"]))
def test_truncated_local_bptt(k, n, norm):
    """T is 5: the last interval of k = 2 and k = 4 is short."""
    case = random_case(6, "tbptt", norm, k=k, n=n).changed(steps=5)
    assert_equals_equations(case.with_equations(surrogate="rectangle"))


@pytest.mark.parametrize("classifiers", ["trainable", "random"])
def test_truncated_local_bptt_with_its_own_reset(classifiers):
    case = random_case(7, "tbptt", "batch", k=2, n=1, classifier=classifiers)
    case = case.with_equations(theta=0.2, surrogate="rectangle")
    last = f"network.layers.{len(case.parts) - 1}."
    assert_equals_equations(case, ("auxiliary", last) if classifiers == "random" else ())


@pytest.mark.parametrize("k", [2, 5])
def test_truncated_local_bptt_with_a_linear_classifier(k):
    assert_equals_equations(random_case(8, "tbptt", "ws", k=k, n=1, loss="ce+mse"))


@pytest.mark.parametrize("rule", ["sltt", "bptt", "ottt-a", "ell"])
def test_a_squared_error_towards_the_threshold(rule):
    case = random_case(9, rule, mse_target="threshold", alpha=0.3)
    assert_equals_equations(case.with_equations(mse_target=case.equations.threshold, alpha=0.3))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_sltt_k_learns_from_k_steps(k):
    case = random_case(10, "sltt-k", k=k).changed(steps=4)
    learner = case.learner()
    learner.backward(*case.data())
    ours = gradients(learner)
    candidates = [
        case.by_hand(learner, learning_steps=steps).gradients for steps in itertools.combinations(range(4), k)
    ]
    distances = [largest_difference(ours, candidate) for candidate in candidates]
    assert sum(distance <= TOLERANCE for distance in distances) == 1


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("update", ["sequence", "step"])
def test_ftrl_adds_its_term_in_every_step(norm, update):
    """NDOT section 4.3: L[t] + ρ |W - Ŵ|² or ρ |W - Ŵ|."""
    case = random_case(11, "ftrl-ottt", proximal=0.7, proximal_norm=norm, update=update)
    learner = case.learner()
    learner.anchor_weights()
    anchors = {name: weight.detach().clone() for name, weight in learner.network.named_parameters()}
    with torch.no_grad():
        for index, weight in enumerate(learner.network.parameters()):
            weight.add_((-1) ** index * 0.01 * (1 + torch.arange(weight.numel()).reshape(weight.shape) % 3))
    expected = case.by_hand(learner).gradients
    for name, weight in learner.network.named_parameters():
        difference = (weight - anchors[name]).detach()
        slope = 2 * difference if norm == "l2" else difference.sign()
        expected[f"network.{name}"] = expected[f"network.{name}"] + case.steps * 0.7 * slope
    learner.backward(*case.data())
    assert largest_difference(gradients(learner), expected) <= TOLERANCE
