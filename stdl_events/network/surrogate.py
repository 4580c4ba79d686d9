"""Spike generation with surrogate gradients: a step function in forward, a surrogate derivative in backward.

A new surrogate is a `Surrogate` registered in `registries.SURROGATES`. Plain and lean mode then support it for every
neuron.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stdl_events.network.registries import SURROGATES


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A surrogate derivative of the step function.

    Args:
        gradient_: (distance, width) -> derivative, of the shape and dtype of `distance`. `distance` is the membrane
            potential minus the threshold, any shape; it may be overwritten. `width` is `NeuronSpec.surrogate_width`.
        summary: one-line description.
    """

    gradient_: Callable[[Tensor, float], Tensor]
    summary: str


def _triangle_(distance: Tensor, width: float) -> Tensor:
    return distance.abs_().sub_(width).clamp_max_(0).div_(-width * width)  # STDL eq. (7), both factors negated


def _rectangle_(distance: Tensor, width: float) -> Tensor:
    return (distance.abs_() < width / 2).to(distance.dtype).div_(width)


def _sigmoid_(distance: Tensor, width: float) -> Tensor:
    sigmoid = distance.mul_(width).sigmoid_()
    return sigmoid.mul_(1 - sigmoid).mul_(width)


TRIANGLE = Surrogate(_triangle_, "triangle of half width γ and area 1 (STDL eq. (7))")
RECTANGLE = Surrogate(_rectangle_, "rectangle of full width a and area 1 (truncated local BPTT, eq. (6))")
SIGMOID = Surrogate(_sigmoid_, "derivative of the sigmoid of slope α (OTTT)")


def surrogate_gradient(distance: Tensor, kind: str, width: float) -> Tensor:
    """The surrogate derivative of the step function.

    Args:
        distance: membrane potential minus threshold, any shape.
        kind: a name in `SURROGATES`.
        width: γ of the triangle, full width of the rectangle, slope α of the sigmoid.

    Returns:
        The same shape as `distance`.

    Raises:
        NotationError: `kind` is unknown.
    """
    return surrogate_gradient_(distance.clone(), kind, width)


def surrogate_gradient_(distance: Tensor, kind: str, width: float) -> Tensor:
    """In-place `surrogate_gradient`: may overwrite `distance` and return it."""
    return SURROGATES[kind].gradient_(distance, width)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, threshold: float, kind: str, width: float) -> Tensor:
        ctx.save_for_backward(m)
        ctx.threshold, ctx.kind, ctx.width = threshold, kind, width
        return (m >= threshold).to(m.dtype)  # STDL eq. (2), (4)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (m,) = ctx.saved_tensors
        gradient = surrogate_gradient_(m - ctx.threshold, ctx.kind, ctx.width).mul_(grad_outputs[0])
        return gradient, None, None, None


def spike(m: Tensor, threshold: float | Tensor, kind: str, width: float) -> Tensor:
    """1 where the membrane potential `m` (any shape) reaches `threshold`, else 0; with the surrogate's gradient.

    Args:
        threshold: a number, or a tensor that broadcasts to `m`. A tensor gets a gradient too.
        kind, width: as in `surrogate_gradient`.
    """
    if isinstance(threshold, Tensor):
        m, threshold = m - threshold, 0.0
    if type(m) is Tensor and not torch.is_grad_enabled():  # an exporter's tensors are of other types
        return torch.ge(m, threshold, out=torch.empty_like(m))  # one pass over memory instead of two
    return _Spike.apply(m, threshold, kind, width)
