"""Membrane potentials in lean mode: their update, and the tensors saved for the surrogate gradient.

A neuron's lean form defines both (`network/neurons/neuron.py`). LIF with soft reset has fused kernels for a whole step,
with potentials in the activation dtype or in eight bits; all other forms are executed here.

B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import (
    empty,
    fire_,
    fire_eight_bits_,
    fire_normed_,
    fuses_norm,
    laid_out,
    pack_,
    surrogate_backward_,
    surrogate_backward_eight_bits_,
    surrogate_backward_normed_,
)
from stdl_events.learning.lean.normed import BeforeNorm
from stdl_events.learning.lean.parts import accumulate, of_channels
from stdl_events.learning.lean.signals import Spikes
from stdl_events.network.layers import State
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.neurons.neuron import FusedSoftReset, LeanForm, NeuronState
from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import surrogate_gradient_


class Membranes(Protocol):
    """One step of a layer's neurons, one group of channels at a time.

    Attributes:
        state: the state after the step, valid once `fire` was called for all channels.
        spikes: the packed spikes that `fire` writes.
        fuses_norm: True if both methods take what is before batch norm.
    """

    state: State
    spikes: Spikes
    fuses_norm: bool

    def fire(self, channels: slice, current: Tensor | BeforeNorm, *, packs_only: bool = False) -> Tensor:
        """Step some channels. Returns their spikes unpacked, nothing of use with `packs_only`; overwrites the current.

        Args:
            packs_only: True if the packed spikes are all that is needed.
        """
        ...

    def backward(self, channels: slice, grad_BCHW: Tensor, before: BeforeNorm | None) -> Tensor:
        """The gradient of some channels' input current, from that of their spikes, which is overwritten.

        Args:
            before: the norm's input; the gradient is then that of this.
        """
        ...


def takes_channels_last(cell: NeuronCell, device: torch.device, dtype: torch.dtype) -> bool:
    """True if the neurons behind a batch norm in training are quicker with channels last."""
    is_fused = type(cell) is NeuronCell and (isinstance(cell.lean, FusedSoftReset) or cell.eight_bits is not None)
    return is_fused and fuses_norm(device, dtype)


def membranes(cell: NeuronCell, state: State, spikes: Spikes) -> Membranes:
    """The membranes of a cell whose neurons have a lean form. `state`, before the step, is overwritten."""
    if cell.eight_bits is not None:
        neurons = cell.eight_bits
        return _FusedMembranes(neurons.form, (neurons.scale,), neurons, state, spikes)
    if isinstance(cell.lean, FusedSoftReset):
        return _FusedMembranes(cell.lean, (), cell.spec, state, spikes)
    assert cell.lean is not None, "layers whose neurons have no lean form run by autograd"
    return _FormMembranes(cell, cell.lean, state, spikes)


class _FusedMembranes:
    """Neurons with kernels for a whole step.

    Args:
        step: of a potential that is kept in eight bits; empty for one in the activation dtype.
    """

    def __init__(
        self, form: FusedSoftReset, step: tuple[float, ...], spec: NeuronSpec | EightBits, state: State, spikes: Spikes
    ) -> None:
        self._neurons = (form.decay, form.threshold, form.amount, *step)
        self._surrogate = spec.surrogate, spec.surrogate_width
        self._fire: Callable[..., None] = fire_eight_bits_ if step else fire_
        self._backward: Callable[..., None] = surrogate_backward_eight_bits_ if step else surrogate_backward_
        self.spikes, self._last = spikes, spikes.channels_last
        self.state = state
        self.fuses_norm = fuses_norm(spikes.bits_BCQ.device, spikes.dtype)

    def fire(self, channels: slice, current: Tensor | BeforeNorm, *, packs_only: bool = False) -> Tensor:
        u_BCHW, bits_BCQ = of_channels(self.state[0], channels), of_channels(self.spikes.bits_BCQ, channels)
        if isinstance(current, Tensor):
            spikes_BCHW = laid_out(current, channels_last=self._last)
            self._fire(spikes_BCHW, u_BCHW, bits_BCQ, *self._neurons)
            return spikes_BCHW
        y_BCHW = laid_out(current.y_BCHW, channels_last=self._last)
        overwrites = not (current.is_saved or packs_only)
        spikes_BCHW = y_BCHW
        if not overwrites:
            like = y_BCHW[:0] if packs_only else y_BCHW
            spikes_BCHW = empty(y_BCHW, like.shape, channels_last=self._last)
        norm = current.forward_numbers(), current.momentum, current.norm.eps
        fire_normed_(spikes_BCHW, y_BCHW, u_BCHW, bits_BCQ, *norm, self._neurons)
        return spikes_BCHW

    def backward(self, channels: slice, grad_BCHW: Tensor, before: BeforeNorm | None) -> Tensor:
        grad_BCHW = laid_out(grad_BCHW, channels_last=self._last)
        u_BCHW, bits_BCQ = of_channels(self.state[0], channels), of_channels(self.spikes.bits_BCQ, channels)
        numbers = self._neurons[1:]
        if before is None:
            self._backward(grad_BCHW, u_BCHW, bits_BCQ, *numbers, *self._surrogate)
        else:
            y_BCHW, norm = laid_out(before.y_BCHW, channels_last=self._last), before.backward_numbers()
            surrogate_backward_normed_(grad_BCHW, y_BCHW, u_BCHW, bits_BCQ, norm, numbers, *self._surrogate)
        return grad_BCHW


class _FormMembranes:
    fuses_norm = False

    def __init__(self, cell: NeuronCell, form: LeanForm, state: State, spikes: Spikes) -> None:
        self._spec, self._neuron, self._p, self._form, self.spikes = cell.spec, cell.neuron, cell.p, form, spikes
        self._old = state
        fields = self._neuron.state._fields
        self.state: State = tuple(
            entry if field in form.in_place else torch.empty_like(entry)
            for field, entry in zip(fields, state, strict=True)
        )
        self._m = torch.empty_like(state[0]) if form.potential is None else None

    def fire(self, channels: slice, current: Tensor | BeforeNorm, *, packs_only: bool = False) -> Tensor:
        del packs_only  # an option of the protocol: these neurons need their spikes anyway
        assert isinstance(current, Tensor), "these neurons do not normalise"
        old, new = self._part(self._old, channels), self._part(self.state, channels)
        m = self._form.charge_(current, old, self._p)
        threshold = self._neuron.threshold(old, self._p)
        fired = (m - threshold >= 0) if isinstance(threshold, Tensor) else (m >= threshold)  # STDL eq. (2)
        s = fired.to(m.dtype)
        pack_(s, self.spikes.bits_BCQ[:, channels])
        if self._m is not None:
            self._m[:, channels] = m
        self._form.settle_(m, s, old, new, self._p)
        return s

    def backward(self, channels: slice, grad_BCHW: Tensor, before: BeforeNorm | None) -> Tensor:
        assert before is None, "these neurons do not normalise"
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
