"""The loss of one step, and the optimisers' first steps, against formulas written out."""

import math

import numpy as np
import pytest
import torch

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning.losses import make_loss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.network.spec import NetworkSpec

LOGITS = [[0.5, -1.25, 2.0], [0.0, 0.0, 0.0], [30.0, -30.0, 1.0], [-2.0, 0.25, 0.125]]
TARGETS = [2, 0, 1, 1]


def literal_loss(alpha: float) -> float:
    """Scalar by scalar."""
    cross_entropies, squares = [], []
    for row, target in zip(LOGITS, TARGETS, strict=True):
        cross_entropies.append(math.log(sum(math.exp(value - row[target]) for value in row)))
        squares += [(value - (index == target)) ** 2 for index, value in enumerate(row)]
    return (1 - alpha) * sum(cross_entropies) / len(cross_entropies) + alpha * sum(squares) / len(squares)


@pytest.mark.parametrize(
    ("kind", "alpha", "share"), [("ce", None, 0.0), ("ce+mse", 0.0, 0.0), ("ce+mse", None, 0.05), ("ce+mse", 1.0, 1.0)]
)
def test_the_loss_of_one_step(kind, alpha, share):
    made = make_loss(kind, alpha=alpha, threshold=1.0)
    loss = made.chunk([torch.tensor(LOGITS, dtype=torch.float64)], torch.tensor(TARGETS), 1)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(literal_loss(share), rel=1e-13)


@pytest.mark.parametrize(("loss", "alpha", "share"), [("ce", None, 0.0), ("ce+mse", 0.5, 0.5)])
def test_a_learner_reports_the_mean_over_time(loss, alpha, share):
    """A classifier on frames has no state, so that every step's loss can be written down."""
    spec = NetworkSpec.parse("3FC", input_shape=(2, 1, 1))
    learner = build_learner(
        spec, rule="sltt", batch_size=4, steps=3, loss=loss, alpha=alpha, dtype=torch.float64, seed=1
    )
    frames = torch.rand(3, 4, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor(TARGETS)
    expected = 0.0
    for frame in frames:
        linear = learner.network.layers[0].body.linear
        logits = (frame[..., 0, 0] @ linear.weight.T + linear.bias).detach().numpy()
        one_hot = np.eye(3)[TARGETS]
        cross_entropy = -np.log((np.exp(logits) * one_hot).sum(1) / np.exp(logits).sum(1)).mean()
        expected += ((1 - share) * cross_entropy + share * ((logits - one_hot) ** 2).mean()) / 3
    assert learner.backward(frames, targets)["loss"].item() == pytest.approx(expected, rel=1e-13)


def run_optimizer(spec: OptimizerSpec, start: list[float], slopes: list[list[float]]) -> list[list[float]]:
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = spec.build([weight])
    path = []
    for slope in slopes:
        weight.grad = torch.tensor(slope, dtype=torch.float64)
        optimizer.step()
        path.append(weight.tolist())
    return path


START, SLOPES = [1.5, -0.25], [[0.3, -2.0], [0.1, 1.0], [-4.0, 0.0]]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_its_formula(momentum):
    """g' = g + wd w; v = momentum v + g', v = g' at first; w = w - lr v."""
    lr, decay = 0.4, 0.05
    expected, w, v = [], list(START), [0.0, 0.0]
    for slope in SLOPES:
        v = [momentum * old + g + decay * x for old, g, x in zip(v, slope, w, strict=True)]
        w = [x - lr * step for x, step in zip(w, v, strict=True)]
        expected.append(w)
    spec = OptimizerSpec("sgd", lr=lr, momentum=momentum, weight_decay=decay)
    np.testing.assert_allclose(run_optimizer(spec, START, SLOPES), expected, rtol=1e-14)
    assert spec.slots == (1 if momentum else 0)


def test_adamw_is_its_formula():
    """w = w (1 - lr wd) - lr m̂ / (sqrt(v̂) + 1e-8), with moments that decay by 0.9 and 0.999."""
    lr, decay = 0.01, 0.1
    expected, w, m, v = [], list(START), [0.0, 0.0], [0.0, 0.0]
    for t, slope in enumerate(SLOPES, start=1):
        m = [0.9 * old + 0.1 * g for old, g in zip(m, slope, strict=True)]
        v = [0.999 * old + 0.001 * g * g for old, g in zip(v, slope, strict=True)]
        steps = [(a / (1 - 0.9**t)) / (math.sqrt(b / (1 - 0.999**t)) + 1e-8) for a, b in zip(m, v, strict=True)]
        w = [x * (1 - lr * decay) - lr * step for x, step in zip(w, steps, strict=True)]
        expected.append(w)
    spec = OptimizerSpec("adamw", lr=lr, weight_decay=decay)
    np.testing.assert_allclose(run_optimizer(spec, START, SLOPES), expected, rtol=1e-12)
    assert spec.slots == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_train_step_is_its_gradients_and_one_step_of_the_optimiser(optimizer):
    spec = NetworkSpec.parse("3C3-4FC", input_shape=(2, 6, 6))
    settings = {"lr": 0.03, "weight_decay": 0.01} | ({"momentum": 0.8} if optimizer == "sgd" else {})
    options = {"optimizer": optimizer, "dtype": torch.float64, **settings}
    frames = torch.rand(3, 5, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    targets = torch.tensor([0, 1, 2, 3, 0])
    learner, twin = (build_learner(spec, rule="sltt", batch_size=5, steps=3, **options) for _ in range(2))
    learner.train_step(frames, targets)
    twin.backward(frames, targets)
    chosen = OptimizerSpec(optimizer, **settings)
    for ours, reference in zip(learner.network.parameters(), twin.network.parameters(), strict=True):
        (moved,) = run_optimizer(chosen, reference.flatten().tolist(), [reference.grad.flatten().tolist()])
        torch.testing.assert_close(ours.flatten().tolist(), moved, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": "hinge"}, "loss: got 'hinge'; expected ce or ce+mse or spike-mse; choose one of these"),
        ({"alpha": 1.5}, "alpha: got 1.5; expected 0 <= alpha <= 1; change alpha"),
        ({"alpha": -0.1}, "alpha: got -0.1; expected 0 <= alpha <= 1; change alpha"),
        ({"optimizer": "lion"}, "optimizer: got 'lion'; expected sgd or adamw; choose one of these"),
    ],
)
def test_wrong_choices_are_told(options, text):
    spec = NetworkSpec.parse("3C3-4FC", input_shape=(2, 6, 6))
    with pytest.raises(RuleError) as caught:
        build_learner(spec, rule="sltt", batch_size=5, steps=3, **options)
    assert str(caught.value) == text
