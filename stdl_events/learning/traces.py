"""Presynaptic traces of OTTT and NDOT, which replace the spikes of the step in the weights' gradients.

A trace is part of the state of the neuron that fires. `traced_spikes` describes its path to the weights.

B batch, C channels, H height, W width.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.errors import RuleError
from stdl_events.learning.grid import Trace, TraceKind
from stdl_events.learning.traced_spikes import Signal, TracedSpikes, spikes_of
from stdl_events.network.layers import Factory, build_layers
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.spec import NetworkSpec, NeuronSpec

Decay: TypeAlias = float | Tensor


class _Firing(NamedTuple):
    """Inputs of a trace's step: the spikes, and the potential after reset, of this step and of the last."""

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
    (this package's reading of appendix A.2). A potential that is 0 after its reset was positive before if the neuron
    fired, else 0, so its sign is its spike.

    The state holds the decayed trace for the next step, e[t] a[t], and the spike plus 1, with 0 before the first step.
    """
    del neuron
    left, past = state
    trace = left + now.s
    e = torch.where(now.u_before == 0, decay * (past - 1), now.u / now.u_before)
    e = _within(torch.where(past == 0, now.u, e), decay)
    return trace, (e * trace, now.s + 1)


def _ndot_official(now: _Firing, state: _State, decay: Decay, neuron: NeuronSpec) -> tuple[Tensor, _State]:
    """NDOT's released code: V_th s is subtracted once more from the potential after reset, e[t] replaces e[t-1], and e
    is λ where the quotient is NaN; then every e is clamped to ±λ.

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
    """A kind of trace: its step, the number of state tensors, and True if the first of them is the trace itself."""

    step: Callable[[_Firing, _State, Decay, NeuronSpec], tuple[Tensor, _State]]
    entries: int
    holds_trace: bool


_KINDS: dict[TraceKind, _Kind] = {
    "ottt": _Kind(_ottt, 1, holds_trace=True),
    "ndot-paper": _Kind(_ndot_paper, 2, holds_trace=False),
    "ndot-official": _Kind(_ndot_official, 2, holds_trace=True),
}


class TracedCell(NeuronCell):
    """Neurons that keep traces: their state is the neurons' own, followed by the trace's.

    Attributes:
        own_count: number of state tensors of the neurons themselves.
        holds_trace: True if the trace's state starts with the trace itself.
    """

    def __init__(
        self, spec: NeuronSpec, trace: Trace, *, dtype: torch.dtype | None, device: torch.device | str | None
    ) -> None:
        super().__init__(spec, dtype=dtype, device=device)
        self._trace, self._kind = trace, _KINDS[trace.kind]
        self._own = self.state_type
        self.own_count, self.holds_trace = len(self._own._fields), self._kind.holds_trace
        names = [*self._own._fields, *(f"trace_{index}" for index in range(self._kind.entries))]
        self.state_type = namedtuple("TracedState", names)  # type: ignore[misc]

    def forward(self, current: Signal, state: tuple[Tensor, ...]) -> tuple[TracedSpikes, tuple[Tensor, ...]]:
        """One step; see `NeuronCell`. Returns the spikes with their traces."""
        own = self._own(*state[: self.own_count])
        spikes, new = super().forward(spikes_of(current), own)
        trace, kept = self.move_trace(spikes, new.u, own.u, tuple(state[self.own_count :]))
        return TracedSpikes(spikes, trace), (*new, *kept)

    @torch.no_grad()
    def move_trace(
        self, spikes: Tensor, u: Tensor, u_before: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The trace of this step and the trace's new state, for all neurons or for some of them.

        Args:
            u, u_before: membrane potential after reset, of this step and of the last.
            state: the trace's state.
        """
        return self._kind.step(_Firing(spikes, u, u_before), state, self._decay(), self.spec)

    def _decay(self) -> Decay:
        return self.neuron.decay(self.p) if self._trace.decay is None else self._trace.decay


class _TracedFactory(Factory):
    """Builds layers with traced neurons."""

    def __init__(self, spec: NetworkSpec, trace: Trace, dtype: torch.dtype) -> None:
        super().__init__(spec, torch.Generator(), dtype)
        self.trace = trace

    def cell(self) -> NeuronCell:
        return TracedCell(self.neuron, self.trace, dtype=self.dtype, device=self.device)


def make_factory(spec: NetworkSpec, trace: Trace | None, dtype: torch.dtype) -> Factory:
    """The factory of the layers of `spec` on the host, with traced neurons if `trace` is given."""
    if trace is not None:
        return _TracedFactory(spec, trace, dtype)
    return Factory(spec, torch.Generator(), dtype)


def with_traces(network: SpikingNetwork, trace: Trace) -> SpikingNetwork:
    """A network of the same layers with traced neurons; it shares all modules without neurons with `network`.

    Its `step` also accepts `TracedSpikes`, and returns them if the network ends in spikes.
    """
    dtype = next(network.parameters()).dtype
    with torch.random.fork_rng(devices=[]):  # modules draw weights, which are replaced at once
        twin = SpikingNetwork(network.spec, build_layers(network.spec, make_factory(network.spec, trace, dtype)))
    twin.load_state_dict(network.state_dict(keep_vars=True), assign=True)
    _share_modules(network, twin)
    return twin


def _share_modules(network: nn.Module, twin: nn.Module) -> None:
    """Share the modules of `network` with `twin`, except those that contain neurons.

    A mode or a hook of a shared module is then that of both.
    """
    for name, module in network.named_children():
        if any(isinstance(part, NeuronCell) for part in module.modules()):
            _share_modules(module, twin.get_submodule(name))
        else:
            twin.register_module(name, module)


def check_twin(name: str, layer: nn.Module, twin: nn.Module) -> None:
    """Refuse a layer with a module that was replaced after its traced twin was built.

    Args:
        name: dotted name of the layer.

    Raises:
        RuleError: the message names the module.
    """
    twins = dict(twin.named_modules())
    for path, module in layer.named_modules():
        found = twins.get(path)
        has_neurons = any(isinstance(part, NeuronCell) for part in module.modules())
        kind = NeuronCell if isinstance(module, NeuronCell) else type(module)
        if found is module or (has_neurons and isinstance(found, kind)):
            continue
        raise RuleError(
            f"{name}.{path}",
            got=f"a {type(module).__name__} that replaced the learner's own module",
            expected="the modules that the learner was built with",
            todo="use a rule without traces",
        )


def state_entries(trace: Trace) -> int:
    """Number of tensors in the trace's state of a layer of neurons, each as large as its spikes."""
    return _KINDS[trace.kind].entries


def state_holds(trace: Trace) -> bool:
    """True if the trace's state contains the trace itself, so that no further tensor holds it."""
    return _KINDS[trace.kind].holds_trace
