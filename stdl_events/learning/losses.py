"""Local losses of a block in one chunk of time steps. B batch, K classes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from stdl_events.arguments import is_number
from stdl_events.errors import RuleError
from stdl_events.learning.grid import require_choice
from stdl_events.learning.targets import clip_weights, has_soft_targets, one_hot
from stdl_events.network.spec import Classifier

MSETarget: TypeAlias = Literal["one-hot", "threshold"]
StepLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""The loss of one step, a 0-d tensor, of logits_BK and targets_B (int64). A sequence's is its mean over time.

A loss with a true attribute `soft_targets` has targets_BK instead, the weights of the classes, in the logits' dtype.
"""


class Loss(Protocol):
    """A loss of a chunk's logits.

    A `Loss` or `StepLoss` may have an attribute `classifier`: "spiking" if its logits must be the spikes of a spiking
    classifier. Without it classifiers are linear. With a true attribute `soft_targets` its targets are targets_BK.
    """

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int, /) -> Tensor:
        """The loss of consecutive steps' logits_BK out of a sequence of `steps`, a 0-d tensor."""
        ...


def needed_classifier(loss: Loss | StepLoss) -> Classifier:
    """The kind of classifier that `loss` is computed on."""
    classifier: Classifier = getattr(loss, "classifier", "linear")
    return classifier


@dataclasses.dataclass(frozen=True)
class PerStep:
    """The sum over steps of a loss of one step, divided by T.

    Args:
        step_loss: the loss of one step.
    """

    step_loss: StepLoss

    @property
    def classifier(self) -> Classifier:
        return needed_classifier(self.step_loss)

    @property
    def soft_targets(self) -> bool:
        return has_soft_targets(self.step_loss)

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int, /) -> Tensor:
        """See `Loss`."""
        first, *others = (
            self._of(logits_BK, targets_B) / steps for logits_BK in logits
        )  # STDL eq. (11); 1/T as in SLTT
        return sum(others, start=first)

    def _of(self, logits_BK: Tensor, targets_B: Tensor) -> Tensor:
        return checked_loss(self.step_loss(logits_BK, targets_B), logits_BK)


def checked_loss(value: object, logits_BK: Tensor) -> Tensor:
    """`value`, if it is a loss that weights can learn from; its number is not read.

    Raises:
        RuleError: it is no 0-d tensor of real numbers, or cannot be differentiated where the logits can.
    """
    if not isinstance(value, Tensor):
        raise _odd_value(f"a {type(value).__name__}")
    if value.ndim:
        raise _odd_value(f"a tensor of shape {tuple(value.shape)}")
    if not value.is_floating_point():
        raise _odd_value(f"a tensor of type {value.dtype}")
    if logits_BK.requires_grad and not value.requires_grad:
        raise _odd_value("a value that does not depend on the logits, or is detached from them")
    return value


def _odd_value(got: str) -> RuleError:
    todo = "let the loss return the mean over the batch, computed from the logits by torch"
    return RuleError("loss", got=got, expected="a 0-d tensor for each step", todo=todo)


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """`CE / T` in each time step.

    Args:
        label_smoothing: share s of each target that is spread over all K classes: (1 - s) one-hot + s / K (Szegedy et
            al., arXiv:1512.00567).
        class_weights: one for each class, in their order. A clip counts with the weight of its class; the loss is the
            weighted mean over the batch. None for equal ones.
        soft_targets: targets are targets_BK, weights of the classes that sum to 1, such as those of mixed clips. The
            weight of a clip is then the mean of its classes' weights.
    """

    label_smoothing: float = dataclasses.field(default=0.0, kw_only=True)
    soft_targets: bool = dataclasses.field(default=False, kw_only=True)
    class_weights: tuple[float, ...] | Tensor | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (is_number(self.label_smoothing) and 0 <= self.label_smoothing < 1):
            raise RuleError(
                "label_smoothing", got=repr(self.label_smoothing), expected="0 <= label_smoothing < 1",
                todo="change label_smoothing",
            )  # fmt: skip
        weights = self.class_weights
        if weights is None or isinstance(weights, Tensor):
            return
        if not isinstance(weights, tuple) or not all(is_number(weight) and weight > 0 for weight in weights):
            raise RuleError(
                "class_weights", got=repr(weights), expected="positive numbers, one for each class, such as (1, 5)",
                todo="leave a class out of the data instead of weighing it with 0",
            )  # fmt: skip

    def __call__(self, logits_BK: Tensor, targets_B: Tensor) -> Tensor:
        """The loss of one step, without the division by T: the mean over the batch, a 0-d tensor."""
        smoothing = self.label_smoothing
        if self.class_weights is None:
            return F.cross_entropy(logits_BK, targets_B, label_smoothing=smoothing)
        each_B = F.cross_entropy(logits_BK, targets_B, label_smoothing=smoothing, reduction="none")
        return self._weighted_mean(each_B, targets_B)

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int, /) -> Tensor:
        """See `Loss`."""
        return PerStep(self).chunk(logits, targets_B, steps)

    def _weighted_mean(self, each_B: Tensor, targets_B: Tensor) -> Tensor:
        weights = self.class_weights
        weights_K = weights if isinstance(weights, Tensor) else each_B.new_tensor(weights)
        weights_B = clip_weights(weights_K, targets_B)
        return (each_B * weights_B).sum() / weights_B.sum()


@dataclasses.dataclass(frozen=True)
class InstantaneousLoss(CrossEntropy):
    """`((1 - alpha) CE + alpha MSE) / T` in each time step (SLTT, section 4.1 and appendix).

    The STDL paper does not give its loss; SLTT's, with alpha = 0.05, is the default. Label smoothing changes the
    one-hot targets of both parts, class weights weigh both.

    Args:
        alpha: the share of the mean squared error.
        mse_target: target of the squared error: "one-hot" (SLTT, OTTT, NDOT), or the firing "threshold" for every class
            (TET, Deng et al., arXiv:2202.11946).
        threshold: V_th of the neurons.
    """

    alpha: float = 0.05
    mse_target: MSETarget = "one-hot"
    threshold: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("mse_target", self.mse_target, ("one-hot", "threshold"))
        if not (is_number(self.alpha) and 0 <= self.alpha <= 1):
            raise RuleError("alpha", got=repr(self.alpha), expected="0 <= alpha <= 1", todo="change alpha")

    def __call__(self, logits_BK: Tensor, targets_B: Tensor) -> Tensor:
        """See `CrossEntropy`."""
        cross_entropy = super().__call__(logits_BK, targets_B)
        if self.alpha == 0:
            return cross_entropy
        if self.mse_target == "threshold":
            wanted_BK = torch.full_like(logits_BK, self.threshold)
        else:
            wanted_BK = one_hot(targets_B, logits_BK, self.label_smoothing)
        if self.class_weights is None:
            squared = F.mse_loss(logits_BK, wanted_BK)
        else:
            squared = self._weighted_mean(F.mse_loss(logits_BK, wanted_BK, reduction="none").mean(1), targets_B)
        return (1 - self.alpha) * cross_entropy + self.alpha * squared


@dataclasses.dataclass(frozen=True)
class IntervalSpikeLoss:
    """MSE between the one-hot target and the classifier's mean spikes over the chunk, whatever its length.

    Args:
        soft_targets: targets are targets_BK, as in `CrossEntropy`.

    Source: truncated local BPTT, eq. (3).
    """

    soft_targets: bool = dataclasses.field(default=False, kw_only=True)
    classifier: ClassVar[Classifier] = "spiking"

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int, /) -> Tensor:
        """See `Loss`; the logits are the spikes of a spiking classifier."""
        del steps  # each interval has a loss of its own
        mean_BK = torch.stack(list(logits)).mean(0)
        return F.mse_loss(mean_BK, one_hot(targets_B, mean_BK))


CROSS_ENTROPY = CrossEntropy()
CROSS_ENTROPY_AND_MSE = InstantaneousLoss()
SPIKE_MSE = IntervalSpikeLoss()
