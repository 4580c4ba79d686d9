"""Weight averaging: the network to evaluate and keep is an exponential moving average of the trained one.

Source: Polyak & Juditsky (1992); the warm-up of the decay is TensorFlow's `ExponentialMovingAverage(num_updates)`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from stdl_events.learning.blueprint_checks import check_decay
from stdl_events.network.network import SpikingNetwork


class AveragedWeights:
    """A copy of a network whose weights follow those of the original.

    The first update copies the original. The n-th one after it averages with the decay min(decay, (1 + n) / (10 + n)),
    so that the average of a short training is not that of its beginning. Running statistics are copied: they are moving
    averages already. Auxiliary networks are not averaged, since none is evaluated.

    Args:
        decay: share of the old average in the new one, 0 <= decay < 1.

    Attributes:
        network: the copy; it has no gradients.
        updates: number of updates so far.

    Raises:
        RuleError: the decay is impossible.
    """

    def __init__(self, original: SpikingNetwork, decay: float) -> None:
        check_decay(decay)
        self._original, self._decay = original, decay
        weight = next(original.parameters())
        # Built instead of copied, since the meter's tensors cannot be copied with their module.
        self.network = SpikingNetwork.build(original.spec, dtype=weight.dtype, device=weight.device)
        self.network.requires_grad_(False).load_state_dict(original.state_dict())
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Average once more. No value is read on the host."""
        n = self.updates
        decay = min(self._decay, (1 + n) / (10 + n)) if n else 0.0
        ours, theirs = (list(network.parameters()) for network in (self.network, self._original))
        get_ema_multi_avg_fn(decay)(ours, theirs, n)
        for mine, its in zip(self.network.buffers(), self._original.buffers(), strict=True):
            mine.copy_(its)
        self.updates += 1

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state`; an empty one begins a new average."""
        self.updates = int(state.get("updates", 0))
        network: Mapping[str, Tensor] = state.get("network", {})
        if network:
            self.network.load_state_dict(network)
