"""Mistakes of a program that builds and trains a learner of its own: each is one error, and none is silent."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import BatchError, LossError, NotationError, PlanError, RuleError
from stdl_events.learning import Learner
from stdl_events.learning.checks import check_losses
from stdl_events.network.spec import NetworkSpec

SPEC = NetworkSpec.parse("4C3-AP2-4C3-3FC", input_shape=(2, 8, 8))
TARGETS_B = torch.tensor([0, 1])


def build(rule: str = "sltt", **options: Any) -> Learner:
    return build_learner(SPEC, rule, **{"batch_size": 2, "steps": 2, **options})


def frames() -> Tensor:
    return torch.rand(2, 2, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Own:
    """A loss of a chunk that returns whatever it is given."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def chunk(self, logits: Any, targets_B: Tensor, steps: int) -> Any:
        return self.value(logits[0])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "device": ({"device": "nope"}, "device: got 'nope'; expected a name of torch"),
    "no device": ({"device": None}, "device: got None; expected a name of torch"),
    "half a clip": ({"batch_size": 4.5}, "batch_size: got 4.5; expected a positive whole number"),
    "a bool": ({"steps": True}, "steps: got True; expected a positive whole number"),
    "seed": ({"seed": -1}, "seed: got -1; expected a whole number from 0 to"),
    "long seed": ({"seed": 2**63}, "seed: got 9223372036854775808; expected a whole number"),
    "NaN": ({"lr": float("nan")}, "lr: got nan; expected a finite number of at least 0"),
    "text": ({"weight_decay": "a"}, "weight_decay: got 'a'; expected a finite number"),
    "a text limit": ({"clip_norm": "a"}, "clip_norm: got 'a'; expected a positive number"),
    "decay of an average": ({"average_decay": "a"}, "average_decay: got 'a'; expected 0 <= average_decay < 1"),
    "one weight": ({"class_weights": 3}, "class_weights: got 3; expected positive numbers, one for each class"),
    "weights in words": ({"class_weights": "abc"}, "class_weights: got 'abc'; expected positive numbers"),
    "share": ({"alpha": "a"}, "alpha: got 'a'; expected 0 <= alpha <= 1"),
    "smoothing": ({"label_smoothing": [1]}, r"label_smoothing: got \[1\]; expected 0 <="),
    "penalty": ({"rate_penalty": "a"}, "rate_penalty: got 'a'; expected a number from 0 to"),
    "a deaf loss": ({"rate_penalty": 1e30}, r"rate_penalty: got 1e\+30; expected a number from 0 to 1e"),
    "target": ({"rate_penalty": 1, "target_rate": "a"}, r"target_rate: got \('a',\); expected shares"),
    "a target alone": ({"target_rate": 0.1}, "target_rate: got 0.1 without a rate_penalty; expected both, or neither"),
    "a target beside watching": ({"watch_rates": True, "target_rate": [0.1]}, r"got \[0.1\] without a rate_penalty"),
    "a rate in a tensor": ({"lr": torch.tensor(0.1)}, r"lr: got tensor\(0.1000\); expected a finite number of at"),
    "momentum in a tensor": ({"optimizer": "sgd", "momentum": torch.tensor(0.9)}, r"momentum: got tensor\(0.9000\)"),
    "a deaf neuron": ({"threshold": 1e30}, r"threshold: got 1e\+30; expected 1e-06 to 1e\+06"),
    "a flat surrogate": ({"surrogate_width": 1e30}, r"surrogate_width: got 1e\+30; expected 1e-06 to 1e\+06"),
    "blocks": ({"rule": "stdl", "least_blocks": "a"}, "least_blocks: got 'a'; expected a positive whole number"),
    "switch": ({"watch_rates": "no"}, "watch_rates: got 'no'; expected True or False"),
    "layers": ({"freeze": 1.5}, "freeze: got 1.5; expected a number of first layers, a name, or several"),
    "trace": ({"rule": "ottt-a", "trace_decay": "a"}, "trace_decay: got 'a'; expected 0 <= trace_decay < 1"),
    "proximal": ({"rule": "ftrl-ottt", "proximal": "a"}, "proximal: got 'a'; expected proximal >= 0"),
    "many clips": ({"batch_size": 10**30}, "batch_size: got 10+; expected at most 2147483648; use a smaller batch"),
    "a long number": ({"lr": 10**30}, "lr: got 10+; expected a finite number"),
    "decay": ({"lr": 0.1, "weight_decay": 10}, "weight_decay: got 10 with lr 0.1; expected less than 10, the inverse"),
    "a rule": ({"rule": 3}, "learning rule: got 3; expected bptt or "),
    "a norm": ({"norm": 0}, "norm: got 0; expected batch or "),
    "a value": ({"loss": torch.tensor(0.5)}, r"loss: got tensor\(0.5000\); expected a name, a function"),
    "no optimiser": ({"optimizer": 3}, "optimizer: got 3; expected one of sgd, adamw, or a function"),
    "a list of weights": ({"optimizer": lambda weights: weights}, "optimizer: got a list from <lambda>; expected a"),
    "closure": ({"optimizer": torch.optim.LBFGS}, "got LBFGS, whose step computes the loss again; expected"),
    "a class": ({"loss": torch.nn.CrossEntropyLoss}, "loss: got the class Cross.*; give CrossEntropyLoss()"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_told(case: str) -> None:
    options, text = WRONG[case]
    with pytest.raises((RuleError, NotationError), match=text.replace("()", r"\(\)")):
        build(**options)


def test_a_share_of_the_memory_is_a_number() -> None:
    for rho in ("a", float("inf"), True, 0):
        with pytest.raises(PlanError, match=f"rho: got {rho!r}; expected a positive share"):
            build("stdl", rho=rho)


@pytest.mark.parametrize("plan", [3, True, b"x", [3], [("4C3-AP2",), "4C3-3FC"]])
def test_plans_that_are_none_are_told(plan: Any) -> None:
    with pytest.raises(PlanError, match=r"plan: got the blocks .*; expected pairs of layers and auxiliary network"):
        build("stdl", plan=plan)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (lambda x: x, r"a tensor of shape \(2, 3\)"),
        (lambda x: (x * 1j).sum(), "a tensor of type torch.complex64"),
        (lambda x: 3.0, "a float"),
        (lambda x: x.detach().sum(), "a value that does not depend on the logits"),
    ],
)
def test_odd_losses_of_chunks_are_told_like_those_of_steps(value: Any, got: str) -> None:
    with pytest.raises(RuleError, match=f"loss: got {got}.*; expected a 0-d tensor"):
        build(loss=Own(value)).train_step(frames(), TARGETS_B)


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_a_loss_that_is_not_finite_changes_no_weight(memory: str) -> None:
    factor = 1.0
    learner = build(loss=lambda logits_BK, targets_B: (logits_BK * factor).sum(), memory=memory)
    learner.accumulate(frames(), TARGETS_B)
    before = [weight.clone() for weight in learner.network.parameters()]
    factor = float("nan")
    for learn in (learner.accumulate, learner.train_step):
        with pytest.raises(LossError, match="loss: got nan of block 0; expected a finite number; use a smaller"):
            learn(frames(), TARGETS_B)
        assert all(map(torch.equal, before, learner.network.parameters()))
    with pytest.raises(RuleError, match="update: got no gradients"):  # none of NaN are left over
        learner.update()
    with pytest.raises(LossError, match="got inf of block 1"):
        check_losses([torch.tensor(1.0), torch.tensor(float("inf"))])


def test_frames_to_predict_are_checked_like_those_to_learn_from() -> None:
    learner, broken = build(), frames()
    broken[1, 0, 0, 0, 0] = float("nan")
    for wrong, text in ((broken, "NaN or infinite"), (frames().numpy(), "ndarray"), (frames() * 1j, "complex64")):
        with pytest.raises(BatchError, match=text):
            learner.predict(wrong)
    assert learner.predict(frames()[:, :0]).shape == (0, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("device", "got"), [("cuda", "cuda, where torch cannot"), ("nope", "'nope'"), ("meta", "meta")]
)
def test_a_learner_moves_to_no_device_that_is_not_there(device: str, got: str) -> None:
    with pytest.raises(RuleError, match=f"device: got {got}"):
        build().to(device)


def test_one_name_or_number_freezes() -> None:
    for freeze in (1, "layers.0", ["layers.0"], [1]):
        learner = build(freeze=freeze)
        assert [weight.requires_grad for weight in learner.network.layers[0].parameters()] == [False] * 3
        assert all(weight.requires_grad for weight in learner.network.layers[1].parameters())
