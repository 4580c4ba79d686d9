"""Names of a network's convolutions and linear layers, in terms of its notation."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from stdl_events.learning.block import LocalBlock
    from stdl_events.network.network import SpikingNetwork

_UNITS = {"first": "first convolution", "second": "second convolution", "shortcut": "shortcut"}


@dataclasses.dataclass(frozen=True)
class Site:
    """One convolution or linear layer.

    Args:
        layer: number of its layer in the notation, counted from 1; in an auxiliary network, in that one's notation.
        notation: the layer's notation.
        auxiliary_of: number of the block, counted from 1, of the auxiliary network; None for the network itself.
        unit: name of the convolution in a layer with several.
    """

    layer: int
    notation: str
    auxiliary_of: int | None = None
    unit: str = ""

    @property
    def whole_layer(self) -> "Site":
        """The site without its unit."""
        return dataclasses.replace(self, unit="")

    def __str__(self) -> str:
        network = "" if self.auxiliary_of is None else "auxiliary "
        return f"{network}layer {self.layer} ({self.notation})" + (f", {self.unit}" if self.unit else "")


def sites_of(blocks: "Iterable[LocalBlock]") -> Iterator[tuple[Tensor, Site]]:
    """Every weight of `blocks`, with its site."""
    start = 0
    for number, block in enumerate(blocks, 1):
        yield from _sites(block.subnetwork, start, None)
        start += len(block.subnetwork.layers)
        if block.auxiliary is not None:
            yield from _sites(block.auxiliary, 0, number)


def _sites(network: "SpikingNetwork", start: int, auxiliary_of: int | None) -> Iterator[tuple[Tensor, Site]]:
    for index, layer in enumerate(network.layers_in_order()):
        # One object for all weights of a unit: the ledger distinguishes sites by identity.
        units: dict[str, Site] = {}
        for path, weight in layer.named_parameters():
            unit = _unit(path)
            site = units.setdefault(unit, Site(start + index + 1, str(layer.spec), auxiliary_of, unit))
            yield weight, site


def _unit(path: str) -> str:
    """The name of the convolution that the parameter at `path` belongs to."""
    _, name, *rest = path.split(".")
    return f"convolution {int(rest[0]) + 1}" if name == "units" else _UNITS.get(name, "")
