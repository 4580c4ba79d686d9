"""What the cost of a single layer depends on, as data."""

import dataclasses
from typing import Literal, TypeAlias

import torch

from stdl_events.learning.grid import Trace
from stdl_events.learning.losses import Loss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.cost import Preceding


@dataclasses.dataclass(frozen=True)
class SpikesInput:
    """A layer's input that is packed spikes, or their counts in pooling windows.

    Args:
        channels_last: see `Signal.channels_last`.
    """

    counted: bool = False
    channels_last: bool = False


@dataclasses.dataclass(frozen=True)
class TensorInput:
    """A layer's input that is one tensor and nothing else, or an average pooling of it, recomputed where needed.

    Args:
        dtype: of the values.
        shape: (C, H, W) of the tensor.
        divisor: of counts, which take one byte each; None for the values themselves.
        pool: kernel, stride and padding; None for no pooling.
        channels_last: the tensor's layout.
    """

    dtype: torch.dtype
    shape: tuple[int, int, int]
    divisor: int | None
    pool: tuple[int, int, int] | None
    channels_last: bool


Entering: TypeAlias = Literal["frames"] | SpikesInput | TensorInput | Preceding
"""A layer's input: frames, packed spikes, one tensor, or the output of the layers in front."""


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
