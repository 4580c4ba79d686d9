"""Local losses: what a block learns from in one chunk of time steps. B batch, K classes."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from stdl_events.errors import RuleError
from stdl_events.learning.grid import LossKind, require_choice

MSETarget: TypeAlias = Literal["one-hot", "threshold"]


class Loss(Protocol):
    """Turns a chunk's logits into one number to learn from."""

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int) -> Tensor:
        """The loss of consecutive steps' logits_BK out of a sequence of `steps`, a 0-d tensor."""
        ...


@dataclasses.dataclass(frozen=True)
class InstantaneousLoss:
    """A loss for each time step by itself: `((1 - alpha) CE + alpha MSE) / T` (SLTT, section 4.1 and appendix).

    The STDL paper leaves its loss open; SLTT's, with alpha = 0.05, is the default.

    Args:
        kind: "ce" is cross-entropy alone.
        alpha: the share of the mean squared error.
        mse_target: what the squared error pulls the logits to: the "one-hot" target (SLTT, OTTT, NDOT), or the firing
            "threshold" for every class alike (TET, Deng et al., arXiv:2202.11946).
        threshold: V_th of the neurons.
    """

    kind: LossKind = "ce+mse"
    alpha: float = 0.05
    mse_target: MSETarget = "one-hot"
    threshold: float = 1.0

    def __post_init__(self) -> None:
        require_choice("mse_target", self.mse_target, ("one-hot", "threshold"))
        if not 0 <= self.alpha <= 1:
            raise RuleError("alpha", got=repr(self.alpha), expected="0 <= alpha <= 1", todo="change alpha")

    def __call__(self, logits_BK: Tensor, targets_B: Tensor) -> Tensor:
        """The loss of one step, without the division by T: the mean over the batch, a 0-d tensor."""
        cross_entropy = F.cross_entropy(logits_BK, targets_B)
        if self.kind == "ce" or self.alpha == 0:
            return cross_entropy
        if self.mse_target == "threshold":
            wanted_BK = torch.full_like(logits_BK, self.threshold)
        else:
            wanted_BK = _one_hot(targets_B, logits_BK)
        return (1 - self.alpha) * cross_entropy + self.alpha * F.mse_loss(logits_BK, wanted_BK)

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int) -> Tensor:
        """See `Loss`."""
        first, *others = (self(logits_BK, targets_B) / steps for logits_BK in logits)  # STDL eq. (11); 1/T as in SLTT
        return sum(others, start=first)


@dataclasses.dataclass(frozen=True)
class IntervalSpikeLoss:
    """MSE between the one-hot target and the classifier's mean spikes over the chunk, a short one over its own length.

    Source: truncated local BPTT, eq. (3).
    """

    def chunk(self, logits: Sequence[Tensor], targets_B: Tensor, steps: int) -> Tensor:
        """See `Loss`; the logits are the spikes of a spiking classifier."""
        del steps  # each interval is a loss of its own
        mean_BK = torch.stack(list(logits)).mean(0)
        return F.mse_loss(mean_BK, _one_hot(targets_B, mean_BK))


def make_loss(kind: LossKind, *, alpha: float, mse_target: MSETarget, threshold: float) -> Loss:
    """The loss called `kind`.

    Raises:
        RuleError: there is none, or a value is impossible.
    """
    require_choice("loss", kind, ("ce", "ce+mse", "spike-mse"))
    instantaneous = InstantaneousLoss(kind, alpha, mse_target, threshold)
    return IntervalSpikeLoss() if kind == "spike-mse" else instantaneous


def _one_hot(targets_B: Tensor, like_BK: Tensor) -> Tensor:
    # F.one_hot looks at the targets' values, which a host has to wait for.
    return torch.zeros_like(like_BK, requires_grad=False).scatter_(1, targets_B[:, None], 1.0)
