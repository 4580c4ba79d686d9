"""A layer of neurons in lean mode: membrane potentials, and presynaptic traces for rules with traces.

B batch, C channels, H height, W width.
"""

import math

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import fired
from stdl_events.learning.lean.membranes import membranes
from stdl_events.learning.lean.normed import BeforeNorm
from stdl_events.learning.lean.signals import Dense, Shape, Signal, Spikes, Traced
from stdl_events.learning.rates import ChunkRates
from stdl_events.learning.traces import TracedCell
from stdl_events.network.layers import State
from stdl_events.network.neurons.cell import NeuronCell


class LeanNeurons:
    """One step of a cell's neurons.

    After `fire` was called for all channels, `state` is the new state, and `out` the spikes, with their traces if the
    cell has any.

    Args:
        cell: the neurons' parameters.
        state: the cell's state before the step; it is overwritten.
        dtype: the activation dtype.
        rates: counts and penalises the spikes of some cells; None for no penalty.
        packs_only: True if the next layer reads packed spikes alone.
        channels_last: True if current, potentials and gradients lie channels last, see `takes_channels_last`.
    """

    def __init__(
        self, cell: NeuronCell, state: State, shape: Shape, dtype: torch.dtype, rates: ChunkRates | None = None,
        *, packs_only: bool = False, channels_last: bool = False,
    ) -> None:  # fmt: skip
        self.dtype = dtype
        self._cell, self._rates = cell, rates if rates is not None and cell in rates else None
        self._slope_B: Tensor | None = None
        self._old_u, self._traces = state[0], None
        if isinstance(cell, TracedCell):
            self._traces = LeanTraces(cell, state[cell.own_count :])
            state = state[: cell.own_count]
        self._packs_only = packs_only and self._traces is None
        spikes = Spikes(shape, self.dtype, state[0].device, channels_last=channels_last)
        self._membranes = membranes(cell, state, spikes)

    @property
    def state(self) -> State:
        return self._membranes.state + (() if self._traces is None else self._traces.state)

    @property
    def out(self) -> Signal:
        spikes = self._membranes.spikes
        return spikes if self._traces is None else Traced(spikes, Dense(self._traces.trace_BCHW))

    @property
    def fuses_norm(self) -> bool:
        """True if the neurons normalise their input themselves, see `BeforeNorm`."""
        return self._membranes.fuses_norm

    def fire(self, channels: slice, current: Tensor | BeforeNorm) -> None:
        """Step some channels. Overwrites the current."""
        if self._packs_only:
            self._membranes.fire(channels, current, packs_only=True)
            return
        u_before = self._old_u[:, channels].clone() if self._traces is not None else None
        s = self._membranes.fire(channels, current)
        if self._traces is not None and u_before is not None:
            self._traces.move(channels, s, self._membranes.state[0][:, channels], u_before)
        self._membranes.spikes.hand_on(s)

    def pause(self) -> None:
        """End of forward: count the spikes, for the penalty on them."""
        if self._rates is not None:
            bits_BCQ, (_, *layer) = self._membranes.spikes.bits_BCQ, self._membranes.spikes.shape
            self._slope_B = self._rates.note_counts(self._cell, fired(bits_BCQ), math.prod(layer)).to(self.dtype)

    def backward(self, channels: slice, grad_BCHW: Tensor, before: BeforeNorm | None = None) -> Tensor:
        """The gradient of some channels' input current, from that of their spikes, which is overwritten.

        Args:
            before: their norm's input; the gradient returned is that of this, and those of the norm are accumulated.
        """
        if self._slope_B is not None:
            grad_BCHW.add_(self._slope_B[:, None, None, None])
        return self._membranes.backward(channels, grad_BCHW, before)


class LeanTraces:
    """One step of a cell's traces.

    After `move` was called for all channels, `state` and `trace_BCHW` are those after the step. For most kinds the
    trace is part of the state and needs no further memory. NDOT's state, as in the paper, holds the decayed trace, so
    the trace of the step is a further tensor.

    Args:
        state: the trace's state, updated in place.
    """

    def __init__(self, cell: TracedCell, state: State) -> None:
        self._cell, self.state = cell, state
        self.trace_BCHW = state[0] if cell.holds_trace else torch.empty_like(state[0])

    def move(self, channels: slice, spikes: Tensor, u: Tensor, u_before: Tensor) -> None:
        """Step some channels; arguments as in `TracedCell.move_trace`."""
        parts = tuple(entry[:, channels] for entry in self.state)
        trace, moved = self._cell.move_trace(spikes, u, u_before, parts)
        for part, new in zip(parts, moved, strict=True):
            part.copy_(new)
        if not self._cell.holds_trace:
            self.trace_BCHW[:, channels] = trace
