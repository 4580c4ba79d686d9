"""Independence of gradients from other blocks and later frames, for every rule that is local in space or in time."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from reference_cases import Case, case_of, classifier, gradients, same
from reference_parts import Block, Part, Pool
from torch import Tensor

from stdl_events.learning import Learner
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
PARTS = (Part("C", 3, after=(Pool(2, 2),)), Part("R", 4), Part("SEWR", 4), classifier())
HEAD = (Part("C", 4), classifier())
PLANNED = (Block(0, 1, HEAD), Block(1, 2, HEAD), Block(2, 4))
STEPS, BLOCKS = 4, 3


def make_case(rule: str, **options: object) -> Case:
    options |= {"tbptt": {"k": 2, "n": 1}, "sltt-k": {"k": 4}}.get(rule, {})
    case = case_of(PARTS, np.random.default_rng(40), 40, rule, "batch", options).changed(steps=STEPS)
    return case.changed(blocks=PLANNED) if rule.startswith("stdl") else case


def learned(learner: Learner, case: Case) -> list[dict[int, Tensor]]:
    """Each block's gradients, its auxiliary network's included, by the number of the weight."""
    learner.backward(*case.data())
    assert len(learner.blocks) == BLOCKS
    found = []
    for block in learner.blocks:
        weights = enumerate(block.parameters())
        found.append({number: weight.grad.clone() for number, weight in weights if weight.grad is not None})
    return found


@pytest.mark.parametrize("changed", [1, 2])
@pytest.mark.parametrize("rule", LOCAL)
def test_a_blocks_gradients_do_not_depend_on_later_weights(rule, changed):
    case = make_case(rule)
    learner = case.learner()
    before = learned(learner, case)
    assert all(any(gradient.any() for gradient in block.values()) for block in before)
    with torch.no_grad():
        for weight in learner.blocks[changed].parameters():
            weight.add_(torch.ones_like(weight), alpha=0.3)
    after = learned(learner, case)
    assert [same(before[index], after[index]) for index in range(BLOCKS)] == [
        index < changed for index in range(BLOCKS)
    ]


class LossOfOneBlockTimesTwo:
    """A loss for blocks that take turns in each chunk."""

    def __init__(self, loss: object, doubled: int) -> None:
        self.loss, self.doubled, self.calls = loss, doubled, 0

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int) -> Tensor:
        block = self.calls % BLOCKS
        self.calls += 1
        return self.loss.chunk(logits, targets_B, steps) * (2 if block == self.doubled else 1)


@pytest.mark.parametrize("doubled", range(BLOCKS))
@pytest.mark.parametrize("rule", LOCAL)
def test_a_blocks_loss_moves_that_block_alone(rule, doubled):
    case = make_case(rule)
    learner = case.learner()
    plain = learned(learner, case)
    learner.loss = LossOfOneBlockTimesTwo(learner.loss, doubled)
    scaled = learned(learner, case)
    assert learner.loss.calls == STEPS // case.equations.chunk * BLOCKS
    for index in range(BLOCKS):
        factor = 2 if index == doubled else 1
        assert same(scaled[index], {name: factor * gradient for name, gradient in plain[index].items()}), index


@pytest.mark.parametrize("rule", LOCAL)
def test_a_border_carries_no_graph(rule):
    """Only one block's graph of one chunk is alive: its inputs and its state before the chunk are detached."""
    case = make_case(rule)
    learner = case.learner(memory="plain")
    received = []
    for block in learner.blocks:
        step = block.step
        block.step = lambda x, state, step=step: received.append((x, tuple(state))) or step(x, state)
    learner.backward(*case.data())
    assert len(received) == STEPS * BLOCKS
    for number, (x, state) in enumerate(received):
        begins = number % case.equations.chunk == 0
        parts = [x.spikes, x.trace] if isinstance(x, TracedSpikes) else [x]
        entries = [*parts, *state] if begins else parts
        assert all(entry.grad_fn is None and not entry.requires_grad for entry in entries), number
        assert isinstance(x, TracedSpikes) == ("+" in rule and number % BLOCKS > 0), number


def snapshots(case: Case, learner: Learner, frames: Tensor) -> list[dict[str, Tensor]]:
    """All gradients after each chunk of the last block."""
    seen = []

    class Snapshots(Observer):
        def after_block(self, block: int, state: object) -> None:
            if block == len(learner.blocks) - 1:
                seen.append(gradients(learner))

    learner.backward(frames, case.data()[1], observer=Snapshots())
    return seen


@pytest.mark.parametrize("rule", [*ONLINE, "tbptt", "bptt"])
def test_no_gradient_depends_on_later_chunks(rule):
    case = make_case(rule)
    chunk = STEPS if rule == "bptt" else case.equations.chunk
    frames, _ = case.data()
    learner = case.learner()
    before = snapshots(case, learner, frames)
    assert len(before) == STEPS // chunk
    for changed in range(chunk, STEPS, chunk):
        altered = frames.clone()
        altered[changed:] = altered[changed:].flip(0, 1) * 0.7 + 0.1
        after = snapshots(case, learner, altered)
        equal = [same(first, second) for first, second in zip(before, after, strict=True)]
        assert equal == [(number + 1) * chunk <= changed for number in range(len(before))], changed


def test_blocks_with_traces_are_cut_between_neuron_and_weight():
    """The second block's first weights take their gradient from the traces of the first block's neurons."""
    learners = [make_case("stdl+ottt", **options).learner() for options in ({}, {"trace_decay": 0.0})]
    for learner in learners:
        learner.backward(*make_case("stdl+ottt").data())
    own, plain = (next(learner.blocks[1].subnetwork.parameters()).grad for learner in learners)
    assert not torch.allclose(own, plain)
