"""The weight of a convolution as lean mode uses it: what is convolved with, and where its gradient goes.

The weight of `ScaledWSConv2d` is computed from two parameters, so its gradient is one of each.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.learning.lean.parts import accumulate, in_dtype
from stdl_events.network.synapse import ScaledWSConv2d

Sizes: TypeAlias = tuple[int, ...]


def weight_of(conv: nn.Conv2d, dtype: torch.dtype) -> Tensor:
    """What is convolved with, without autograd."""
    weight = conv.standardised_weight() if isinstance(conv, ScaledWSConv2d) else conv.weight
    return in_dtype(weight.detach(), dtype)


def weight_learns(conv: nn.Conv2d) -> bool:
    """True if a parameter of the weight wants a gradient."""
    return any(parameter.requires_grad for parameter in _parameters(conv))


def accumulate_weight(conv: nn.Conv2d, gradient: Tensor) -> None:
    """Add the gradient of `weight_of` to those of its parameters."""
    if not isinstance(conv, ScaledWSConv2d):
        accumulate(conv.weight, gradient)
        return
    learned = [parameter for parameter in _parameters(conv) if parameter.requires_grad]
    with torch.enable_grad():
        standardised = conv.standardised_weight()
    found = torch.autograd.grad(standardised, learned, gradient.to(standardised.dtype))
    for parameter, part in zip(learned, found, strict=True):
        accumulate(parameter, part)


def geometry(conv: nn.Conv2d) -> tuple[Sizes, Sizes, Sizes, bool, Sizes, int]:
    """Arguments of `torch.ops.aten.convolution` behind the bias."""
    assert isinstance(conv.padding, tuple), "the notation pads by numbers"
    return conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups


def _parameters(conv: nn.Conv2d) -> list[Tensor]:
    return [conv.weight, conv.gain] if isinstance(conv, ScaledWSConv2d) else [conv.weight]
