"""Targets that are weights of the classes: literal losses, equality with class indices, refusals, the meter."""

import math

import numpy as np
import pytest
import torch

from stdl_events.build import build_learner, plan_learner
from stdl_events.errors import BatchError, RuleError, ShapeError
from stdl_events.learning.make_loss import make_loss
from stdl_events.learning.targets import example_targets
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.spec import NetworkSpec

LOGITS = [[0.5, -1.25, 2.0], [0.0, 0.0, 0.0], [30.0, -30.0, 1.0]]
TARGETS = [[0.25, 0.0, 0.75], [1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]
SPEC = NetworkSpec.parse("3C3-4C3-4FC", input_shape=(2, 6, 6))
FRAMES = torch.rand(3, 5, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
OPTIONS = {"batch_size": 5, "steps": 3, "dtype": torch.float64, "rule": "sltt"}


def literal_loss(alpha: float, smoothing: float, weights: list[float]) -> float:
    """Scalar by scalar."""
    total = norm = 0.0
    for row, target in zip(LOGITS, TARGETS, strict=True):
        wanted = [(1 - smoothing) * share + smoothing / 3 for share in target]
        log_sum = math.log(sum(map(math.exp, row)))
        cross_entropy = sum(share * (log_sum - value) for share, value in zip(wanted, row, strict=True))
        square = sum((value - share) ** 2 for share, value in zip(wanted, row, strict=True)) / 3
        weight = sum(share * own for share, own in zip(target, weights, strict=True))
        total += weight * ((1 - alpha) * cross_entropy + alpha * square)
        norm += weight
    return total / norm


@pytest.mark.parametrize(("smoothing", "weights"), [(0.0, None), (0.2, None), (0.1, [2.0, 0.5, 1.0])])
@pytest.mark.parametrize(("kind", "alpha"), [("ce", None), ("ce+mse", 0.4)])
def test_the_loss_of_one_step(kind, alpha, smoothing, weights):
    made = make_loss(
        kind, alpha=alpha, threshold=1.0, label_smoothing=smoothing, class_weights=weights, soft_targets=True
    )
    targets_BK = torch.tensor(TARGETS, dtype=torch.float64)
    loss = made.chunk([torch.tensor(LOGITS, dtype=torch.float64)], targets_BK, 1)
    assert loss.item() == pytest.approx(literal_loss(alpha or 0.0, smoothing, weights or [1.0] * 3), rel=1e-13)


def test_spikes_are_compared_with_the_weights():
    spikes = torch.tensor([[[1.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]], dtype=torch.float64)
    loss = make_loss("spike-mse", threshold=1.0, soft_targets=True)
    value = loss.chunk(list(spikes), torch.tensor([[0.6, 0.4, 0.0]], dtype=torch.float64), 2)
    assert value.item() == pytest.approx(((1 - 0.6) ** 2 + (0.5 - 0.4) ** 2) / 3)


@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("loss", ["ce", "ce+mse", "spike-mse"])
def test_whole_classes_train_as_their_indices_do(memory, loss):
    targets = torch.tensor([0, 1, 2, 3, 0])
    by_index = build_learner(SPEC, **OPTIONS, memory=memory, loss=loss)
    by_weight = build_learner(SPEC, **OPTIONS, memory=memory, loss=loss, soft_targets=True)
    expected = by_index.train_step(FRAMES, targets)
    metrics = by_weight.train_step(FRAMES, torch.eye(4)[targets])
    assert metrics["correct"] == expected["correct"]
    assert metrics["loss"].item() == pytest.approx(expected["loss"].item(), rel=1e-12)
    for one, other in zip(by_index.network.parameters(), by_weight.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        (torch.tensor([0, 1, 2, 3, 0]), BatchError, "got torch.int64; expected floating point weights of the classes"),
        (torch.eye(5), ShapeError, r"got shape \(5, 5\); expected .* \(B, 4\)"),
        (torch.rand(5), ShapeError, r"got shape \(5,\)"),
        (torch.full((5, 4), 0.3), BatchError, "weights that are negative, or do not sum to 1"),
        (torch.tensor([[-0.5, 1.5, 0.0, 0.0]] * 5), BatchError, "weights that are negative"),
        (torch.full((5, 4), math.nan), BatchError, "weights that are negative, or do not sum"),
        (np.eye(5, 4), BatchError, "got ndarray; expected a tensor"),
    ],
)
def test_other_targets_are_refused_before_anything_moves(targets, error, text):
    learner = build_learner(SPEC, **OPTIONS, loss="ce", soft_targets=True)
    before = [weight.clone() for weight in learner.network.parameters()]
    for frames in (FRAMES, iter(FRAMES)):
        with pytest.raises(error, match=text):
            learner.train_step(frames, targets)
    assert all(torch.equal(*pair) for pair in zip(before, learner.network.parameters(), strict=True))


def test_a_loss_without_them_refuses_them():
    def margin(logits_BK, targets_B):
        return torch.nn.functional.multi_margin_loss(logits_BK, targets_B)

    with pytest.raises(RuleError, match="loss function: got the setting soft_targets; expected a loss that has it"):
        build_learner(SPEC, **OPTIONS, loss=margin, soft_targets=True)
    with pytest.raises(BatchError, match=r"got torch\.float32; expected class indices"):
        build_learner(SPEC, **OPTIONS, loss="ce").train_step(FRAMES, torch.eye(5, 4))


def test_the_meter_trains_on_such_targets():
    whole, *_ = measure_learner(*plan_learner(SPEC, **OPTIONS, loss="ce"))
    soft, *_ = measure_learner(*plan_learner(SPEC, **OPTIONS, loss="ce", soft_targets=True))
    # Weights of four classes of float64 instead of one int64, for five clips.
    assert soft.peak_bytes - whole.peak_bytes >= 5 * 4 * 8 - 5 * 8
    targets_BK = example_targets(make_loss("ce", threshold=1.0, soft_targets=True), 5, 4)
    np.testing.assert_array_equal(targets_BK.numpy(), np.eye(4, dtype=np.float32)[[0] * 5])
    assert example_targets(make_loss("ce", threshold=1.0), 5, 4).tolist() == [0] * 5
