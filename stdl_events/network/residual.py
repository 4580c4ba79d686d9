"""Residual blocks: `nR`, `nSEWR`, and the norm-free `nNFR` and `nNFB`.

B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from stdl_events.network.notation import BLOCK_KERNEL, BOTTLENECK, NORM_FREE_ALPHA, Op
from stdl_events.network.synapse import WS_GAIN, Factory
from stdl_events.network.units import Shape, SpikingUnit, State

SAME = BLOCK_KERNEL // 2


class ResidualBody(nn.Module):
    """`nR`: two units, the shortcut added to the second one's input current (Zheng et al., arXiv:2011.05280)."""

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__()
        self.first = SpikingUnit(factory, shape, op.channels, BLOCK_KERNEL, op.stride, SAME)
        self.second = SpikingUnit(factory, self.first.output_shape, op.channels, BLOCK_KERNEL, 1, SAME)
        self.shortcut = factory.synapse(shape[0], op.channels, 1, op.stride, 0) if _reshapes(op, shape) else None
        self.state_shapes = self.first.state_shapes + self.second.state_shapes

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        count = self.first.cell.state_count
        hidden, first = self.first.step(x_BCHW, state[:count])
        shortcut = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        out, second = self.second.step(hidden, state[count:], shortcut)
        return out, first + second


class SEWBody(nn.Module):
    """`nSEWR`: two units, the shortcut's spikes added to the second one's spikes (Fang et al., arXiv:2102.04159)."""

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__()
        self.first = SpikingUnit(factory, shape, op.channels, BLOCK_KERNEL, op.stride, SAME)
        self.second = SpikingUnit(factory, self.first.output_shape, op.channels, BLOCK_KERNEL, 1, SAME)
        self.shortcut = SpikingUnit(factory, shape, op.channels, 1, op.stride, 0) if _reshapes(op, shape) else None
        units = [self.first, self.second] if self.shortcut is None else [self.first, self.second, self.shortcut]
        self.state_shapes = tuple(entry for unit in units for entry in unit.state_shapes)

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        count = self.first.cell.state_count
        hidden, first = self.first.step(x_BCHW, state[:count])
        out, second = self.second.step(hidden, state[count : 2 * count])
        if self.shortcut is None:
            return out + x_BCHW, first + second
        shortcut, third = self.shortcut.step(x_BCHW, state[2 * count :])
        return out + shortcut, first + second + third


class PreActivationUnit(nn.Module):
    """Neuron, then convolution with standardised weights: the unit of norm-free blocks."""

    def __init__(self, factory: Factory, shape: Shape, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.cell = factory.cell()
        self.synapse = factory.standardised(shape[0], outputs, kernel, stride, kernel // 2)
        self.output_shape = Op("C", outputs, kernel, stride, kernel // 2).output_shape(shape)
        self.state_shapes = (shape,) * self.cell.state_count

    def fire(self, current_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """The neurons' spikes at unit variance, in front of the convolution."""
        spikes, new = self.cell(current_BCHW, self.cell.state_type(*state))
        return spikes * WS_GAIN, tuple(new)


class NormFreeBody(nn.Module):
    """`nNFR` and `nNFB`: x + α g f(x / β), where f is two or three pre-activation units and g starts at 0.

    Input and output are currents. Every block adds to the variance of x. Division by β, the standard deviation of x by
    the layers in front, removes that growth in front of the first neuron. Where the shape changes, the shortcut is a
    convolution of the first neuron's spikes.

    Source: Brock et al., arXiv:2101.08692, section 2 and figure 1; SLTT, appendix E.2, and its released networks.

    Args:
        input_variance: β².
    """

    def __init__(self, op: Op, shape: Shape, factory: Factory, *, input_variance: float) -> None:
        super().__init__()
        self.beta = input_variance**0.5
        self.units = nn.ModuleList()
        at = shape
        for outputs, kernel, stride in _branch(op):
            unit = PreActivationUnit(factory, at, outputs, kernel, stride)
            self.units.append(unit)
            at = unit.output_shape
        self.shortcut = factory.standardised(shape[0], op.channels, 1, op.stride, 0) if _reshapes(op, shape) else None
        # SkipInit (De and Smith, arXiv:2002.10444): every block starts as its shortcut.
        self.skip_gain = factory.scalar(0.0)
        self.state_shapes = tuple(entry for unit in self._units() for entry in unit.state_shapes)

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        shortcut, current, new = x_BCHW, x_BCHW / self.beta, list[Tensor]()
        for index, unit in enumerate(self._units()):
            count = unit.cell.state_count
            spikes, entries = unit.fire(current, state[index * count : (index + 1) * count])
            if index == 0 and self.shortcut is not None:
                shortcut = self.shortcut(spikes)
            current = unit.synapse(spikes)
            new.extend(entries)
        return torch.addcmul(shortcut, current, self.skip_gain, value=NORM_FREE_ALPHA), tuple(new)

    def _units(self) -> list[PreActivationUnit]:
        return [unit for unit in self.units if isinstance(unit, PreActivationUnit)]


def _branch(op: Op) -> list[tuple[int, int, int]]:
    """(outputs, kernel, stride) of the convolutions inside a norm-free block."""
    if op.kind == "NFR":
        return [(op.channels, BLOCK_KERNEL, op.stride), (op.channels, BLOCK_KERNEL, 1)]
    inner = op.channels // BOTTLENECK
    return [(inner, 1, 1), (inner, BLOCK_KERNEL, op.stride), (op.channels, 1, 1)]


def _reshapes(op: Op, shape: Shape) -> bool:
    return op.stride != 1 or op.channels != shape[0]
