"""Presynaptic traces: what OTTT and NDOT multiply a neuron's error with, in place of the spikes of the step.

A weight W between presynaptic spikes s and a membrane potential takes its value from the spikes, W s[t], and its
gradient from their traces, g_u[t] a[t] (NDOT Algorithm 1, line 11). A trace belongs to the neuron that fires; it is
scaled, pooled and dropped out together with the spikes. Input frames have no neuron behind them and stand for
themselves, so the first convolution learns as in SLTT.

B batch, C channels, H height, W width.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from stdl_events.learning.grid import Trace, TraceKind
from stdl_events.network.layers import Factory, build_layers
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neuron import LearnedDecay, NeuronCell
from stdl_events.spec import NetworkSpec, NeuronSpec

Decay: TypeAlias = float | Tensor


class TracedSpikes:
    """Spikes and their traces, which travel together.

    To torch's functions it is a tensor: whatever is linear in it moves spikes and traces alike; a convolution or linear
    layer uses both up; a sum with a current is a current. Anything else is refused.
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

    def __add__(self, other: "Signal") -> "Signal":
        if isinstance(other, TracedSpikes):
            return TracedSpikes(self.spikes + other.spikes, self.trace + other.trace)
        return self.spikes + other

    def _both(self, linear: Callable[[Tensor], Tensor]) -> "TracedSpikes":
        with torch.no_grad():
            trace = linear(self.trace)
        return TracedSpikes(linear(self.spikes), trace)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """How torch's own functions treat traced spikes; the protocol is described in torch's "Extending PyTorch"."""
        del types
        kwargs = kwargs or {}
        if func in _WEIGHTED:
            return _WEIGHTED[func](*args, **kwargs)
        spikes = func(*tree_map(spikes_of, args), **tree_map(spikes_of, kwargs))
        if func in _SUMS and any(isinstance(term, Tensor) for term in args):
            return spikes
        assert func in _LINEAR, f"traces cannot follow their spikes through {func}"
        with torch.no_grad():
            trace = func(*tree_map(_trace_of, args), **tree_map(_trace_of, kwargs))
        return cls(spikes, trace)


Signal: TypeAlias = Tensor | TracedSpikes


def spikes_of(signal: Any) -> Any:
    """The spikes without their traces; anything else as it is."""
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
        # The gradient of the input does not look at the input's values, that of the weight takes the trace for them.
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
_SUMS = {torch.Tensor.add, torch.add, torch.addcmul}
_LINEAR = {F.avg_pool2d, torch.Tensor.mul, torch.mul}


class _Firing(NamedTuple):
    """What a trace may look at in one step: the spikes, and the potential after reset, now and a step ago."""

    s: Tensor
    u: Tensor
    u_before: Tensor


_State: TypeAlias = tuple[Tensor, ...]


def _ottt(now: _Firing, state: _State, decay: Decay, neuron: NeuronSpec) -> tuple[Tensor, _State]:
    """a[t] = λ a[t-1] + s[t] (NDOT section 4.1, an overview of OTTT). The state holds a."""
    del neuron
    (trace,) = state
    trace = decay * trace + now.s
    return trace, (trace,)


def _ndot_paper(now: _Firing, state: _State, decay: Decay, neuron: NeuronSpec) -> tuple[Tensor, _State]:
    """NDOT eq. (12) with e by eq. (8): a[t] = e[t-1] a[t-1] + s[t], where e[t] = u[t] / u[t-1] and e[1] = u[1].

    Where the denominator is 0, e is λ times the sign of the potential before that reset; then every e is clamped to ±λ
    (our reading of appendix A.2). A potential that is 0 after its reset was positive before where the neuron fired, and
    0 elsewhere, so its sign is its spike.

    The state holds what is left of the trace for the next step, e[t] a[t], and the spike plus 1, with 0 for no past.
    """
    del neuron
    left, past = state
    trace = left + now.s
    e = torch.where(now.u_before == 0, decay * (past - 1), now.u / now.u_before)
    e = _within(torch.where(past == 0, now.u, e), decay)
    return trace, (e * trace, now.s + 1)


def _ndot_official(now: _Firing, state: _State, decay: Decay, neuron: NeuronSpec) -> tuple[Tensor, _State]:
    """As NDOT's released code has it: V_th s is subtracted once more from the potential after reset, e[t] stands where
    e[t-1] should, and e is λ where the quotient is no number; then every e is clamped to ±λ.

    The state holds a and the next quotient's denominator.
    """
    trace, denominator = state
    numerator = now.u - neuron.threshold * now.s
    e = numerator / denominator
    e = _within(torch.where(e.isfinite() & (denominator != 0), e, decay), decay)
    trace = e * trace + now.s
    return trace, (trace, numerator)


def _within(e: Tensor, bound: Decay) -> Tensor:
    return e.clamp(-bound, bound)  # type: ignore[arg-type]  # the stubs do not know that bounds may be either


class _Kind(NamedTuple):
    """A way to keep traces, and how many tensors its state has."""

    step: Callable[[_Firing, _State, Decay, NeuronSpec], tuple[Tensor, _State]]
    entries: int


_KINDS: dict[TraceKind, _Kind] = {
    "ottt": _Kind(_ottt, 1),
    "ndot-paper": _Kind(_ndot_paper, 2),
    "ndot-official": _Kind(_ndot_official, 2),
}


class TracedCell(NeuronCell):
    """Neurons that keep traces: their state is the neurons' own, followed by the trace's."""

    def __init__(
        self, spec: NeuronSpec, trace: Trace, *, dtype: torch.dtype | None, device: torch.device | str | None
    ) -> None:
        super().__init__(spec, dtype=dtype, device=device)
        self._spec, self._trace, self._kind = spec, trace, _KINDS[trace.kind]
        self._own = self.state_type
        names = [*self._own._fields, *(f"trace_{index}" for index in range(self._kind.entries))]
        self.state_type = namedtuple("TracedState", names)  # type: ignore[assignment, misc]

    def forward(self, current: Signal, state: tuple[Tensor, ...]) -> tuple[TracedSpikes, tuple[Tensor, ...]]:
        """One step; see `NeuronCell`. Spikes leave with their traces."""
        count = len(self._own._fields)
        own = self._own(*state[:count])
        spikes, new = super().forward(spikes_of(current), own)
        with torch.no_grad():
            firing = _Firing(spikes, new.u, own.u)
            trace, kept = self._kind.step(firing, tuple(state[count:]), self._decay(), self._spec)
        return TracedSpikes(spikes, trace), (*new, *kept)

    def _decay(self) -> Decay:
        if self._trace.decay is not None:
            return self._trace.decay
        return torch.sigmoid(self.p.logit) if isinstance(self.p, LearnedDecay) else self._spec.decay


class _TracedFactory(Factory):
    """Makes layers whose neurons keep traces."""

    def __init__(self, spec: NetworkSpec, trace: Trace, dtype: torch.dtype) -> None:
        super().__init__(spec, torch.Generator(), dtype)
        self.trace = trace

    def cell(self) -> NeuronCell:
        return TracedCell(self.neuron, self.trace, dtype=self.dtype, device=self.device)


def make_factory(spec: NetworkSpec, trace: Trace | None, dtype: torch.dtype) -> Factory:
    """What makes the layers of `spec` on the host, with neurons that keep traces where there is a `trace`."""
    if trace is not None:
        return _TracedFactory(spec, trace, dtype)
    return Factory(spec, torch.Generator(), dtype)


def with_traces(network: SpikingNetwork, trace: Trace) -> SpikingNetwork:
    """A network of the same layers whose neurons keep traces; it shares all weights and statistics with `network`.

    Its `step` takes `TracedSpikes` too, and returns them where it ends in spikes.
    """
    dtype = next(network.parameters()).dtype
    twin = SpikingNetwork(network.spec, build_layers(network.spec, make_factory(network.spec, trace, dtype)))
    twin.load_state_dict(network.state_dict(keep_vars=True), assign=True)
    return twin


def frames_as_spikes(x: Signal) -> TracedSpikes:
    """Input that no neuron of ours fired stands for its own trace."""
    return x if isinstance(x, TracedSpikes) else TracedSpikes(x, x)


def state_entries(trace: Trace) -> int:
    """How many tensors each layer of neurons keeps for its trace, each as large as its spikes."""
    return _KINDS[trace.kind].entries
