"""The neurons of a network during one step: which are near their threshold, and how many fire in each layer."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell

Mask: TypeAlias = Callable[[], npt.NDArray[np.bool_]]


class Near(NamedTuple):
    """Masks of the neurons of an entry of the state.

    Attributes:
        threshold: near their threshold.
        rounding: with a potential in eight bits near the middle between two integers.
    """

    threshold: Mask
    rounding: Mask


class WatchedCells:
    """Context in which the neurons of a network are watched.

    Args:
        tolerance: distance of the membrane potential to the threshold, or to the middle, that counts as near.

    Attributes:
        near: for each entry of the state of the last step, the neurons near a decision.
        spikes_L: spikes of each layer in all steps.
    """

    def __init__(self, network: SpikingNetwork, tolerance: float) -> None:
        self._network, self._tolerance = network, tolerance
        self._handles: list[Any] = []
        self.near: list[Near] = []
        self.spikes_L = [0] * len(network.layers_in_order())

    def __enter__(self) -> "WatchedCells":
        for number, layer in enumerate(self._network.layers_in_order()):
            for cell in layer.modules():
                if isinstance(cell, NeuronCell):
                    self._watch(number, cell)
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def begin_step(self) -> None:
        """Forget the neurons near their threshold in the step before."""
        self.near = []

    def _watch(self, number: int, cell: NeuronCell) -> None:
        def near(cell: nn.Module, arguments: tuple[Tensor, Any]) -> None:
            assert isinstance(cell, NeuronCell)
            distances = cell.distance_to_threshold, cell.distance_to_rounding
            masks = (partial(self._near, distance, *arguments) for distance in distances)
            self.near.extend([Near(*masks)] * cell.state_count)

        def fired(cell: nn.Module, arguments: tuple[Tensor, Any], output: tuple[Tensor, Any]) -> None:
            self.spikes_L[number] += int(output[0].count_nonzero())

        self._handles += [cell.register_forward_pre_hook(near), cell.register_forward_hook(fired)]

    def _near(self, distance: Callable[[Tensor, Any], Tensor], x: Tensor, state: Any) -> npt.NDArray[np.bool_]:
        near: npt.NDArray[np.bool_] = (distance(x, state).abs() <= self._tolerance).cpu().numpy()
        return near
