"""The proximal term, which pulls weights W towards earlier weights Ŵ. Its gradient is added without a graph."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from stdl_events.learning.grid import Proximal


class Anchor:
    """Ŵ for some weights, and the gradient that pulls towards it.

    Args:
        weights: W; their current values are the first Ŵ.
    """

    def __init__(self, term: Proximal, weights: Iterable[nn.Parameter]) -> None:
        self.term, self._weights = term, tuple(weights)
        self._values = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the term's gradient to that of every weight that has one."""
        for weight, value in zip(self._weights, self._values, strict=True):
            if weight.grad is not None:
                weight.grad.add_(self._slope(weight - value), alpha=self.term.weight)

    @torch.no_grad()
    def move(self) -> None:
        """Set Ŵ to the current weights."""
        for weight, value in zip(self._weights, self._values, strict=True):
            value.copy_(weight)

    def to(self, device: torch.device) -> None:
        """Move Ŵ to `device`."""
        self._values = [value.to(device) for value in self._values]

    def state(self) -> list[Tensor]:
        """Ŵ, in the order of the weights."""
        return [value.clone() for value in self._values]

    @torch.no_grad()
    def restore(self, values: Sequence[Tensor]) -> None:
        """Restore the result of `state`."""
        for mine, value in zip(self._values, values, strict=True):
            mine.copy_(value)

    def _slope(self, difference: Tensor) -> Tensor:
        """The derivative of the term, without its weight, at W - Ŵ."""
        if self.term.norm == "l2":
            return 2 * difference
        if self.term.norm == "l1":
            return difference.sign()
        distance = torch.linalg.vector_norm(difference)
        # At W = Ŵ the norm has no derivative; the subgradient 0 is used.
        return torch.where(distance > 0, difference / (distance * difference.numel() ** 0.5), 0.0)
