"""The norms of a network's synapses. A new one is a `Norm` registered in `registries.NORMS`."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn

from stdl_events.network.synapse import WS_GAIN, ScaledWSConv2d

MakeNorm: TypeAlias = Callable[[int, float, torch.dtype | None, torch.device | str | None], nn.Module]


@dataclasses.dataclass(frozen=True)
class Norm:
    """Normalisation of a synapse.

    Args:
        summary: one-line description.
        convolution: class of the convolution, with the arguments of `nn.Conv2d`.
        bias: True if the convolution has a bias.
        behind: (channels, momentum, dtype, device) -> module behind the convolution; None for none.
        gain: factor on the spikes behind a normalised synapse.
    """

    summary: str
    convolution: type[nn.Conv2d] = nn.Conv2d
    bias: bool = True
    behind: MakeNorm | None = None
    gain: float = 1.0


def _batch_norm(
    channels: int, momentum: float, dtype: torch.dtype | None, device: torch.device | str | None
) -> nn.Module:
    return nn.BatchNorm2d(channels, momentum=momentum, dtype=dtype, device=device)


BATCH = Norm("batch norm with the statistics of each time step", bias=False, behind=_batch_norm)
SCALED_WS = Norm("scaled weight standardisation", convolution=ScaledWSConv2d, gain=WS_GAIN)
NONE = Norm("no norm: the convolution with its bias")
