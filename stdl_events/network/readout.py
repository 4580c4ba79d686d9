"""The logits of a clip: the mean over time of its steps' logits. `live.readout` is the same in numpy.

T time, B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from stdl_events.network.network import SpikingNetwork


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


def running_means(network: SpikingNetwork, frames_TBCHW: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield logits_BK after each step, the mean over the steps so far; switches `network` to evaluation mode.

    Args:
        frames_TBCHW: of any real dtype on any device; one step at a time is moved to the weights and cast.

    Raises:
        ShapeError: a frame does not belong to this network.
    """
    network.eval()
    weight = next(network.parameters())
    readout, state = Readout(), None
    for frame_BCHW in frames_TBCHW:
        with torch.no_grad():
            if state is None:
                state = network.initial_state(len(frame_BCHW))
            logits_BK, state = network.step(frame_BCHW.to(device=weight.device, dtype=weight.dtype), state)
            readout.add([logits_BK])
        yield readout.mean()
