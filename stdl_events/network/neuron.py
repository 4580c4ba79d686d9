"""Spiking neurons as Norse cells: `(input, state) -> (spikes, state)`, nothing hidden.

The leaky integrate-and-fire neuron of the papers, with λ = decay:

    m[t] = λ u[t-1] + x[t]          STDL eq. (1)
    s[t] = 1 where m[t] >= V_th     STDL eq. (2), (4)
    u[t] = m[t] - V_th s[t]         STDL eq. (3); hard reset: u[t] = (1 - s[t]) m[t]

Truncated local BPTT, eq. (1), subtracts an amount θ that has not decayed, m[t] = λ m[t-1] + x[t] - θ s[t-1]. That is
the same neuron with u[t] = m[t] - (θ / λ) s[t].

It is Norse's `LIFBoxCell` with `dt tau_mem_inv = 1 - λ` and the input divided by `1 - λ`, except that Norse's threshold
is strict. The cells compose in `norse.torch.SequentialState`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.lif_box import LIFBoxCell
from norse.torch.module.snn import SNNCell
from torch import Tensor, nn

from stdl_events.errors import NotationError
from stdl_events.network.spec import NeuronSpec, Reset, SurrogateKind
from stdl_events.network.surrogate import spike


class LIFState(NamedTuple):
    """u: membrane potential after reset, the shape of the input."""

    u: Tensor


class ALIFState(NamedTuple):
    """u: membrane potential after reset; a: trace of the neuron's own spikes. Both have the shape of the input."""

    u: Tensor
    a: Tensor


class LearnedDecay(nn.Module):
    """The parameters of a PLIF layer: one decay for all its neurons, kept within (0, 1) by a sigmoid.

    Source: Fang et al., arXiv:2007.05785, section 4.2.
    """

    def __init__(self, spec: NeuronSpec, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
        super().__init__()
        self.spec = spec
        decay = min(max(spec.decay, 1e-3), 1 - 1e-3)
        self.logit = nn.Parameter(torch.full((), math.log(decay / (1 - decay)), dtype=dtype, device=device))


def lif_charge(x: Tensor, state: LIFState, p: NeuronSpec) -> tuple[Tensor, float]:
    """Membrane potential m before firing, and the threshold that it is compared with."""
    return torch.add(x, state.u, alpha=p.decay), p.threshold  # STDL eq. (1)


def plif_charge(x: Tensor, state: LIFState, p: LearnedDecay) -> tuple[Tensor, float]:
    """As `lif_charge`, with the learned decay."""
    return x + torch.sigmoid(p.logit) * state.u, p.spec.threshold


def alif_charge(x: Tensor, state: ALIFState, p: NeuronSpec) -> tuple[Tensor, Tensor]:
    """As `lif_charge`, with the threshold V_th + β a[t-1] (Bellec et al., arXiv:1803.09574, section 2)."""
    return torch.add(x, state.u, alpha=p.decay), p.threshold + p.adaptation * state.a


def lif_step(x: Tensor, state: LIFState, p: NeuronSpec, dt: float = 1.0) -> tuple[Tensor, LIFState]:
    """One step of leaky integrate-and-fire neurons.

    Args:
        x: input current, any shape.
        state: the membrane potential, the same shape.
        p: decay, threshold, reset and surrogate.
    """
    del dt  # Norse's cells hand it in; the decay is per step here
    m, threshold = lif_charge(x, state, p)
    s = spike(m, threshold, p.surrogate, p.surrogate_width)  # STDL eq. (2)
    return s, LIFState(_reset(m, s, p, p.decay))


def plif_step(x: Tensor, state: LIFState, p: LearnedDecay, dt: float = 1.0) -> tuple[Tensor, LIFState]:
    """One step of LIF neurons whose decay is a parameter; arguments as in `lif_step`."""
    del dt
    m, threshold = plif_charge(x, state, p)
    s = spike(m, threshold, p.spec.surrogate, p.spec.surrogate_width)
    return s, LIFState(_reset(m, s, p.spec, torch.sigmoid(p.logit)))


def alif_step(x: Tensor, state: ALIFState, p: NeuronSpec, dt: float = 1.0) -> tuple[Tensor, ALIFState]:
    """One step of LIF neurons whose threshold follows a trace of their spikes: a[t] = ρ a[t-1] + s[t].

    The reset subtracts V_th, as in STDL eq. (3). Source: Bellec et al., arXiv:1803.09574, section 2.
    """
    del dt
    m, threshold = alif_charge(x, state, p)
    s = spike(m - threshold, 0.0, p.surrogate, p.surrogate_width)
    return s, ALIFState(_reset(m, s, p, p.decay), p.adaptation_decay * state.a + s)


def _reset(m: Tensor, s: Tensor, p: NeuronSpec, decay: float | Tensor) -> Tensor:
    if p.reset == "hard":
        return m * (1 - s)
    return m - soft_reset_amount(p, decay) * s  # STDL eq. (3)


def soft_reset_amount(p: NeuronSpec, decay: float | Tensor) -> float | Tensor:
    """What a spike takes from the membrane potential u: V_th, or θ / λ for truncated local BPTT's θ."""
    return p.threshold if p.reset_amount is None else p.reset_amount / decay


def _zeros(x: Tensor) -> Tensor:
    return torch.zeros_like(x, requires_grad=False)


_KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "lif": (lif_step, lif_charge),
    "plif": (plif_step, plif_charge),
    "alif": (alif_step, alif_charge),
}


class NeuronCell(SNNCell):
    """A layer of neurons as a Norse cell, made from a `NeuronSpec`.

    Args:
        spec: which neuron, and its parameters.

    Forward takes the input current and the state (a named tuple, or None for a silent past) and returns both anew.
    """

    def __init__(
        self, spec: NeuronSpec, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> None:
        parameters: NeuronSpec | LearnedDecay = spec
        if spec.kind == "plif":
            parameters = LearnedDecay(spec, dtype, device)
        step, charge = _KINDS[spec.kind]
        super().__init__(activation=step, state_fallback=self.initial_state, p=parameters, dt=1.0)
        self._charge = charge
        self.state_type: type[LIFState] | type[ALIFState] = ALIFState if spec.kind == "alif" else LIFState

    def distance_to_threshold(self, x: Tensor, state: LIFState | ALIFState) -> Tensor:
        """How far each neuron's membrane potential is above its threshold in the step with input `x`."""
        m, threshold = self._charge(x, state, self.p)
        return m - threshold

    @property
    def state_count(self) -> int:
        """How many tensors the state has."""
        return len(self.state_type._fields)

    def initial_state(self, x: Tensor) -> LIFState | ALIFState:
        """The silent past for inputs like `x`: zeros that need no gradient."""
        return self.state_type(*(_zeros(x) for _ in range(self.state_count)))

    def to_norse(self) -> LIFBoxCell:
        """Norse's own cell for the same neuron, such as `norse.torch.to_nir` knows (with `dt=1.0`, time in steps).

        It takes the input current divided by 1 - λ, and fires above the threshold, not at it.

        Raises:
            NotationError: Norse has no such neuron: only LIF with the triangle of width 1 and the papers' resets.
        """
        spec = self.p
        if not isinstance(spec, NeuronSpec) or spec.kind != "lif" or spec.reset_amount is not None:
            raise _not_in_norse(f"a neuron that is {self.p}")
        if (spec.surrogate, spec.surrogate_width) != ("triangle", 1.0):
            raise _not_in_norse(f"the surrogate {spec.surrogate} of width {spec.surrogate_width:g}")
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor(1 - spec.decay, dtype=torch.float64),
            v_leak=torch.tensor(0.0),
            v_th=torch.tensor(spec.threshold, dtype=torch.float64),
            v_reset=torch.tensor(0.0),
            method="triangle",
            alpha=torch.tensor(1.0),
            reset_method=reset_subtract if spec.reset == "soft" else reset_value,
        )
        return LIFBoxCell(parameters, dt=1.0)


class NorseNeuron(NamedTuple):
    """A Norse cell in our terms.

    Args:
        spec: the neuron.
        input_gain: what Norse multiplies the input current with, 1 - λ.
    """

    spec: NeuronSpec
    input_gain: float


def read_norse_cell(
    cell: nn.Module, *, surrogate: SurrogateKind | None = None, surrogate_width: float = 1.0
) -> NorseNeuron | None:
    """The neuron of a `LIFBoxCell`, None for any other module.

    Potentials are measured from Norse's leak potential, where its cells start: u = v - v_leak.

    Args:
        surrogate, surrogate_width: replace the cell's own surrogate gradient. Without them it is kept: Norse's
            "triangle" with alpha 1 is ours of width 1, its others are not among ours.

    Raises:
        NotationError: the neuron is not one of ours.
    """
    if not isinstance(cell, LIFBoxCell):
        return None
    p = cell.p
    decay = 1.0 - float(cell.dt) * _number("tau_mem_inv", p.tau_mem_inv)
    leak, threshold, reset_to = (_number(name, getattr(p, name)) for name in ("v_leak", "v_th", "v_reset"))
    reset: Reset = "soft" if p.reset_method is reset_subtract else "hard"
    if reset == "hard" and (p.reset_method is not reset_value or reset_to != leak):
        raise _not_ours("a reset to other than the leak potential", "reset_subtract, or reset_value to v_leak")
    if surrogate is None:
        if p.method != "triangle" or _number("alpha", p.alpha) != 1.0:
            raise _not_ours(f"the surrogate {p.method!r}", "'triangle' with alpha 1, or surrogate= to train with ours")
        surrogate, surrogate_width = "triangle", 1.0
    # Norse subtracts v_th itself, which is more than the distance from leak to threshold where v_leak is not 0.
    amount = decay * threshold if reset == "soft" and leak != 0 else None
    spec = NeuronSpec(
        decay=decay,
        threshold=threshold - leak,
        reset=reset,
        reset_amount=amount,
        surrogate=surrogate,
        surrogate_width=surrogate_width,
    )
    return NorseNeuron(spec, 1.0 - decay)


def _number(name: str, value: Tensor | float) -> float:
    values = torch.as_tensor(value)
    if values.numel() != 1:
        raise _not_ours(f"{values.numel()} values of {name}", "one value for all neurons")
    return float(values)


def _not_ours(got: str, expected: str) -> NotationError:
    return NotationError("Norse cell", got=got, expected=expected, todo="change the cell's parameters")


def _not_in_norse(got: str) -> NotationError:
    return NotationError(
        "Norse cell",
        got=got,
        expected="a LIF neuron with the triangle of width 1 and no reset_amount",
        todo="change the neuron's settings",
    )
