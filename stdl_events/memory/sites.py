"""Names for the places of a network, so that a reader finds them in its notation."""

import dataclasses
from collections.abc import Iterable, Iterator

from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.network.network import SpikingNetwork

_UNITS = {"first": "first convolution", "second": "second convolution", "shortcut": "shortcut"}


@dataclasses.dataclass(frozen=True)
class Site:
    """One convolution or linear layer.

    Args:
        layer: its layer in the notation, counted from 1; of the auxiliary network where it belongs to one.
        notation: the layer's.
        auxiliary_of: the block, counted from 1, whose auxiliary network this is; None for the network itself.
        unit: which convolution of the layer, where there are several.
    """

    layer: int
    notation: str
    auxiliary_of: int | None = None
    unit: str = ""

    @property
    def whole_layer(self) -> "Site":
        """The layer that it is a part of."""
        return dataclasses.replace(self, unit="")

    def __str__(self) -> str:
        network = "" if self.auxiliary_of is None else "auxiliary "
        return f"{network}layer {self.layer} ({self.notation})" + (f", {self.unit}" if self.unit else "")


def sites_of(blocks: Iterable[LocalBlock]) -> Iterator[tuple[Tensor, Site]]:
    """Every weight of `blocks`, with its site."""
    start = 0
    for number, block in enumerate(blocks, 1):
        yield from _sites(block.subnetwork, start, None)
        start += len(block.subnetwork.layers)
        if block.auxiliary is not None:
            yield from _sites(block.auxiliary, 0, number)


def _sites(network: SpikingNetwork, start: int, auxiliary_of: int | None) -> Iterator[tuple[Tensor, Site]]:
    for index, layer in enumerate(network.layers_in_order()):
        # One object for all weights of a unit: the ledger tells sites apart by identity.
        units: dict[str, Site] = {}
        for path, weight in layer.named_parameters():
            unit = _unit(path)
            site = units.setdefault(unit, Site(start + index + 1, str(layer.spec), auxiliary_of, unit))
            yield weight, site


def _unit(path: str) -> str:
    """Which convolution of its layer the parameter at `path` belongs to."""
    _, name, *rest = path.split(".")
    return f"convolution {int(rest[0]) + 1}" if name == "units" else _UNITS.get(name, "")
