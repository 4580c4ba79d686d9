"""Every rule's gradients equal a literal transcription of its equations, in float64, in lean and in plain mode."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from literal import Block, Part, Pool
from problems import Case, classifier, gradients, largest_difference, random_case

from stdl_events.learning.lean.parts import PartSizes, part_sizes

TOLERANCE = 1e-10
RULES = ["stdl", "sltt", "bptt"]
# Lean mode is for rules that are online in time.
MODES = [("stdl", "lean"), ("stdl", "plain"), ("sltt", "lean"), ("sltt", "plain"), ("bptt", "plain")]
NORMS = ["batch", "ws", "none"]


@pytest.fixture(autouse=True)
def _small_parts() -> Iterator[None]:
    """Part sizes with which these small layers have as many parts as large ones."""
    with part_sizes(PartSizes(2000, 2000)):
        yield


def assert_equals_literal(case: Case, memory: str) -> None:
    learner = case.learner(memory=memory)
    frames, targets = case.data()
    expected, losses, logits = case.problem.gradients(learner.state_dict(), frames, targets)
    metrics = learner.backward(frames, targets)
    assert largest_difference(gradients(learner), expected) <= TOLERANCE
    for index, loss in enumerate(losses):
        assert metrics[f"block_loss_{index}"].item() == pytest.approx(loss, rel=1e-12)
    assert metrics["loss"].item() == pytest.approx(losses[-1], rel=1e-12)
    assert metrics["correct"].item() == (logits.mean(0).argmax(1) == targets).sum().item()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("rule", "memory"), MODES)
def test_random_networks(rule, memory, norm, seed):
    assert_equals_literal(random_case(seed, rule, norm), memory)


@pytest.mark.parametrize(("rule", "memory"), MODES)
@pytest.mark.parametrize("surrogate", ["rectangle", "sigmoid"])
def test_other_surrogates(rule, memory, surrogate):
    assert_equals_literal(random_case(7, rule, "batch", surrogate=surrogate, width=2.0), memory)


@pytest.mark.parametrize(("rule", "memory"), MODES)
@pytest.mark.parametrize(("kind", "reset"), [("lif", "hard"), ("plif", "soft"), ("plif", "hard"), ("alif", "soft")])
def test_other_neurons(rule, memory, kind, reset):
    assert_equals_literal(random_case(8, rule, "batch", kind=kind, reset=reset), memory)


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
@pytest.mark.parametrize(("rule", "memory"), MODES)
def test_a_network_of_every_kind_of_layer(rule, memory, norm):
    case = random_case(11, rule, norm, surrogate="sigmoid", decay=0.3, threshold=0.3)
    blocks = EVERY_BLOCK if rule == "stdl" else (Block(0, len(EVERY_LAYER)),)
    problem = dataclasses.replace(case.problem, parts=EVERY_LAYER, blocks=blocks)
    assert_equals_literal(dataclasses.replace(case, problem=problem, steps=4), memory)


def with_rule(case: Case, rule: str, *, steps: int) -> Case:
    whole = (Block(0, len(case.problem.parts)),)
    return dataclasses.replace(
        case, rule=rule, steps=steps, problem=dataclasses.replace(case.problem, blocks=whole, online=rule != "bptt")
    )


def run(case: Case) -> dict[str, torch.Tensor]:
    learner = case.learner(memory="plain")
    learner.backward(*case.data())
    return gradients(learner)


@pytest.mark.parametrize("norm", NORMS)
def test_stdl_with_one_block_is_sltt(norm):
    case = random_case(20, "stdl", norm)
    stdl, sltt = run(with_rule(case, "stdl", steps=5)), run(with_rule(case, "sltt", steps=5))
    assert stdl.keys() == sltt.keys()
    assert all(torch.equal(stdl[name], sltt[name]) for name in stdl)


@pytest.mark.parametrize("norm", NORMS)
def test_with_one_step_and_one_block_all_rules_are_bptt(norm):
    case = random_case(21, "stdl", norm)
    stdl, sltt, bptt = (run(with_rule(case, rule, steps=1)) for rule in RULES)
    assert all(torch.equal(stdl[name], bptt[name]) and torch.equal(sltt[name], bptt[name]) for name in bptt)


def test_with_more_steps_bptt_is_another_gradient():
    case = random_case(22, "stdl", "batch")
    sltt, bptt = (run(with_rule(case, rule, steps=5)) for rule in ("sltt", "bptt"))
    assert largest_difference(sltt, bptt) > 1e-3
