"""PLIF, the parametric LIF neuron: LIF with a learned decay, shared by all neurons of a layer.

Source: Fang et al., arXiv:2007.05785, section 4.2.
"""

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stdl_events.network.neurons.lif import LIFState, after_reset, before_reset, reset_into
from stdl_events.network.neurons.neuron import LeanForm, Neuron
from stdl_events.network.spec import NeuronSpec


class LearnedDecay(nn.Module):
    """The parameters of a PLIF layer: one decay for all its neurons, the sigmoid of a learned logit."""

    def __init__(self, spec: NeuronSpec, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
        super().__init__()
        self.spec = spec
        decay = min(max(spec.decay, 1e-3), 1 - 1e-3)
        self.logit = nn.Parameter(torch.full((), math.log(decay / (1 - decay)), dtype=dtype, device=device))

    def decay(self) -> Tensor:
        """λ, a 0-dimensional tensor."""
        return torch.sigmoid(self.logit)


def _amount(p: LearnedDecay) -> float | Tensor:
    return p.spec.threshold if p.spec.reset_amount is None else p.spec.reset_amount / p.decay()


def _charge(x: Tensor, state: LIFState, p: LearnedDecay) -> Tensor:
    return x + p.decay() * state.u


def _settle(m: Tensor, s: Tensor, state: LIFState, p: LearnedDecay) -> LIFState:
    del state
    return LIFState(after_reset(m, s, p.spec, _amount(p)))


def _charge_(x: Tensor, old: LIFState, p: LearnedDecay) -> Tensor:
    return x.add_(p.decay() * old.u)


def _settle_(m: Tensor, s: Tensor, old: LIFState, new: LIFState, p: LearnedDecay) -> None:
    del old
    reset_into(new.u, m, s, p.spec, _amount(p))


def _potential(s: Tensor, new: LIFState, p: LearnedDecay) -> Tensor:
    return before_reset(new.u, s, _amount(p))


def _logit_gradient(gradient: Tensor, old: LIFState, p: LearnedDecay) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """The logit's gradient through m = x + λ u, with λ = sigmoid(logit)."""
    decay = p.decay()
    yield p.logit, (gradient * old.u).sum() * decay * (1 - decay)


def _lean(spec: NeuronSpec) -> LeanForm:
    form = functools.partial(LeanForm, _charge_, _settle_, parameter_gradients=_logit_gradient)
    return form() if spec.reset == "hard" else form(potential=_potential)


PLIF = Neuron(
    "LIF whose decay is learned, one for each layer",
    state=LIFState,
    charge=_charge,
    settle=_settle,
    decay=LearnedDecay.decay,
    parameters=LearnedDecay,
    lean=_lean,
    leaky_integrator=True,
)
