"""LIF, the leaky integrate-and-fire neuron of the papers, with λ = decay:

    m[t] = λ u[t-1] + x[t]          STDL eq. (1)
    s[t] = 1 where m[t] >= V_th     STDL eq. (2), (4)
    u[t] = m[t] - V_th s[t]         STDL eq. (3); hard reset: u[t] = (1 - s[t]) m[t]

Truncated local BPTT, eq. (1), subtracts an undecayed amount θ: m[t] = λ m[t-1] + x[t] - θ s[t-1]. That is the same
neuron with u[t] = m[t] - (θ / λ) s[t].
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stdl_events.network.neurons.neuron import FusedSoftReset, LeanForm, Neuron
from stdl_events.network.spec import NeuronSpec


class LIFState(NamedTuple):
    """u: membrane potential after reset, the shape of the input."""

    u: Tensor


def charge(x: Tensor, state: LIFState, p: NeuronSpec) -> Tensor:
    """The membrane potential m before firing."""
    return torch.add(x, state.u, alpha=p.decay)  # STDL eq. (1)


def charge_(x: Tensor, old: LIFState, p: NeuronSpec) -> Tensor:
    """`charge` in place: overwrites `x`."""
    return x.add_(old.u, alpha=p.decay)


def soft_reset_amount(spec: NeuronSpec) -> float:
    """The amount that a spike subtracts from the membrane potential: V_th, or θ / λ for truncated local BPTT's θ."""
    return spec.threshold if spec.reset_amount is None else spec.reset_amount / spec.decay


def after_reset(m: Tensor, s: Tensor, spec: NeuronSpec, amount: float | Tensor) -> Tensor:
    """The membrane potential u after reset.

    Args:
        amount: subtracted per spike with soft reset.
    """
    if spec.reset == "hard":
        return m * (1 - s)  # STDL eq. (3)
    if type(m) is Tensor and not torch.is_grad_enabled() and not isinstance(amount, Tensor):
        return torch.sub(m, s, alpha=amount)
    return m - amount * s


def reset_into(u: Tensor, m: Tensor, s: Tensor, spec: NeuronSpec, amount: float | Tensor) -> None:
    """`after_reset`, written into `u`."""
    if spec.reset == "hard":
        torch.mul(m, 1 - s, out=u)
    elif isinstance(amount, Tensor):
        torch.sub(m, amount * s, out=u)
    else:
        torch.sub(m, s, alpha=amount, out=u)


def before_reset(u: Tensor, s: Tensor, amount: float | Tensor) -> Tensor:
    """m = u + amount s, the inverse of soft reset."""
    return (s * amount).add_(u)


def _settle(m: Tensor, s: Tensor, state: LIFState, p: NeuronSpec) -> LIFState:
    del state
    return LIFState(after_reset(m, s, p, soft_reset_amount(p)))


def _settle_(m: Tensor, s: Tensor, old: LIFState, new: LIFState, p: NeuronSpec) -> None:
    del old
    reset_into(new.u, m, s, p, soft_reset_amount(p))


def _lean(spec: NeuronSpec) -> LeanForm | FusedSoftReset:
    if spec.reset == "soft":
        return FusedSoftReset(spec.decay, spec.threshold, soft_reset_amount(spec))
    return LeanForm(charge_, _settle_, in_place=("u",))


def _to_norse(spec: NeuronSpec) -> nn.Module:
    from stdl_events.network.neurons.norse_cells import norse_cell

    return norse_cell(spec)


LIF = Neuron(
    "leaky integrate-and-fire",
    state=LIFState,
    charge=charge,
    settle=_settle,
    lean=_lean,
    to_norse=_to_norse,
    leaky_integrator=True,
)
