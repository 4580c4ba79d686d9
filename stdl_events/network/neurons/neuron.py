"""`Neuron`: the definition of one kind of neuron.

A step charges the membrane, fires and settles. With `p` the layer's parameters:

    m[t] = charge(x[t], state[t-1], p)
    s[t] = 1 where m[t] >= threshold(state[t-1], p)
    state[t] = settle(m[t], s[t], state[t-1], p)

All are pure functions of tensors and act on each neuron by itself, so a layer can be stepped a few channels at a time.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import spike

# A named tuple of tensors, with a type of its own for each kind of neuron.
NeuronState: TypeAlias = Any
Parameters: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class FusedSoftReset:
    """The lean form of m = decay u + x, s = [m >= threshold], u = m - amount s, for which there are fused kernels.

    Only the state and the packed spikes are saved for backward, since m = u + amount s.
    """

    decay: float
    threshold: float
    amount: float


@dataclasses.dataclass(frozen=True)
class LeanForm:
    """A step and its backward pass, written out for lean mode. Every function is called without autograd.

    `old` and `new` are the states of some channels before and after the step.

    Args:
        charge_: (x, old, p) -> m, in place in x.
        settle_: (m, s, old, new, p) writes into the tensors of `new`. It does not change m and s.
        in_place: fields of the state that are updated in place. The old tensors of the others are saved for backward.
        potential: (s, new, p) -> m, recomputed, as a new tensor. None saves m for backward.
        parameter_gradients: (gradient of m - threshold, old, p) -> pairs (parameter, gradient).
    """

    charge_: Callable[[Tensor, NeuronState, Parameters], Tensor]
    settle_: Callable[[Tensor, Tensor, NeuronState, NeuronState, Parameters], None]
    in_place: tuple[str, ...] = ()
    potential: Callable[[Tensor, NeuronState, Parameters], Tensor] | None = None
    parameter_gradients: Callable[[Tensor, NeuronState, Parameters], Iterable[tuple[nn.Parameter, Tensor]]] | None = (
        None
    )


def spec_of(p: Parameters) -> NeuronSpec:
    """The settings in a layer's parameters."""
    spec = p if isinstance(p, NeuronSpec) else p.spec
    assert isinstance(spec, NeuronSpec), "a module of learned parameters has its settings as `spec`"
    return spec


def _own_threshold(state: NeuronState, p: Parameters) -> float | Tensor:
    del state
    return spec_of(p).threshold


def _own_decay(p: Parameters) -> float | Tensor:
    return spec_of(p).decay


def _no_lean_form(spec: NeuronSpec) -> None:
    del spec


@dataclasses.dataclass(frozen=True)
class Neuron:
    """One kind of neuron, an entry of `NEURONS`.

    Args:
        summary: one-line description.
        state: named tuple of the state's tensors, each with the shape of the input. The first is u, the membrane
            potential after reset. The initial state is zeros.
        charge: (x, state, p) -> m, the membrane potential before firing.
        settle: (m, s, state, p) -> the state after the step.
        threshold: (state, p) -> the threshold of m; V_th by default.
        decay: p -> λ, the share of u that is left after one step; the spec's by default. Traces may decay by it.
        parameters: (spec, dtype, device) -> module of the layer's learned parameters, with the spec as `spec`. It is
            then p; without it, p is the spec.
        lean: spec -> lean form for these settings. None runs the layer by ordinary autograd in lean mode too, with the
            same gradients and the memory of plain mode.
        to_norse: spec -> Norse's own cell for the neuron; None where Norse has none.
        leaky_integrator: True where m = λ u + x, with λ = `decay(p)`, the threshold is V_th, and the reset is that of
            `NeuronSpec`. Such a neuron is LIF in NIR files.
    """

    summary: str
    state: type[NeuronState]
    charge: Callable[[Tensor, NeuronState, Parameters], Tensor]
    settle: Callable[[Tensor, Tensor, NeuronState, Parameters], NeuronState]
    threshold: Callable[[NeuronState, Parameters], float | Tensor] = _own_threshold
    decay: Callable[[Parameters], float | Tensor] = _own_decay
    parameters: Callable[[NeuronSpec, torch.dtype | None, torch.device | str | None], nn.Module] | None = None
    lean: Callable[[NeuronSpec], LeanForm | FusedSoftReset | None] = _no_lean_form
    to_norse: Callable[[NeuronSpec], nn.Module] | None = None
    leaky_integrator: bool = False

    def __post_init__(self) -> None:
        assert self.state._fields[0] == "u", "the state starts with u, the membrane potential after reset"

    def step(self, x: Tensor, state: NeuronState, p: Parameters, dt: float = 1.0) -> tuple[Tensor, NeuronState]:
        """One step by autograd. Returns spikes and the new state, both of the shape of `x`.

        Args:
            x: input current, any shape.
        """
        del dt  # an argument of Norse's cells; the decay is per step here
        spec, m = spec_of(p), self.charge(x, state, p)
        s = spike(m, self.threshold(state, p), spec.surrogate, spec.surrogate_width)  # STDL eq. (2)
        return s, self.settle(m, s, state, p)
