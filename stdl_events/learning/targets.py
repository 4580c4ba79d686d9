"""Targets of clips: class indices targets_B, or soft ones targets_BK, weights of the classes. B batch, K classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stdl_events.errors import BatchError, ShapeError
from stdl_events.network.spec import NetworkSpec

# Of the sum of a clip's weights, which may be of float16.
ROUNDING = 1e-2


def has_soft_targets(loss: object) -> bool:
    """True if the targets of `loss` are targets_BK, weights of the classes."""
    return bool(getattr(loss, "soft_targets", False))


def example_targets(loss: object, batch_size: int, classes: int) -> Tensor:
    """Targets of `loss` as its training has them, on the host, for metering: all of class 0."""
    classes_B = torch.zeros(batch_size, dtype=torch.int64)
    return F.one_hot(classes_B, classes).to(torch.float32) if has_soft_targets(loss) else classes_B


def resident_targets(targets: Tensor, weight: Tensor) -> Tensor:
    """`targets` on the device of `weight`; soft ones in its dtype."""
    targets = targets.to(weight.device, non_blocking=True)
    return targets.to(weight.dtype) if targets.is_floating_point() else targets


def count_correct(logits_BK: Tensor, targets: Tensor) -> Tensor:
    """Number of clips whose largest logit is that of their class, or of their largest weight; a 0-d tensor."""
    return (logits_BK.argmax(1) == (targets.argmax(1) if targets.ndim == 2 else targets)).sum()


def one_hot(targets: Tensor, like_BK: Tensor, smoothing: float = 0.0) -> Tensor:
    """Weights of the classes for the logits `like_BK`; `smoothing` is the share that is spread over all of them."""
    # F.one_hot reads the targets' values, which synchronises with the device.
    rest = smoothing / like_BK.shape[1]
    if targets.ndim == 2:
        return targets * (1.0 - smoothing) + rest
    return torch.full_like(like_BK, rest, requires_grad=False).scatter_(1, targets[:, None], 1.0 - smoothing + rest)


def clip_weights(weights_K: Tensor, targets: Tensor) -> Tensor:
    """The weight of each clip's class, or the mean of those of its classes."""
    return targets.to(weights_K.dtype) @ weights_K if targets.ndim == 2 else weights_K[targets]


def as_soft_targets(targets_BK: Tensor, spec: NetworkSpec) -> Tensor:
    """`targets_BK`, if dtype and shape are those of weights of the classes of `spec`.

    Raises:
        BatchError: they are no tensor, or of another dtype.
        ShapeError: they have another shape.
    """
    if not isinstance(targets_BK, Tensor):
        raise not_a_tensor("training targets", targets_BK)
    expected = f"floating point weights of the classes, shape (B, {spec.classes}), since the loss has soft targets"
    if not targets_BK.is_floating_point():
        raise BatchError(
            "training targets", got=str(targets_BK.dtype), expected=expected,
            todo="use torch.nn.functional.one_hot(targets, classes).float(), or a loss without soft targets",
        )  # fmt: skip
    if targets_BK.ndim != 2 or targets_BK.shape[1] != spec.classes or len(targets_BK) == 0:
        raise ShapeError(
            "training targets", got=f"shape {tuple(targets_BK.shape)}", expected=expected,
            todo="give each sequence a weight for each class",
        )  # fmt: skip
    return targets_BK


def soft_targets_test(targets_BK: Tensor) -> tuple[Tensor, BatchError]:
    """A 0-d tensor that is true for weights that are not negative and sum to 1, and the error if it is not."""
    sums_to_1 = ((targets_BK.sum(1, dtype=torch.float64) - 1).abs() <= ROUNDING).all()
    return (targets_BK >= 0).all() & sums_to_1, BatchError(
        "training targets", got="weights that are negative, or do not sum to 1",
        expected="a share of each class for each sequence", todo="divide them by their sum",
    )  # fmt: skip


def not_a_tensor(subject: str, got: object) -> BatchError:
    """The error for anything else in place of a tensor."""
    return BatchError(subject, got=type(got).__name__, expected="a tensor", todo="convert it with torch.as_tensor")
