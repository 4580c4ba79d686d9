"""A layer's presynaptic traces in lean mode: they move in place, channels by channels.

B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor

from stdl_events.learning.traces import TracedCell
from stdl_events.network.layers import State


class LeanTraces:
    """One step of a cell's traces.

    Most kinds have the trace in their state, where it stays until the next step and costs nothing more. NDOT's, as the
    paper has it, is decayed there already, so the trace of the step is kept beside it.

    Args:
        state: the trace's state; it is moved in place.

    `state` and `trace_BCHW` are those after the step, once `move` was called for all channels.
    """

    def __init__(self, cell: TracedCell, state: State) -> None:
        self._cell, self.state = cell, state
        self.trace_BCHW = state[0] if cell.holds_trace else torch.empty_like(state[0])

    def move(self, channels: slice, spikes: Tensor, u: Tensor, u_before: Tensor) -> None:
        """Move some channels on by one step; arguments as in `TracedCell.move_trace`."""
        parts = tuple(entry[:, channels] for entry in self.state)
        trace, moved = self._cell.move_trace(spikes, u, u_before, parts)
        for part, new in zip(parts, moved, strict=True):
            part.copy_(new)
        if not self._cell.holds_trace:
            self.trace_BCHW[:, channels] = trace
