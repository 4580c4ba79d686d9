"""Independence of gradients from later blocks and later steps."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from literal import Block, Part, Pool
from problems import Case, classifier, gradients, random_case
from torch import Tensor

from stdl_events.learning.observer import Observer

PARTS = (Part("C", 3, after=(Pool(2, 2),)), Part("R", 4), Part("SEWR", 4), classifier())
BLOCKS = (
    Block(0, 1, (Part("C", 4), classifier())),
    Block(1, 2, (Part("C", 4), classifier())),
    Block(2, 4),
)
STEPS = 4


def make_case(rule: str = "stdl", norm: str = "batch") -> Case:
    case = random_case(30, rule, norm)
    blocks = BLOCKS if rule == "stdl" else (Block(0, len(PARTS)),)
    return dataclasses.replace(
        case, steps=STEPS, problem=dataclasses.replace(case.problem, parts=PARTS, blocks=blocks, online=rule != "bptt")
    )


def of_block(named: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    """Gradients of block `index` and of its auxiliary network."""
    layers = range(BLOCKS[index].start, BLOCKS[index].stop)
    prefixes = (*(f"network.layers.{layer}." for layer in layers), f"auxiliary.{index}.")
    found = {name: gradient for name, gradient in named.items() if name.startswith(prefixes)}
    assert found
    return found


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("changed", [1, 2])
def test_a_blocks_gradient_does_not_depend_on_later_weights(changed):
    case = make_case()
    frames, targets = case.data()
    before, after = case.learner(), case.learner()
    with torch.no_grad():
        for parameter in after.blocks[changed].parameters():
            parameter.add_(torch.ones_like(parameter), alpha=0.3)
    before.backward(frames, targets)
    after.backward(frames, targets)
    for index in range(len(BLOCKS)):
        equal = same(of_block(gradients(before), index), of_block(gradients(after), index))
        assert equal == (index < changed), index


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_blocks_loss_moves_that_block_alone(changed):
    case = make_case()
    frames, targets = case.data()
    plain, scaled = case.learner(), case.learner()
    loss, calls = scaled.loss, []

    class LossOfOneBlockTimesTwo:
        """Blocks take turns at each step."""

        def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int) -> Tensor:
            calls.append(None)
            return loss.chunk(logits, targets_B, steps) * (2 if (len(calls) - 1) % len(BLOCKS) == changed else 1)

    scaled.loss = LossOfOneBlockTimesTwo()
    plain.backward(frames, targets)
    scaled.backward(frames, targets)
    assert len(calls) == STEPS * len(BLOCKS)
    for index in range(len(BLOCKS)):
        factor = 2 if index == changed else 1
        expected = {name: gradient * factor for name, gradient in of_block(gradients(plain), index).items()}
        assert same(of_block(gradients(scaled), index), expected), index


def snapshots(case: Case, frames: Tensor) -> list[dict[str, Tensor]]:
    """All gradients after each time step of the last block."""
    learner, seen = case.learner(), []

    class Snapshots(Observer):
        def after_block(self, block: int, state: object) -> None:
            if block == len(learner.blocks) - 1:
                seen.append(gradients(learner))

    learner.backward(frames, case.data()[1], observer=Snapshots())
    return seen


@pytest.mark.parametrize("changed", range(1, STEPS))
@pytest.mark.parametrize("rule", ["stdl", "sltt"])
def test_online_gradients_do_not_depend_on_later_frames(rule, changed):
    case = make_case(rule)
    frames, _ = case.data()
    altered = frames.clone()
    altered[changed:] = altered[changed:].flip(0, 1) * 0.7 + 0.1
    before, after = snapshots(case, frames), snapshots(case, altered)
    assert len(before) == len(after) == STEPS
    assert [same(before[t], after[t]) for t in range(STEPS)] == [t < changed for t in range(STEPS)]


def test_bptt_has_no_gradient_before_the_last_frame():
    case = make_case("bptt")
    assert len(snapshots(case, case.data()[0])) == 1


def test_no_border_carries_a_graph():
    """Only one block's graph of one step is alive: a block's inputs are detached."""
    case = make_case()
    learner = case.learner(memory="plain")
    received = []
    for block in learner.blocks:
        step = block.subnetwork.step
        block.subnetwork.step = lambda x, state, step=step: received.append((x, *state)) or step(x, state)
    learner.backward(*case.data())
    assert len(received) == STEPS * len(BLOCKS)
    assert all(entry.grad_fn is None and not entry.requires_grad for entries in received for entry in entries)
