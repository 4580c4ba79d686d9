"""The logits of a clip: the mean over time of its steps' logits. `live.readout` is the same in numpy.

B batch, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Readout:
    """The mean over time of logits that are added in chunks of steps; only their sum is stored."""

    def __init__(self) -> None:
        self._total_BK: Tensor | float = 0.0
        self._steps = 0

    def add(self, logits: Sequence[Tensor]) -> None:
        """Add the logits_BK of further steps."""
        self._total_BK = torch.stack(list(logits)).sum(0) + self._total_BK
        self._steps += len(logits)

    def mean(self) -> Tensor:
        """logits_BK of the clip so far."""
        assert isinstance(self._total_BK, Tensor), "a sequence has at least one step"
        return self._total_BK / self._steps
