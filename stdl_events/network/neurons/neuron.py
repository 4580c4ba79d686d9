"""`Neuron`: everything that makes a kind of neuron, as one object.

A step charges the membrane, fires, and settles, with `p` the layer's parameters:

    m[t] = charge(x[t], state[t-1], p)
    s[t] = 1 where m[t] >= threshold(state[t-1], p)
    state[t] = settle(m[t], s[t], state[t-1], p)

All are pure functions of tensors that look at each neuron alone, so that layers may be stepped some channels at a time.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import spike

# The state is a named tuple of tensors and `p` a NeuronSpec, or a module that has one as `spec`: each kind its own.
NeuronState: TypeAlias = Any
Parameters: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class FusedSoftReset:
    """The lean form of m = decay u + x, s = [m >= threshold], u = m - amount s, which has kernels of its own.

    Nothing is saved for backward beside the state and the packed spikes, since m = u + amount s.
    """

    decay: float
    threshold: float
    amount: float


@dataclasses.dataclass(frozen=True)
class LeanForm:
    """A step and its backward written out for lean mode; every function is called without autograd.

    `old` and `new` are states, of some channels, before and after the step.

    Args:
        charge_: (x, old, p) -> m, in the memory of x.
        settle_: (m, s, old, new, p) writes into the tensors of `new`. It leaves m and s as they are.
        in_place: fields of the state of which `new` overwrites `old`. The old tensors of the others are saved for
            backward.
        potential: (s, new, p) -> m, recovered, as a new tensor. None saves m for backward.
        parameter_gradients: (gradient of m - threshold, old, p) -> pairs of a parameter and its gradient.
    """

    charge_: Callable[[Tensor, NeuronState, Parameters], Tensor]
    settle_: Callable[[Tensor, Tensor, NeuronState, NeuronState, Parameters], None]
    in_place: tuple[str, ...] = ()
    potential: Callable[[Tensor, NeuronState, Parameters], Tensor] | None = None
    parameter_gradients: Callable[[Tensor, NeuronState, Parameters], Iterable[tuple[nn.Parameter, Tensor]]] | None = (
        None
    )


def spec_of(p: Parameters) -> NeuronSpec:
    """The settings among a layer's parameters."""
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
    """One kind of neuron, as `NEURONS` lists it.

    Args:
        summary: one line, for people.
        state: named tuple of the state's tensors, each with the shape of the input; the first is u, the membrane
            potential after reset. A silent past is zeros.
        charge: (x, state, p) -> m, the membrane potential before firing.
        settle: (m, s, state, p) -> the state after the step.
        threshold: (state, p) -> what m is compared with; V_th unless it is given.
        decay: p -> λ, the share of u that is left after one step, which traces may decay by; by default the spec's.
        parameters: (spec, dtype, device) -> module of the layer's learned parameters, with the spec as `spec`. It is
            then p; without it, p is the spec.
        lean: spec -> how lean mode runs these settings. None runs the layers by ordinary autograd there too: the same
            gradients, and the memory of plain mode.
        to_norse: spec -> Norse's own cell for the neuron; None where Norse has none.
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

    def __post_init__(self) -> None:
        assert self.state._fields[0] == "u", "the state starts with u, the membrane potential after reset"

    def step(self, x: Tensor, state: NeuronState, p: Parameters, dt: float = 1.0) -> tuple[Tensor, NeuronState]:
        """One step by autograd: spikes and the new state, both of the shape of `x`.

        Args:
            x: input current, any shape.
        """
        del dt  # Norse's cells hand it in; the decay is per step here
        spec, m = spec_of(p), self.charge(x, state, p)
        s = spike(m, self.threshold(state, p), spec.surrogate, spec.surrogate_width)  # STDL eq. (2)
        return s, self.settle(m, s, state, p)
