"""The loss of one step, and the optimisers' first steps, against formulas written out."""

import math

import numpy as np
import pytest
import torch

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning.make_loss import make_loss
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


def literal_weighted_loss(kind: str, alpha: float, smoothing: float, weights: list[float]) -> float:
    """Scalar by scalar, with smoothed targets and a weight for each clip."""
    total = norm = 0.0
    for row, target in zip(LOGITS, TARGETS, strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        wanted = [(1 - smoothing) * (index == target) + smoothing / len(row) for index in range(len(row))]
        cross_entropy = sum(share * (log_sum - value) for share, value in zip(wanted, row, strict=True))
        aims = wanted if kind == "one-hot" else [0.7] * len(row)
        square = sum((value - aim) ** 2 for value, aim in zip(row, aims, strict=True)) / len(row)
        total += weights[target] * ((1 - alpha) * cross_entropy + alpha * square)
        norm += weights[target]
    return total / norm


@pytest.mark.parametrize(("smoothing", "weights"), [(0.1, None), (0.0, [1.0, 0.25, 4.0]), (0.3, [2.0, 0.5, 1.0])])
@pytest.mark.parametrize(
    ("kind", "alpha", "target"), [("ce", None, None), ("ce+mse", 0.4, "one-hot"), ("ce+mse", 0.4, "threshold")]
)
def test_smoothed_targets_and_class_weights(kind, alpha, target, smoothing, weights):
    made = make_loss(
        kind, alpha=alpha, mse_target=target, threshold=0.7, label_smoothing=smoothing, class_weights=weights
    )
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    loss = made.chunk([logits], torch.tensor(TARGETS), 1)
    expected = literal_weighted_loss(target or "one-hot", alpha or 0.0, smoothing, weights or [1.0] * 3)
    assert loss.item() == pytest.approx(expected, rel=1e-13)
    targets = torch.tensor(TARGETS)
    assert torch.autograd.gradcheck(lambda values: made.chunk([values], targets, 1), [logits])


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_every_block_learns_by_smoothed_targets_and_class_weights(memory):
    """The reported loss of each block is that of the logits it is computed on, which smoothing and weights change."""
    spec = NetworkSpec.parse("3C3-4C3-4FC", input_shape=(2, 6, 6))
    changed = {"label_smoothing": 0.2, "class_weights": [1.0, 8.0, 0.5, 2.0]}
    options = {"batch_size": 5, "steps": 3, "memory": memory, "loss": "ce", "dtype": torch.float64}
    rule = {"rule": "tbptt", "k": 1, "n": 1}
    frames = torch.rand(3, 5, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    targets = torch.tensor([0, 1, 2, 3, 0])
    twin, learner = (build_learner(spec, **rule, **options, **extra) for extra in ({}, changed))
    logits: list[list[torch.Tensor]] = [[] for _ in twin.blocks]
    passed = list(frames)
    for block, steps in zip(twin.blocks, logits, strict=True):
        state = block.initial_state(5)
        for time, frame in enumerate(passed):
            passed[time], logits_BK, state = block.step(frame, state)
            steps.append(logits_BK.detach())
    metrics = learner.backward(frames, targets)
    weights = torch.tensor(changed["class_weights"], dtype=torch.float64)[targets]
    wanted = 0.8 * torch.eye(4, dtype=torch.float64)[targets] + 0.05
    assert len(logits) == 2
    for index, steps in enumerate(logits):
        each = [-(wanted * torch.log_softmax(logits_BK, 1)).sum(1) for logits_BK in steps]
        expected = sum((value * weights).sum() / weights.sum() for value in each) / 3
        torch.testing.assert_close(metrics[f"block_loss_{index}"], expected, rtol=1e-12, atol=0)


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


def clipped(gradients: list[list[float]], limit: float) -> list[list[float]]:
    """All of them times limit over their common norm, where that is above the limit."""
    norm = math.sqrt(sum(value * value for gradient in gradients for value in gradient))
    return [[value * min(1.0, limit / norm) for value in gradient] for gradient in gradients]


@pytest.mark.parametrize("limit", [0.05, 1e6])
@pytest.mark.parametrize(
    ("rule", "options"), [("sltt", {}), ("tbptt", {"k": 3, "n": 1}), ("ftrl-ottt", {"update": "step", "proximal": 0.3})]
)
def test_gradients_are_clipped_by_their_common_norm_before_each_update(rule, options, limit):
    """Rules that update in each step clip in each step; momentum is of the clipped gradients."""
    spec = NetworkSpec.parse("3C3-4C3-4FC", input_shape=(2, 6, 6), norm="none")
    options = options | {"rule": rule, "batch_size": 5, "steps": 3, "dtype": torch.float64, "memory": "plain"}
    frames = torch.rand(3, 5, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    targets = torch.tensor([0, 1, 2, 3, 0])
    settings = {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.01}
    learner = build_learner(spec, **options, **settings, clip_norm=limit)
    twin = build_learner(spec, **options, **settings)
    weights = [weight for block in twin.blocks for weight in block.parameters() if weight.requires_grad]
    update, norms = twin.optimizer.step, []

    def clip_and_update() -> None:
        given = [[] if weight.grad is None else weight.grad.flatten().tolist() for weight in weights]
        norms.append(math.hypot(*(value for gradient in given for value in gradient)))
        for weight, gradient in zip(weights, clipped(given, limit), strict=True):
            if weight.grad is not None:
                weight.grad = torch.tensor(gradient, dtype=torch.float64).reshape(weight.shape)
        update()

    twin.optimizer.step = clip_and_update
    for _ in range(2):
        learner.train_step(frames, targets)
        twin.train_step(frames, targets)
    assert len(norms) == (6 if options.get("update") == "step" else 2)
    assert max(norms) > limit or limit == 1e6
    ours = [weight for block in learner.blocks for weight in block.parameters() if weight.requires_grad]
    for one, other in zip(ours, weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": "hinge"}, "loss: got 'hinge'; expected ce or ce+mse or spike-mse; choose one of these"),
        ({"alpha": 1.5}, "alpha: got 1.5; expected 0 <= alpha <= 1; change alpha"),
        ({"alpha": -0.1}, "alpha: got -0.1; expected 0 <= alpha <= 1; change alpha"),
        (
            {"label_smoothing": 1.0},
            "label_smoothing: got 1.0; expected 0 <= label_smoothing < 1; change label_smoothing",
        ),
        (
            {"class_weights": [1.0, 0.0, 1.0, 1.0]},
            "class_weights: got (1.0, 0.0, 1.0, 1.0); expected positive numbers, one for each class, such as (1, 5); "
            "leave a class out of the data instead of weighing it with 0",
        ),
        (
            {"class_weights": [1.0, 2.0]},
            "class_weights: got 2 of them; expected 4, one for each class in their order; "
            "give as many as there are classes",
        ),
        (
            {"loss": "spike-mse", "class_weights": [1.0, 2.0, 1.0, 1.0]},
            "loss spike-mse: got the setting class_weights; expected a loss that has it, such as ce+mse; "
            "leave class_weights out, or choose another loss",
        ),
        (
            {"loss": "spike-mse", "label_smoothing": 0.1},
            "loss spike-mse: got the setting label_smoothing; expected a loss that has it, such as ce+mse; "
            "leave label_smoothing out, or choose another loss",
        ),
        ({"clip_norm": 0.0}, "clip_norm: got 0.0; expected a positive number; leave it out to clip nothing"),
        ({"optimizer": "lion"}, "optimizer: got 'lion'; expected sgd or adamw; choose one of these"),
    ],
)
def test_wrong_choices_are_told(options, text):
    spec = NetworkSpec.parse("3C3-4FC", input_shape=(2, 6, 6))
    with pytest.raises(RuleError) as caught:
        build_learner(spec, rule="sltt", batch_size=5, steps=3, **options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (lambda logits_BK, targets_B: 1.0, "a float"),
        (lambda logits_BK, targets_B: logits_BK.sum().detach(), "a value that does not depend"),
        (
            lambda logits_BK, targets_B: (logits_BK.argmax(1) != targets_B).sum(),
            "a tensor of type torch.int64",
        ),
    ],
)
def test_values_of_a_loss_that_nothing_can_be_learnt_from(loss, got):
    spec = NetworkSpec.parse("2C3-3FC", input_shape=(2, 6, 6))
    learner = build_learner(spec, rule="sltt", loss=loss, batch_size=2, steps=1, memory="plain")
    with pytest.raises(RuleError, match=f"loss: got {got}.*; expected a 0-d tensor for each step; let the loss"):
        learner.train_step(torch.ones(1, 2, 2, 6, 6), torch.tensor([0, 1]))
