"""Spike generation with surrogate gradients: a step function forwards, a bump around the threshold backwards."""

from typing import Any

import torch
from torch import Tensor

from stdl_events.network.spec import SurrogateKind


def surrogate_gradient(distance: Tensor, kind: SurrogateKind, width: float) -> Tensor:
    """The derivative that replaces that of the step function.

    Args:
        distance: membrane potential minus threshold, any shape.
        kind: "triangle" is STDL eq. (7), "rectangle" is truncated local BPTT's, "sigmoid" is OTTT's.
        width: γ of the triangle, full width of the rectangle, slope α of the sigmoid.

    Returns:
        The same shape as `distance`.
    """
    return surrogate_gradient_(distance.clone(), kind, width)


def surrogate_gradient_(distance: Tensor, kind: SurrogateKind, width: float) -> Tensor:
    """`surrogate_gradient` that uses up its argument, in whose memory the result may be."""
    if kind == "triangle":
        return distance.abs_().sub_(width).clamp_max_(0).div_(-width * width)  # STDL eq. (7), both factors negated
    if kind == "rectangle":
        return (distance.abs_() < width / 2).to(distance.dtype).div_(width)
    sigmoid = distance.mul_(width).sigmoid_()
    return sigmoid.mul_(1 - sigmoid).mul_(width)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, threshold: float, kind: SurrogateKind, width: float) -> Tensor:
        ctx.save_for_backward(m)
        ctx.threshold, ctx.kind, ctx.width = threshold, kind, width
        return (m >= threshold).to(m.dtype)  # STDL eq. (2), (4)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (m,) = ctx.saved_tensors
        gradient = surrogate_gradient_(m - ctx.threshold, ctx.kind, ctx.width).mul_(grad_outputs[0])
        return gradient, None, None, None


def spike(m: Tensor, threshold: float, kind: SurrogateKind, width: float) -> Tensor:
    """1 where the membrane potential `m` (any shape) reaches `threshold`, else 0; differentiable by the surrogate."""
    return _Spike.apply(m, threshold, kind, width)
