"""A layer of neurons in lean mode: fires channels by channels, and keeps only what its surrogate gradient needs.

With soft reset, membrane potential and spikes tell the potential before the reset: m = u + V_th s. So plain LIF keeps
nothing but its state, and moves that in place. The others keep more: hard reset the potential m, PLIF the old
potential that its decay's gradient needs, ALIF the old trace that its threshold was made of.

B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor

from stdl_events.learning.lean.gradients import accumulate
from stdl_events.learning.lean.signals import Dense, Shape, Signal, Spikes, Traced
from stdl_events.learning.lean.traces import LeanTraces
from stdl_events.learning.traces import TracedCell
from stdl_events.network.layers import State
from stdl_events.network.neuron import LearnedDecay, NeuronCell, soft_reset_amount
from stdl_events.network.surrogate import surrogate_gradient_
from stdl_events.spec import NeuronSpec


class LeanNeurons:
    """One step of a cell's neurons.

    Args:
        cell: whose parameters they have.
        state: the cell's state before the step; it is used up.

    `state` and `out`, the spikes with their traces where the cell keeps any, are those after the step, once `fire` was
    called for all channels.
    """

    def __init__(self, cell: NeuronCell, state: State, shape: Shape) -> None:
        self._traces = None
        if isinstance(cell, TracedCell):
            self._traces = LeanTraces(cell, state[cell.own_count :])
            state = state[: cell.own_count]
        self._parameters = cell.p
        self._spec: NeuronSpec = cell.p.spec if isinstance(cell.p, LearnedDecay) else cell.p
        self._decay = torch.sigmoid(cell.p.logit.detach()) if isinstance(cell.p, LearnedDecay) else self._spec.decay
        self._amount = soft_reset_amount(self._spec, self._decay)
        hard = self._spec.reset == "hard"
        self._old = state
        self._m = torch.empty_like(state[0]) if hard else None
        u = state[0] if self._spec.kind != "plif" else torch.empty_like(state[0])
        self._new: State = (u, *(torch.empty_like(entry) for entry in state[1:]))
        self.dtype = state[0].dtype
        self._spikes = Spikes(shape, self.dtype, state[0].device)
        if self._spec.kind != "plif":
            self._old = (u, *state[1:])

    @property
    def state(self) -> State:
        return self._new if self._traces is None else self._new + self._traces.state

    @property
    def out(self) -> Signal:
        return self._spikes if self._traces is None else Traced(self._spikes, Dense(self._traces.trace_BCHW))

    def fire(self, channels: slice, current_BCHW: Tensor) -> None:
        """Move some channels on by one step. The current is used up."""
        spec = self._spec
        u_old = self._old[0][:, channels]
        u_before = u_old.clone() if self._traces is not None else u_old
        if spec.kind == "plif":
            m = current_BCHW.add_(self._decay * u_old)
        else:
            m = current_BCHW.add_(u_old, alpha=spec.decay)  # STDL eq. (1)
        fired = (m >= spec.threshold) if spec.kind != "alif" else (m - self._threshold(channels) >= 0)  # STDL eq. (2)
        s = self._spikes.put(channels, fired)
        u = self._new[0][:, channels]
        if self._m is not None:
            self._m[:, channels] = m
            torch.mul(m, 1 - s, out=u)
        elif isinstance(self._amount, Tensor):
            torch.sub(m, self._amount * s, out=u)
        else:
            torch.sub(m, s, alpha=self._amount, out=u)  # STDL eq. (3)
        if spec.kind == "alif":
            torch.add(s, self._old[1][:, channels], alpha=spec.adaptation_decay, out=self._new[1][:, channels])
        if self._traces is not None:
            self._traces.move(channels, s, u, u_before)

    def backward(self, channels: slice, grad_BCHW: Tensor) -> Tensor:
        """The gradient of some channels' input current, from that of their spikes."""
        spec = self._spec
        threshold = self._threshold(channels) if spec.kind == "alif" else spec.threshold
        if self._m is not None:
            distance = self._m[:, channels] - threshold
        else:
            # m = u + amount s: soft reset undone
            taken = self._spikes.dense(channels=channels) * self._amount
            distance = taken.add_(self._new[0][:, channels]).sub_(threshold)
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
