"""Membrane potentials in lean mode: their update, and the tensors saved for the surrogate gradient.

A neuron's lean form defines both (`network/neurons/neuron.py`). LIF with soft reset has fused kernels for a whole step,
with potentials in the activation dtype or in eight bits; all other forms are executed here.

B batch, C channels, H height, W width.
"""

from typing import Protocol

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import (
    fire_,
    fire_eight_bits_,
    in_rows,
    pack_,
    surrogate_backward_,
    surrogate_backward_eight_bits_,
)
from stdl_events.learning.lean.parts import accumulate
from stdl_events.learning.lean.signals import Spikes
from stdl_events.network.layers import State
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.neurons.neuron import FusedSoftReset, LeanForm, NeuronState
from stdl_events.network.surrogate import surrogate_gradient_


class Membranes(Protocol):
    """One step of a layer's neurons, one group of channels at a time.

    Attributes:
        state: the state after the step, valid once `fire` was called for all channels.
        spikes: the packed spikes that `fire` writes.
    """

    state: State
    spikes: Spikes

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        """Step some channels. Returns their spikes unpacked; overwrites the current."""
        ...

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        """The gradient of some channels' input current, from that of their spikes, which is overwritten."""
        ...


def membranes(cell: NeuronCell, state: State, spikes: Spikes) -> Membranes:
    """The membranes of a cell whose neurons have a lean form. `state`, before the step, is overwritten."""
    if cell.eight_bits is not None:
        return _EightBitMembranes(cell.eight_bits, state, spikes)
    if isinstance(cell.lean, FusedSoftReset):
        return _FusedMembranes(cell, cell.lean, state, spikes)
    assert cell.lean is not None, "layers whose neurons have no lean form run by autograd"
    return _FormMembranes(cell, cell.lean, state, spikes)


class _FusedMembranes:
    def __init__(self, cell: NeuronCell, form: FusedSoftReset, state: State, spikes: Spikes) -> None:
        self._spec, self._form, self.state, self.spikes = cell.spec, form, state, spikes

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        form, current_BCHW = self._form, in_rows(current_BCHW)
        bits_BCQ = self.spikes.bits_BCQ[:, channels]
        fire_(current_BCHW, self.state[0][:, channels], bits_BCQ, form.decay, form.threshold, form.amount)
        return current_BCHW

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        form, grad_BCHW = self._form, in_rows(grad_BCHW)
        u_BCHW, bits_BCQ = self.state[0][:, channels], self.spikes.bits_BCQ[:, channels]
        surrogate = self._spec.surrogate, self._spec.surrogate_width
        surrogate_backward_(grad_BCHW, u_BCHW, bits_BCQ, form.threshold, form.amount, *surrogate)
        return grad_BCHW


class _EightBitMembranes:
    def __init__(self, neurons: EightBits, state: State, spikes: Spikes) -> None:
        self._neurons, self.state, self.spikes = neurons, state, spikes

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        form, current_BCHW = self._neurons.form, in_rows(current_BCHW)
        kept_BCHW, bits_BCQ = self.state[0][:, channels], self.spikes.bits_BCQ[:, channels]
        numbers = form.decay, form.threshold, form.amount, self._neurons.scale
        fire_eight_bits_(current_BCHW, kept_BCHW, bits_BCQ, *numbers)
        return current_BCHW

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        neurons, grad_BCHW = self._neurons, in_rows(grad_BCHW)
        kept_BCHW, bits_BCQ = self.state[0][:, channels], self.spikes.bits_BCQ[:, channels]
        numbers = neurons.form.threshold, neurons.form.amount, neurons.scale
        surrogate = neurons.surrogate, neurons.surrogate_width
        surrogate_backward_eight_bits_(grad_BCHW, kept_BCHW, bits_BCQ, *numbers, *surrogate)
        return grad_BCHW


class _FormMembranes:
    def __init__(self, cell: NeuronCell, form: LeanForm, state: State, spikes: Spikes) -> None:
        self._spec, self._neuron, self._p, self._form, self.spikes = cell.spec, cell.neuron, cell.p, form, spikes
        self._old = state
        fields = self._neuron.state._fields
        self.state: State = tuple(
            entry if field in form.in_place else torch.empty_like(entry)
            for field, entry in zip(fields, state, strict=True)
        )
        self._m = torch.empty_like(state[0]) if form.potential is None else None

    def fire(self, channels: slice, current_BCHW: Tensor) -> Tensor:
        old, new = self._part(self._old, channels), self._part(self.state, channels)
        m = self._form.charge_(current_BCHW, old, self._p)
        threshold = self._neuron.threshold(old, self._p)
        fired = (m - threshold >= 0) if isinstance(threshold, Tensor) else (m >= threshold)  # STDL eq. (2)
        s = fired.to(m.dtype)
        pack_(s, self.spikes.bits_BCQ[:, channels])
        if self._m is not None:
            self._m[:, channels] = m
        self._form.settle_(m, s, old, new, self._p)
        return s

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        old, spec = self._part(self._old, channels), self._spec
        distance = self._potential(channels).sub_(self._neuron.threshold(old, self._p))
        gradient = surrogate_gradient_(distance, spec.surrogate, spec.surrogate_width).mul_(grad_BCHW)
        if self._form.parameter_gradients is not None:
            for parameter, part in self._form.parameter_gradients(gradient, old, self._p):
                accumulate(parameter, part)
        return gradient

    def _potential(self, channels: slice) -> Tensor:
        """The membrane potential before firing, as a new tensor."""
        if self._m is not None:
            return self._m[:, channels].clone()
        assert self._form.potential is not None, "what is not saved is recovered"
        return self._form.potential(self.spikes.dense(channels=channels), self._part(self.state, channels), self._p)

    def _part(self, state: State, channels: slice) -> NeuronState:
        return self._neuron.state(*(entry[:, channels] for entry in state))
