"""ALIF, the adaptive LIF neuron: as LIF, with a threshold that follows a trace of the neuron's own spikes.

    a[t] = ρ a[t-1] + s[t],  s[t] = 1 where m[t] >= V_th + β a[t-1]

The reset subtracts V_th, as in STDL eq. (3). Source: Bellec et al., arXiv:1803.09574, section 2.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from stdl_events.network.neurons.lif import after_reset, before_reset, charge, charge_, reset_into, soft_reset_amount
from stdl_events.network.neurons.neuron import LeanForm, Neuron
from stdl_events.network.spec import NeuronSpec


class ALIFState(NamedTuple):
    """u: membrane potential after reset; a: trace of the neuron's own spikes. Both have the shape of the input."""

    u: Tensor
    a: Tensor


def _threshold(state: ALIFState, p: NeuronSpec) -> Tensor:
    return p.threshold + p.adaptation * state.a


def _settle(m: Tensor, s: Tensor, state: ALIFState, p: NeuronSpec) -> ALIFState:
    return ALIFState(after_reset(m, s, p, soft_reset_amount(p)), p.adaptation_decay * state.a + s)


def _settle_(m: Tensor, s: Tensor, old: ALIFState, new: ALIFState, p: NeuronSpec) -> None:
    reset_into(new.u, m, s, p, soft_reset_amount(p))
    torch.add(s, old.a, alpha=p.adaptation_decay, out=new.a)


def _potential(s: Tensor, new: ALIFState, p: NeuronSpec) -> Tensor:
    return before_reset(new.u, s, soft_reset_amount(p))


def _lean(spec: NeuronSpec) -> LeanForm:
    # Backward needs the old trace, from which the threshold was computed, but not the old potential.
    form = functools.partial(LeanForm, charge_, _settle_, in_place=("u",))
    return form() if spec.reset == "hard" else form(potential=_potential)


ALIF = Neuron(
    "LIF whose threshold rises with its own spikes",
    state=ALIFState,
    charge=charge,
    settle=_settle,
    threshold=_threshold,
    lean=_lean,
)
