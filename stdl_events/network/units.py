"""A synapse with the neurons behind it, the unit of most layers.

B batch, C channels, H height, W width.
"""

from typing import TypeAlias

from torch import Tensor, nn

from stdl_events.network.notation import Op
from stdl_events.network.synapse import Factory

State: TypeAlias = tuple[Tensor, ...]
Shape: TypeAlias = tuple[int, int, int]


class SpikingUnit(nn.Module):
    """Convolution, norm, neuron."""

    def __init__(self, factory: Factory, shape: Shape, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.synapse = factory.synapse(shape[0], outputs, kernel, stride, padding)
        self.cell = factory.cell()
        self.gain = factory.gain()
        self.output_shape = Op("C", outputs, kernel, stride, padding).output_shape(shape)
        self.state_shapes = (self.output_shape,) * self.cell.state_count

    def step(self, x_BCHW: Tensor, state: State, shortcut_BCHW: Tensor | None = None) -> tuple[Tensor, State]:
        """`shortcut_BCHW` is added to the neuron's input current."""
        current = self.synapse(x_BCHW)
        if shortcut_BCHW is not None:
            current = current + shortcut_BCHW
        spikes, new = self.cell(current, self.cell.state_type(*state))
        return (spikes if self.gain == 1.0 else spikes * self.gain), tuple(new)
