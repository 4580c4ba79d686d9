"""What the cost of a single layer depends on, as data."""

import dataclasses
from typing import Literal, TypeAlias

import torch

from stdl_events.learning.grid import Trace
from stdl_events.learning.losses import Loss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.cost import Fronts

# A layer's input: frames, packed spikes, their counts in pooling windows, or the output of the layers in front.
Entering: TypeAlias = Literal["frames", "spikes", "counts"] | Fronts


@dataclasses.dataclass(frozen=True)
class LayerSetting:
    """All settings that a layer's cost depends on.

    Args:
        spec: settings of the network, without its layers.
    """

    spec: NetworkSpec
    batch_size: int
    optimizer: OptimizerSpec
    loss: Loss
    dtype: torch.dtype
    lean: bool
    trace: Trace | None
    kept: bool
    flowing: torch.dtype
    convolving: torch.dtype | None


def loss_bytes(dtype: torch.dtype) -> int:
    """Bytes of a block's loss, summed over time."""
    return torch.promote_types(torch.float32, dtype).itemsize
