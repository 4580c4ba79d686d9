"""The gradients of a learner's weights: dropped, or accumulated over batches as those of one batch of all their clips.

A loss is a mean over its batch. Accumulated gradients are therefore scaled, so that they always are those of the mean
over all clips so far.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from stdl_events.errors import RuleError
from stdl_events.learning.block import LocalBlock


class Gradients:
    """The gradients of the weights of `blocks`, which `optimizer` applies.

    Args:
        keep_addresses: zero the gradients instead of dropping them, since recorded graphs contain their addresses.

    Attributes:
        batches: number of accumulated batches.
    """

    def __init__(
        self, blocks: Sequence[LocalBlock], optimizer: torch.optim.Optimizer, *, keep_addresses: bool = False
    ) -> None:
        self._blocks, self._optimizer, self._keep_addresses = blocks, optimizer, keep_addresses
        self._total: Tensor | float = 0.0
        self.batches = 0

    def forget(self) -> None:
        """Drop all gradients, or zero them."""
        self._optimizer.zero_grad(set_to_none=not self._keep_addresses)
        self.forget_frozen()

    def forget_frozen(self) -> None:
        """Drop those of frozen parameters: the optimiser updates every parameter with a gradient, even of zeros."""
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if not parameter.requires_grad:
                    parameter.grad = None

    def clear(self) -> None:
        """Count from 0 again; gradients are not changed."""
        self._total, self.batches = 0.0, 0

    @contextlib.contextmanager
    def adding(self, share: Tensor | float) -> Iterator[None]:
        """Context in which a batch of this weight in the mean adds its gradients; an error drops all of them."""
        try:
            if self.batches:
                self._scale(self._total / share)
            else:
                self.forget()
            yield
            if self.batches:
                self._scale(share / (self._total + share))
        except BaseException:
            self.forget()
            self.clear()
            raise
        self._total, self.batches = self._total + share, self.batches + 1

    def check_empty(self, subject: str) -> None:
        """Raise RuleError if there are gradients that `subject` would drop."""
        if self.batches:
            raise RuleError(
                subject, got=f"the gradients of {self.batches} accumulated batches", expected="none",
                todo="call update() first, or backward(...) to replace them",
            )  # fmt: skip

    def check_some(self) -> None:
        """Raise RuleError if no batch was accumulated."""
        if not self.batches:
            raise RuleError(
                "update", got="no gradients", expected="those of at least one batch",
                todo="call accumulate(frames, targets) first",
            )  # fmt: skip

    @torch.no_grad()
    def _scale(self, factor: Tensor | float) -> None:
        gradients = [weight.grad for weight in self._weights() if weight.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, factor)

    def _weights(self) -> Iterator[nn.Parameter]:
        for block in self._blocks:
            yield from block.parameters()
