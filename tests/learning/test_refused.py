"""Refused batches and states: one error, and an unchanged learner."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from reference_cases import BATCH, SHAPE, classifier, make_plan
from reference_parts import Block, Part, Pool
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import BatchError, RuleError, RunError, ShapeError, UserError
from stdl_events.learning import Learner
from stdl_events.network.spec import NetworkSpec

NOTATION = "3C3-DP(0.3)-AP2-4R-4FC"
PARTS = (Part("C", 3, after=(Pool(2, 2),)), Part("R", 4), classifier())
PLAN = make_plan(PARTS, (Block(0, 1, (Part("C", 4), classifier())), Block(1, 3))) | {"network": NOTATION}
STEPS = 3
RULES: dict[str, dict[str, Any]] = {
    "sltt": {},
    "stdl": {"plan": PLAN},
    "bptt": {},
    "sltt-k": {"k": 2},
    "tbptt": {"k": 2},
    "ftrl-ottt": {"proximal": 0.1},
}


def make(rule: str = "stdl", notation: str = NOTATION, **options: Any) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=SHAPE)
    chosen = (RULES[rule] if notation == NOTATION else {}) | options
    return build_learner(spec, rule, batch_size=BATCH, steps=STEPS, decay=0.5, threshold=0.5, **chosen)


def clip(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames_TBCHW = torch.randint(0, 4, (STEPS, BATCH, *SHAPE), generator=generator).float()
    return frames_TBCHW, torch.randint(0, 4, (BATCH,), generator=generator)


def trained(rule: str, memory: str = "lean") -> Learner:
    """A learner after one step, with optimiser state, anchor and running statistics."""
    learner = make(rule, memory=memory)
    learner.train_step(*clip())
    return learner


def everything(learner: Learner) -> dict[str, Any]:
    """All tensors that a step may change, by name."""
    parts: dict[str, Any] = {"global": torch.get_rng_state(), "state": copy.deepcopy(learner.state_dict())}
    weights = [weight for block in learner.blocks for weight in block.parameters()]
    parts["gradients"] = [None if weight.grad is None else weight.grad.clone() for weight in weights]
    return parts


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_equal(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, list):
        for index, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert_equal(mine, its, f"{where}/{index}")
    else:
        assert one == other, where


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(frames_TBCHW: Tensor) -> Tensor:
        changed = frames_TBCHW.clone()
        changed[-1, -1, -1, -1, -1] = value
        return changed

    return change


BAD_TARGETS: dict[str, tuple[Callable[[Tensor], Any], type[UserError], str]] = {
    "float": (lambda t: t.float(), BatchError, r"targets: got torch\.float32; expected class indices of an integer"),
    "bool": (lambda t: t > 0, BatchError, r"targets: got torch\.bool; expected class indices"),
    "one-hot": (
        lambda t: torch.nn.functional.one_hot(t, 4),
        ShapeError,
        r"targets: got shape \(3, 4\); expected .*; convert one-hot targets with argmax",
    ),
    "scalar": (lambda t: t[0], ShapeError, r"targets: got shape \(\); expected one class index"),
    "none at all": (lambda t: t[:0], ShapeError, r"targets: got shape \(0,\); expected .* B >= 1"),
    "too large": (
        lambda t: t.clamp(min=4),
        BatchError,
        "targets: got a target that is no class of the network; .* 0 to 3",
    ),
    "negative": (lambda t: t - 5, BatchError, "targets: got a target that is no class"),
    "an array": (lambda t: t.numpy(), BatchError, "targets: got ndarray; expected a tensor"),
}
BAD_FRAMES: dict[str, tuple[Callable[[Tensor], Any], type[UserError], str]] = {
    "NaN": (with_value(float("nan")), BatchError, "frames: got a value that is NaN or infinite; expected finite"),
    "infinite": (with_value(float("-inf")), BatchError, "frames: got a value that is NaN or infinite"),
    "channels": (lambda f: f[:, :, :1], ShapeError, r"frame: got shape \(3, 1, 8, 8\); expected \(3, 2, 8, 8\)"),
    "size": (lambda f: f[..., :7], ShapeError, r"frame: got shape \(3, 2, 8, 7\); expected \(3, 2, 8, 8\)"),
    "batch": (lambda f: f[:, :2], ShapeError, r"got shape \("),
    "complex": (lambda f: f.to(torch.complex64), BatchError, r"frame: got torch\.complex64; expected real numbers"),
}
BAD_SEQUENCES: dict[str, tuple[Callable[[Tensor], Any], type[UserError], str]] = {
    "too short": (lambda f: list(f[:-1]), ShapeError, "got an iterable of 2 steps; expected 3"),
    "empty": (lambda f: [], ShapeError, "got an iterable of 0 steps; expected 3"),
    "too long": (lambda f: [*f, f[0]], ShapeError, "got an iterable of (4|more than 3) steps; expected 3"),
    "shapes differ": (lambda f: [f[0], f[1], f[2][..., :7]], ShapeError, r"frame: got shape \(3, 2, 8, 7\)"),
    "not finite": (lambda f: list(with_value(float("nan"))(f)), BatchError, "got a value that is NaN or infinite"),
    "arrays": (lambda f: [f[0], *f[1:].numpy()], BatchError, "frame: got ndarray; expected a tensor"),
}


@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_a_bad_batch_moves_nothing(rule, memory):
    learner = trained(rule, memory)
    frames_TBCHW, targets_B = clip(1)
    before = everything(learner)
    cases = [(frames_TBCHW, bad(targets_B), *told) for bad, *told in BAD_TARGETS.values()]
    cases += [(bad(frames_TBCHW), targets_B, *told) for bad, *told in (BAD_FRAMES | BAD_SEQUENCES).values()]
    for frames, targets, error, text in cases:
        for learn in (learner.train_step, learner.backward):
            with pytest.raises(error, match=text):
                learn(frames, targets)
        assert_equal(everything(learner), before)


@pytest.mark.parametrize("bad", BAD_SEQUENCES)
@pytest.mark.parametrize("rule", RULES)
def test_a_bad_iterable_is_taken_back(rule, bad):
    """A generator's frame is checked at its step. Gradients are dropped, unless its frames were collected first."""
    learner = trained(rule)
    frames_TBCHW, targets_B = clip(1)
    change, error, text = BAD_SEQUENCES[bad]
    before = everything(learner)
    with pytest.raises(error, match=text):
        learner.train_step((frame for frame in change(frames_TBCHW)), targets_B)
    after = everything(learner)
    assert_equal(after | {"gradients": before["gradients"]}, before)
    other = trained(rule)
    assert_equal(learner.train_step(*clip(1)), other.train_step(*clip(1)))
    assert_equal(everything(learner), everything(other))


@pytest.mark.parametrize("rule", ["sltt", "tbptt"])
def test_an_iterable_that_fails_itself_is_taken_back(rule):
    learner = trained(rule)
    before = everything(learner)

    def broken() -> Iterator[Tensor]:
        yield clip(1)[0][0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        learner.train_step(broken(), clip(1)[1])
    assert_equal(everything(learner) | {"gradients": before["gradients"]}, before)


def test_more_steps_that_learn_than_there_are_move_nothing():
    learner = trained("sltt-k")
    before = everything(learner)
    with pytest.raises(RuleError, match="got 2 steps that learn, of 1"):
        learner.train_step(clip(1)[0][:1], clip(1)[1])
    assert_equal(everything(learner), before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_targets_of_any_integer_dtype_are_the_same_targets(dtype):
    one, other = make(), make()
    frames_TBCHW, targets_B = clip()
    assert_equal(one.train_step(frames_TBCHW, targets_B.to(dtype)), other.train_step(frames_TBCHW, targets_B))
    assert_equal(everything(one), everything(other))


OTHERS: dict[str, tuple[str, Callable[[], Learner], str]] = {
    "another network": ("sltt", lambda: make("sltt", "3C3-AP2-5R-4FC"), "network, layers.1.* got"),
    "more layers": ("sltt", lambda: make("sltt", "3C3-AP2-4R-4R-4FC"), "network: got no layers.2.body.linear.weight"),
    "another plan": ("stdl", lambda: make("sltt"), "auxiliary: got 1 networks, one per block; expected 2"),
    "another auxiliary network": (
        "stdl",
        lambda: make(plan=PLAN | {"blocks": [PLAN["blocks"][0] | {"auxiliary": "5C3-4FC"}, *PLAN["blocks"][1:]]}),
        "auxiliary network of block 0, .*: got",
    ),
    "another optimiser": ("sltt", lambda: make("sltt", optimizer="adamw"), "optimizer group 0: got the setting betas"),
    "an anchor": ("sltt", lambda: make("ftrl-ottt"), "anchor: got 14 tensors; expected none"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_state_of_another_learner_changes_nothing(case):
    rule, make_other, text = OTHERS[case]
    learner, other = trained(rule), make_other()
    before = everything(learner)
    with pytest.raises(RunError, match=f"state of a learner, {text}"):
        learner.load_state_dict(other.state_dict())
    assert_equal(everything(learner), before)


@pytest.mark.parametrize("damage", ["network", "auxiliary", "optimizer", "random", "anchor", "more"])
def test_a_damaged_state_changes_nothing(damage):
    learner = trained("stdl")
    before = everything(learner)
    state = copy.deepcopy(make("stdl", seed=3).state_dict())
    if damage == "more":
        state["speed"] = 3
    else:
        del state[damage]
    with pytest.raises(RunError, match=f"state of a learner: got (no )?{damage if damage != 'more' else 'speed'}"):
        learner.load_state_dict(state)
    state = copy.deepcopy(make("stdl", seed=3).state_dict()) | {damage: 3}
    with pytest.raises(RunError, match="state of a learner"):
        learner.load_state_dict(state)
    assert_equal(everything(learner), before)


@pytest.mark.parametrize("rule", RULES)
def test_global_generators_are_left_alone_and_do_not_matter(rule):
    def run(seed: int) -> dict[str, Any]:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the generator that is to be left alone
        before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
        learner = make(rule)
        learner.train_step(*clip())
        learner.network.eval()
        learner.network.step(clip()[0][0], learner.network.initial_state(BATCH))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert str(np.random.get_state()) == before[1]  # noqa: NPY002
        return learner.state_dict()

    assert_equal(run(1), run(2))
