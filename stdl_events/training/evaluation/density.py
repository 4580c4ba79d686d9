"""The density of a network's signals on the clips that it is evaluated on: few spikes need few operations.

B clips, C channels, H rows, W columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from stdl_events.network.network import SpikingNetwork


@dataclass(frozen=True)
class LayerDensity:
    """Density at one layer of neurons, or at a convolution without neurons.

    Attributes:
        name: such as `layers.0`, or `layers.3.first` inside a residual block.
        notation: of the layer of the network that it is in.
        rate: share of the neurons that fire in a step; None without neurons.
        entering: share of the values that are not 0 of what the convolution receives, behind poolings.
    """

    name: str
    notation: str
    rate: float | None
    entering: float | None


@dataclass(frozen=True)
class Density:
    """Density at all layers in front of the classifier, on average over clips and steps."""

    layers: tuple[LayerDensity, ...]

    @property
    def mean_rate(self) -> float | None:
        """Mean of the rates of the layers of neurons, each counted once whatever its size."""
        return _mean([layer.rate for layer in self.layers])

    @property
    def mean_entering(self) -> float | None:
        """Mean over the convolutions but the first, which receives frames."""
        return _mean([layer.entering for layer in self.layers][1:])

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        layers = [vars(layer) for layer in self.layers]
        return {"mean_rate": self.mean_rate, "mean_entering": self.mean_entering, "layers": layers}


class DensityCount:
    """Sums over the steps that a network has run; on its device, so that only `read` synchronises."""

    def __init__(self, network: "SpikingNetwork") -> None:
        self._network = network
        self._sums: dict[tuple[str, bool], tuple[Tensor | int, int]] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count in every step of the network."""
        from stdl_events.network.populations import populations, receivers

        cells, weights = populations(self._network), receivers(self._network)
        handles = [cell.register_forward_hook(self._behind(name)) for name, cell in cells.items()]
        handles += [module.register_forward_pre_hook(self._entering(name)) for name, module in weights.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read(self) -> Density:
        """The density so far."""
        layers = self._network.spec.layers
        names = dict.fromkeys(name for name, _ in self._sums)
        in_order = sorted(names, key=lambda name: int(name.split(".")[1]))
        return Density(
            tuple(
                LayerDensity(
                    name, str(layers[int(name.split(".")[1])]), self._share(name, True), self._share(name, False)
                )
                for name in in_order
            )
        )

    def _share(self, name: str, fires: bool) -> float | None:
        total, of = self._sums.get((name, fires), (0, 0))
        return float(total) / of if of else None

    def _behind(self, name: str) -> Callable[..., None]:
        def hook(module: object, received: object, given: "tuple[Tensor, object]") -> None:
            del module, received
            self._add((name, True), given[0])

        return hook

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(module: object, received: "tuple[Tensor, ...]") -> None:
            del module
            self._add((name, False), received[0])

        return hook

    def _add(self, key: tuple[str, bool], values: "Tensor") -> None:
        total, of = self._sums.get(key, (0, 0))
        self._sums[key] = (values.count_nonzero() + total, of + values.numel())


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
