"""Spikes and their presynaptic traces as one tensor-like object for the network's own code.

A weight W between presynaptic spikes s and a membrane potential takes its value from the spikes, W s[t], and its
gradient from their traces, g_u[t] a[t] (NDOT Algorithm 1, line 11). A trace is scaled, pooled and dropped out together
with its spikes. Input frames have no neuron behind them and stand for themselves, so the first convolution learns as in
SLTT.

Sums of spikes and currents: with p = s + c behind a weight, where s are spikes and c is a current that no neuron has
fired (a convolution of the frame, `nS`), the gradient is g_u[t] ∂(W p)/∂W with each presynaptic activity replaced by
its trace. Replacing is linear: the trace of s + c is the trace of s plus that of c. A current stands for itself as
frames do, so the trace of the sum is a[t] + c[t]. Taking p itself would drop the past of the spikes, and taking a
alone would drop the current, on which the potential depends as much.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map


class TracedSpikes:
    """Spikes with their traces.

    Torch's functions accept it like a tensor. Linear functions apply to spikes and traces alike. A convolution or
    linear layer consumes both. In a sum a current is its own trace. All other functions are refused.
    """

    def __init__(self, spikes: Tensor, trace: Tensor) -> None:
        self.spikes, self.trace = spikes, trace

    @property
    def shape(self) -> torch.Size:
        return self.spikes.shape

    def detach(self) -> "TracedSpikes":
        return TracedSpikes(self.spikes.detach(), self.trace)

    def to(self, **options: Any) -> "TracedSpikes":
        return TracedSpikes(self.spikes.to(**options), self.trace.to(**options))

    def flatten(self, start_dim: int) -> "TracedSpikes":
        return self._both(lambda x: x.flatten(start_dim))

    def mean(self, dim: tuple[int, ...]) -> "TracedSpikes":
        return self._both(lambda x: x.mean(dim))

    def mul_(self, factor: float) -> "TracedSpikes":
        self.spikes.mul_(factor)
        self.trace.mul_(factor)
        return self

    def __mul__(self, factor: float | Tensor) -> "TracedSpikes":
        return self._both(lambda x: x * factor)

    def __truediv__(self, divisor: float | Tensor) -> "TracedSpikes":
        return self._both(lambda x: x / divisor)

    def __add__(self, other: "Signal") -> "TracedSpikes":
        with torch.no_grad():
            trace = self.trace + _trace_of(other)
        return TracedSpikes(self.spikes + spikes_of(other), trace)

    def _both(self, linear: Callable[[Tensor], Tensor]) -> "TracedSpikes":
        with torch.no_grad():
            trace = linear(self.trace)
        return TracedSpikes(linear(self.spikes), trace)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Dispatch of torch's functions on traced spikes; see torch's "Extending PyTorch"."""
        del types
        kwargs = kwargs or {}
        if func in _WEIGHTED:
            return _WEIGHTED[func](*args, **kwargs)
        spikes = func(*tree_map(spikes_of, args), **tree_map(spikes_of, kwargs))
        assert func in _LINEAR, f"traces cannot follow their spikes through {func}"
        with torch.no_grad():
            trace = func(*tree_map(_trace_of, args), **tree_map(_trace_of, kwargs))
        return cls(spikes, trace)


Signal: TypeAlias = Tensor | TracedSpikes


def spikes_of(signal: Any) -> Any:
    """The spikes without their traces; other values unchanged."""
    return signal.spikes if isinstance(signal, TracedSpikes) else signal


def _trace_of(signal: Any) -> Any:
    return signal.trace if isinstance(signal, TracedSpikes) else signal


class _TracedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        ctx.save_for_backward(trace, weight)
        ctx.geometry, ctx.biases = geometry, None if bias is None else [len(bias)]
        return torch.conv2d(spikes, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        trace, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        wanted = [ctx.needs_input_grad[index] for index in (0, 2, 3)]
        # The input's gradient does not depend on the input's values; the weight's uses the trace in their place.
        grad_spikes, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            grad_outputs[0], trace, weight, ctx.biases, stride, padding, dilation, False, [0, 0], groups, wanted
        )
        return grad_spikes, None, grad_weight, grad_bias, None, None, None, None


class _TracedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(trace, weight)
        return F.linear(spikes, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        trace, weight = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_weight = grad.T @ trace if ctx.needs_input_grad[2] else None
        grad_bias = grad.sum(0) if ctx.needs_input_grad[3] else None
        return grad @ weight, None, grad_weight, grad_bias


def _convolve(
    signal: TracedSpikes,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Any:
    return _TracedConvolution.apply(signal.spikes, signal.trace, weight, bias, stride, padding, dilation, groups)


def _connect(signal: TracedSpikes, weight: Tensor, bias: Tensor | None = None) -> Any:
    return _TracedLinear.apply(signal.spikes, signal.trace, weight, bias)


_WEIGHTED: dict[Any, Callable[..., Any]] = {torch.conv2d: _convolve, F.linear: _connect}
_LINEAR = {F.avg_pool2d, torch.Tensor.add, torch.Tensor.mul, torch.add, torch.addcmul, torch.mul}


def frames_as_spikes(x: Signal) -> TracedSpikes:
    """Input that was not fired by neurons of the network is its own trace."""
    return x if isinstance(x, TracedSpikes) else TracedSpikes(x, x)
