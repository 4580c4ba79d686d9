"""Membrane potentials in lean mode: how they move, and what of a step is kept for the surrogate gradient.

With soft reset, membrane potential and spikes tell the potential before the reset: m = u + V_th s. So plain LIF keeps
nothing but its state, moves that in place, and has kernels that do a whole step in one pass. The others keep more: hard
reset the potential m, PLIF the old potential that its decay's gradient needs, ALIF the old trace that its threshold was
made of.

B batch, C channels, H height, W width.
"""

from typing import Protocol

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import fire_, in_rows, pack_, surrogate_backward_
from stdl_events.learning.lean.parts import accumulate
from stdl_events.learning.lean.signals import Spikes
from stdl_events.network.layers import State
from stdl_events.network.neuron import LearnedDecay, NeuronCell, soft_reset_amount
from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import surrogate_gradient_


class Membranes(Protocol):
    """One step of a layer's neurons, channels by channels.

    Attributes:
        state: that after the step, once `fire` was called for all channels.
        spikes: whose bits `fire` writes.
    """

    state: State
    spikes: Spikes

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        """Move some channels on by one step. Returns their spikes as numbers; the current is used up."""
        ...

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        """The gradient of some channels' input current, from that of their spikes, which is used up."""
        ...


def membranes(cell: NeuronCell, state: State, spikes: Spikes) -> Membranes:
    """The membranes of a cell's neurons; `state`, their own before the step, is used up."""
    spec = cell.p
    if isinstance(spec, NeuronSpec) and spec.kind == "lif" and spec.reset == "soft":
        return _LIFMembranes(spec, state, spikes)
    return _KeptMembranes(spec, state, spikes)


class _LIFMembranes:
    def __init__(self, spec: NeuronSpec, state: State, spikes: Spikes) -> None:
        self._spec, self.state, self.spikes = spec, state, spikes
        amount = soft_reset_amount(spec, spec.decay)
        assert isinstance(amount, float), "only learned decays are tensors"
        self._amount = amount

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        spec, current_BCHW = self._spec, in_rows(current_BCHW)
        bits_BCQ = self.spikes.bits_BCQ[:, channels]
        fire_(current_BCHW, self.state[0][:, channels], bits_BCQ, spec.decay, spec.threshold, self._amount)
        return current_BCHW

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        spec, grad_BCHW = self._spec, in_rows(grad_BCHW)
        u_BCHW, bits_BCQ = self.state[0][:, channels], self.spikes.bits_BCQ[:, channels]
        surrogate = spec.surrogate, spec.surrogate_width
        surrogate_backward_(grad_BCHW, u_BCHW, bits_BCQ, spec.threshold, self._amount, *surrogate)
        return grad_BCHW


class _KeptMembranes:
    def __init__(self, parameters: NeuronSpec | LearnedDecay, state: State, spikes: Spikes) -> None:
        self._parameters, self.spikes = parameters, spikes
        learned = isinstance(parameters, LearnedDecay)
        self._spec = parameters.spec if isinstance(parameters, LearnedDecay) else parameters
        self._decay: Tensor | float = self._spec.decay
        if isinstance(parameters, LearnedDecay):
            self._decay = torch.sigmoid(parameters.logit.detach())
        self._amount = soft_reset_amount(self._spec, self._decay)
        self._m = torch.empty_like(state[0]) if self._spec.reset == "hard" else None
        u = torch.empty_like(state[0]) if learned else state[0]
        self._old = state
        self.state: State = (u, *(torch.empty_like(entry) for entry in state[1:]))

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        spec, u_old = self._spec, self._old[0][:, channels]
        if isinstance(self._decay, Tensor):
            m = current_BCHW.add_(self._decay * u_old)
        else:
            m = current_BCHW.add_(u_old, alpha=self._decay)  # STDL eq. (1)
        fired = (m >= spec.threshold) if spec.kind != "alif" else (m - self._threshold(channels) >= 0)  # STDL eq. (2)
        s = fired.to(m.dtype)
        pack_(s, self.spikes.bits_BCQ[:, channels])
        u = self.state[0][:, channels]
        if self._m is not None:
            self._m[:, channels] = m
            torch.mul(m, 1 - s, out=u)
        elif isinstance(self._amount, Tensor):
            torch.sub(m, self._amount * s, out=u)
        else:
            torch.sub(m, s, alpha=self._amount, out=u)  # STDL eq. (3)
        if spec.kind == "alif":
            torch.add(s, self._old[1][:, channels], alpha=spec.adaptation_decay, out=self.state[1][:, channels])
        return s

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        spec = self._spec
        threshold = self._threshold(channels) if spec.kind == "alif" else spec.threshold
        if self._m is not None:
            distance = self._m[:, channels] - threshold
        else:
            # m = u + amount s: soft reset undone
            taken = self.spikes.dense(channels=channels) * self._amount
            distance = taken.add_(self.state[0][:, channels]).sub_(threshold)
        gradient = surrogate_gradient_(distance, spec.surrogate, spec.surrogate_width).mul_(grad_BCHW)
        if isinstance(self._parameters, LearnedDecay):
            self._learn_decay(self._parameters, (gradient * self._old[0][:, channels]).sum())
        return gradient

    def _threshold(self, channels: slice) -> Tensor:
        return self._spec.threshold + self._spec.adaptation * self._old[1][:, channels]

    def _learn_decay(self, parameters: LearnedDecay, gradient: Tensor) -> None:
        decay = self._decay
        assert isinstance(decay, Tensor), "a learned decay is a tensor"
        accumulate(parameters.logit, gradient * decay * (1 - decay))
