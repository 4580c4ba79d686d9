"""Independence of gradients from other blocks and later frames, for every rule that is local in space or in time."""

import dataclasses

import pytest
import torch
from literal import Block
from problems import classifier, gradients
from reference_cases import Case, random_case
from torch import Tensor

from stdl_events.learning.observer import Observer
from stdl_events.learning.traced_spikes import TracedSpikes

ONLINE = [
    "sltt",
    "sltt-k",
    "ottt-a",
    "ottt-o",
    "ndot-a",
    "ndot-o",
    "ftrl-ottt",
    "decolle",
    "ell",
    "stdl",
    "stdl+ottt",
    "stdl+ndot",
]
LOCAL = ["tbptt", "decolle", "ell", "stdl", "stdl+ottt", "stdl+ndot"]
STEPS = 4


def make_case(rule: str) -> Case:
    options = {"tbptt": {"k": 2, "n": 1}, "sltt-k": {"k": 4}}.get(rule, {})
    return dataclasses.replace(random_case(40, rule, "batch", **options), steps=STEPS)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("rule", LOCAL)
def test_a_blocks_gradients_do_not_depend_on_later_weights(rule):
    case = make_case(rule)
    before, after = case.learner(), case.learner()
    assert len(before.blocks) > 1
    with torch.no_grad():
        for weight in after.blocks[-1].parameters():
            weight.add_(torch.ones_like(weight), alpha=0.3)
    for learner in (before, after):
        learner.backward(*case.data())
    for index, (first, second) in enumerate(zip(before.blocks, after.blocks, strict=True)):
        pairs = [(a.grad, b.grad) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
        equal = all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)
        assert equal == (index < len(before.blocks) - 1), index


@pytest.mark.parametrize("rule", LOCAL)
def test_a_border_carries_no_graph(rule):
    learner = make_case(rule).learner(memory="plain")
    received = []
    for block in learner.blocks:
        step = block.step
        block.step = lambda x, state, step=step: received.append((x, tuple(state))) or step(x, state)
    learner.backward(*make_case(rule).data())
    assert len(received) == STEPS * len(learner.blocks)
    for number, (x, _) in enumerate(received):
        parts = [x.spikes, x.trace] if isinstance(x, TracedSpikes) else [x]
        assert all(part.grad_fn is None and not part.requires_grad for part in parts), number
        assert isinstance(x, TracedSpikes) == ("+" in rule and any(x is not y for y in parts)), number


def snapshots(case: Case, frames: Tensor) -> list[dict[str, Tensor]]:
    """All gradients after each chunk of the last block."""
    learner, seen = case.learner(), []

    class Snapshots(Observer):
        def after_block(self, block: int, state: object) -> None:
            if block == len(learner.blocks) - 1:
                seen.append(gradients(learner))

    learner.backward(frames, case.data()[1], observer=Snapshots())
    return seen


@pytest.mark.parametrize("changed", range(1, STEPS))
@pytest.mark.parametrize("rule", ONLINE)
def test_no_gradient_depends_on_later_frames(rule, changed):
    case = make_case(rule)
    frames, _ = case.data()
    altered = frames.clone()
    altered[changed:] = altered[changed:].flip(0, 1) * 0.7 + 0.1
    before, after = snapshots(case, frames), snapshots(case, altered)
    assert len(before) == len(after) == STEPS
    assert [same(before[t], after[t]) for t in range(STEPS)] == [t < changed for t in range(STEPS)]


def test_no_gradient_of_an_interval_depends_on_later_ones():
    case = make_case("tbptt")
    frames, _ = case.data()
    altered = frames.clone()
    altered[2:] = altered[2:].flip(0, 1) * 0.7 + 0.1
    before, after = snapshots(case, frames), snapshots(case, altered)
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True, False]


def test_two_blocks_with_traces_are_cut_between_neuron_and_weight():
    """The second block's first weights take their gradient from the traces of the first block's neurons."""
    case = make_case("stdl+ottt")
    decayed = dataclasses.replace(case, options={"trace_decay": 0.0})
    learners = [case.learner(), decayed.learner()]
    for learner in learners:
        learner.backward(*case.data())
    own, plain = (next(learner.blocks[1].subnetwork.parameters()).grad for learner in learners)
    assert not torch.allclose(own, plain)
    assert case.blocks[1] == Block(1, len(case.parts))
    assert case.parts[-1] == classifier()
