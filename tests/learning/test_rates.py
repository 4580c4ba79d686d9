"""The rate penalty is part of each block's loss in every rule and memory mode, by its equations in float64."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from reference_cases import Case, case_of, classifier, gradients, largest_difference, random_case
from reference_parts import Block, Part, Pool

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.learning.learner import Learner
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.meter import LiveBytes
from stdl_events.network.spec import NetworkSpec

BETA, TARGET = 3.0, 0.3
QUIET = {"rate_penalty": BETA, "target_rate": TARGET}
EVERY_LAYER = (
    Part("C", 3, after=(Pool(2, 2),)),
    Part("R", 4, stride=2),
    Part("SEWR", 5),
    Part("FC", 6),
    classifier(),
)
EVERY_BLOCK = (
    Block(0, 1, (Part("C", 4), Part("FC", 5), classifier())),
    Block(1, 3, (Part("C", 3), classifier())),
    Block(3, 5),
)


@pytest.fixture(autouse=True)
def _small_parts() -> Iterator[None]:
    """Part sizes with which these small layers have as many parts as large ones."""
    with part_sizes(PartSizes(2000, 2000)):
        yield


def quiet(case: Case, **targets: float) -> Case:
    return case.with_equations(beta=BETA, target=TARGET, targets=targets)


def assert_equals_equations(
    case: Case, frozen: tuple[str, ...] = (), tolerance: float = 1e-12, **options: object
) -> Learner:
    for memory in (*case.modes, "kept") if case.rule == "stdl" else case.modes:
        learner = case.learner(memory=memory, **(QUIET | options))
        expected, losses, _, rates = case.by_hand(learner)
        expected = {name: gradient for name, gradient in expected.items() if not name.startswith(frozen)}
        metrics = learner.backward(*case.data())
        assert largest_difference(gradients(learner), expected) <= tolerance
        for index, loss in enumerate(losses):
            assert metrics[f"block_loss_{index}"].item() == pytest.approx(loss, rel=1e-12)
        found = {name: rate.item() for name, rate in metrics.items() if name.startswith("rate_")}
        assert found == pytest.approx({f"rate_{name}": rate for name, rate in rates.items()}, rel=1e-12)
    # The bound has both sides.
    assert min(rates.values()) < case.equations.target < max(rates.values())
    return learner


RULES = ["bptt", "sltt", "ottt-a", "ndot-a", "ell", "decolle", "stdl", "stdl+ottt", "stdl+ndot"]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_by_its_equations(rule):
    case = case_of(EVERY_LAYER, np.random.default_rng(1), 1, rule, "batch", {})
    if rule.startswith("stdl"):
        case = case.changed(blocks=EVERY_BLOCK)
    assert_equals_equations(quiet(case), ("auxiliary",) if rule == "decolle" else ())


@pytest.mark.parametrize("rule", ["sltt", "stdl"])
def test_units_with_gain(rule):
    # Standardised weights are worse conditioned.
    assert_equals_equations(quiet(random_case(3, rule, "ws")), tolerance=1e-11)


@pytest.mark.parametrize("options", [{"k": 3, "n": 1}, {"k": 2, "n": 2}])
def test_chunks_with_spiking_classifiers(options):
    """The spikes of spiking classifiers are not penalised: the reference leaves them out."""
    case = case_of(EVERY_LAYER, np.random.default_rng(2), 2, "tbptt", "batch", options)
    learner = assert_equals_equations(quiet(case))
    assert learner.network.spec.classifier == "spiking"


@pytest.mark.parametrize("neuron", ["plif", "alif"])
def test_neurons_with_more_state_and_learned_decays(neuron):
    assert_equals_equations(quiet(random_case(4, "sltt")).with_equations(kind=neuron))


def test_bodies_that_run_by_autograd():
    parts = (Part("C", 4), Part("NFR", 4), Part("C", 3), classifier())
    case = case_of(parts, np.random.default_rng(6), 6, "sltt", "ws", {}).with_equations(beta=BETA, target=0.4)
    assert_equals_equations(case, tolerance=1e-11, target_rate=0.4)


def test_a_target_for_each_layer():
    case = case_of(EVERY_LAYER, np.random.default_rng(1), 1, "sltt", "batch", {})
    names = ["layers.0", "layers.1.first", "layers.1.second", "layers.2.first", "layers.2.second", "layers.2.shortcut"]
    targets = dict(zip([*names, "layers.3"], (0.1, 0.9, 0.2, 0.4, 0.0, 0.3, 0.5), strict=True))
    assert_equals_equations(quiet(case, **targets), target_rate=tuple(targets.values()))


def test_steps_that_do_not_learn_have_no_penalty_of_their_own():
    case = quiet(case_of(EVERY_LAYER, np.random.default_rng(1), 1, "sltt-k", "batch", {"k": 2}))
    for memory in ("plain", "lean"):
        learner = case.learner(memory=memory, **QUIET)
        expected = case.by_hand(learner, learning_steps=(1, 3)).gradients
        learner.backward(*case.data(), learning_chunks=(1, 3))
        assert largest_difference(gradients(learner), expected) <= 1e-12


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_frozen_layers_leave_the_others_their_gradients(memory):
    case = quiet(case_of(EVERY_LAYER, np.random.default_rng(1), 1, "sltt", "batch", {}))
    learner = case.learner(memory=memory, **QUIET)
    for layer in list(learner.network.layers)[:2]:
        layer.requires_grad_(False)
    expected = case.by_hand(learner).gradients
    learner.backward(*case.data())
    last = {
        name: gradient
        for name, gradient in expected.items()
        if not name.startswith(("network.layers.0", "network.layers.1"))
    }
    assert largest_difference(gradients(learner), last) <= 1e-12


@pytest.mark.parametrize("weights", [None, (1.0, 7.0, 0.5, 2.0)])
def test_accumulated_gradients_are_those_of_one_batch(weights):
    case = random_case(50, "stdl", "none")
    parts, whole = (case.learner(class_weights=weights, **QUIET) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(case.steps, 6, *case.shape, generator=generator, dtype=torch.float64) * 3
    targets = torch.randint(0, 4, (6,), generator=generator)
    for start, stop in pairwise((0, 1, 4, 6)):
        parts.accumulate(frames[:, start:stop], targets[start:stop])
    whole.backward(frames, targets)
    assert largest_difference(gradients(parts), gradients(whole)) <= 1e-12


def test_half_precision_counts_exactly():
    spec = NetworkSpec.parse("8C3-AP2-8R(s2)-12FC-3FC", input_shape=(2, 16, 16))
    frames = torch.poisson(torch.full((3, 4, 2, 16, 16), 0.5), torch.Generator().manual_seed(0))
    options = {"batch_size": 4, "steps": 3, "precision": "bf16", "decay": 0.5, "threshold": 0.5}
    loud, silent = {}, {}
    for memory in ("plain", "lean"):
        for beta, kept in ((200.0, silent), (0.0, loud)):
            learner = build_learner(spec, "sltt", memory=memory, rate_penalty=beta, target_rate=0.1, **options)
            kept[memory] = learner.backward(frames, torch.arange(4) % 3), gradients(learner)
    for name, value in silent["plain"][0].items():
        torch.testing.assert_close(silent["lean"][0][name], value, rtol=1e-5, atol=0)
    ours, theirs, without = (torch.cat([g.flatten() for g in x[1].values()]) for x in (*silent.values(), loud["lean"]))
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99
    assert torch.nn.functional.cosine_similarity(ours, without, dim=0) < 0.9


def real_peak(blueprint: Blueprint) -> int:
    with LiveBytes() as live:
        learner = blueprint.build(None)
        frames, targets = torch.zeros((2, 4, 2, 8, 8), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
        live.exclude(frames)
        learner.train_step(frames, targets)
        live.reset_peak()
        learner.train_step(frames, targets)
    return live.peak


@pytest.mark.parametrize(("memory", "precision"), [("plain", "fp32"), ("lean", "fp32"), ("lean", "bf16-convolutions")])
def test_the_meter_counts_it_and_it_needs_next_to_nothing(memory, precision):
    spec = NetworkSpec.parse("6C3-AP2-6R(s2)-3FC", input_shape=(2, 8, 8))
    options = {"batch_size": 4, "steps": 2, "memory": memory, "precision": precision, "optimizer": "sgd", "momentum": 0}
    without, blueprint = (Blueprint.of(spec, "sltt", rate_penalty=beta, **options) for beta in (None, 3.0))
    more = measure_learner(blueprint, None)[0].peak_bytes - measure_learner(without, None)[0].peak_bytes
    assert 0 < more < 1000
    assert real_peak(blueprint) - real_peak(without) == more


def test_off_is_the_learner_without_it():
    spec = NetworkSpec.parse("8C3-10FC", input_shape=(2, 8, 8))
    plain, off = (
        Blueprint.of(spec, "sltt", batch_size=2, steps=2, **off)
        for off in ({}, {"rate_penalty": 0, "target_rate": 0.1})
    )
    assert plain == off
    metrics = off.build(None).train_step(torch.zeros(2, 2, 2, 8, 8), torch.zeros(2, dtype=torch.int64))
    assert set(metrics) == {"loss", "block_loss_0", "correct"}


@pytest.mark.parametrize("mode", [("stdl", "lean"), ("stdl", "kept"), ("sltt", "plain"), ("ndot-a", "plain")])
def test_watched_rates_change_nothing(mode):
    rule, memory = mode
    spec = NetworkSpec.parse("6C3-AP2-6R(s2)-8SEWR-3FC", input_shape=(2, 8, 8))
    frames = torch.randint(0, 3, (3, 4, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    options = {"batch_size": 4, "steps": 3, "memory": memory, "threshold": 0.5}
    found = {}
    for name, more in {"off": {}, "watched": {"watch_rates": True}, "quiet": {"rate_penalty": 1e-9}}.items():
        learner = build_learner(spec, rule, **options, **more)
        found[name] = learner.backward(frames, torch.arange(4) % 3), gradients(learner)
    rates = {name: rate for name, rate in found["watched"][0].items() if name.startswith("rate_")}
    assert {name: found["quiet"][0][name] for name in rates} == rates
    assert len(rates) == 6
    assert max(rates.values()) > 0
    assert found["off"][0] == {name: value for name, value in found["watched"][0].items() if name not in rates}
    for name, gradient in found["off"][1].items():
        assert torch.equal(gradient, found["watched"][1][name]), name


@pytest.mark.parametrize(
    ("notation", "options", "text"),
    [
        ("8S3-10FC", {}, "rate_penalty: got 8S3-10FC, which has no neurons in front of its classifier"),
        ("8S3-10FC", {"rate_penalty": 0, "watch_rates": True}, "watch_rates: got 8S3-10FC, which has no neurons"),
        ("8C3-8R-10FC", {"target_rate": [0.1, 0.2]}, "got 2 targets; expected one, or 3, one for each of layers.0, "),
        ("8C3-10FC", {"target_rate": 1.0}, "target_rate: got 1.0; expected shares of a layer's neurons"),
        ("8C3-10FC", {"rate_penalty": -1}, "rate_penalty: got -1; expected a number from 0 to 1e+06"),
        ("8C3-10FC", {"rate_penalty": float("nan")}, "rate_penalty: got nan"),
    ],
)
def test_what_cannot_be_penalised_is_refused(notation, options, text):
    spec = NetworkSpec.parse(notation, input_shape=(2, 8, 8))
    with pytest.raises(RuleError) as caught:
        Blueprint.of(spec, "sltt", batch_size=2, steps=2, **({"rate_penalty": 1} | options))
    assert text in str(caught.value)
