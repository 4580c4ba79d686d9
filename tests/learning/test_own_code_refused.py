"""Mistakes of a program that builds and trains a learner of its own: each is one error, and none is silent."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import BatchError, LossError, PlanError, RuleError
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
    "no optimiser": ({"optimizer": 3}, "optimizer: got 3; expected one of sgd, adamw, or a function"),
    "a list of weights": ({"optimizer": lambda weights: weights}, "optimizer: got a list from <lambda>; expected a"),
    "closure": ({"optimizer": torch.optim.LBFGS}, "got LBFGS, whose step computes the loss again; expected"),
    "a class": ({"loss": torch.nn.CrossEntropyLoss}, "loss: got the class Cross.*; give CrossEntropyLoss()"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_told(case: str) -> None:
    options, text = WRONG[case]
    with pytest.raises(RuleError, match=text.replace("()", r"\(\)")):
        build(**options)


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
