"""Costs of layers, and the additive model of a block's bytes.

The caller provides costs as a function from layers to bytes. No tensors are used.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

from stdl_events.network.spec import LayerSpec


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Bytes of one layer during one training step.

    Args:
        input: its input; alive throughout a block's step if the block is the network's first.
        forward: peak of its forward beyond the bytes before it; a classifier's includes its loss.
        saved: the part of it that is alive when the next layer starts: its output, and tensors saved for backward.
        backward: peak of its backward beyond `saved`.
        fixed: resident bytes: weights, gradients, optimiser state, buffers, membrane potentials.
        released: the part of its input that can be freed after its forward; 0 if backward needs the input.
        left: alive after a classifier's backward until the step of its block ends: logits, the loss.
        output: its output for a next block, alive until that block's step ends.
        shared: the part of `output` that is alive at the peak of its own backward.
        update: peak of its weights' update beyond the resident bytes, after all backward passes.
        reused: what its backward needs more if the part of its input that backward frees is held by the caller.
    """

    input: int
    forward: int
    saved: int
    backward: int
    fixed: int
    released: int = 0
    left: int = 0
    output: int = 0
    shared: int = 0
    update: int = 0
    reused: int = 0


Preceding: TypeAlias = tuple[LayerSpec, ...]
CostOf: TypeAlias = Callable[[LayerSpec, bool, Preceding], LayerCost]
"""(layer, True if its input needs a gradient, the relevant layers in front, see `preceding_after`) -> its cost.

The first layer of a block needs no gradient of its input; the network's first has no layer in front.
"""


def preceding_after(preceding: Preceding, layer: LayerSpec) -> Preceding:
    """The layers that determine the kind of values in the input of the layer behind `layer`.

    This is `layer` alone, unless it adds its input to its spikes: then also the last layer that does not.
    """
    channels, height, width = layer.input_shape
    adds = layer.body.kind == "SEWR" and layer.body.output_shape(layer.input_shape) == (channels, height, width)
    return (*preceding[:1], layer) if adds else (layer,)


@dataclasses.dataclass(frozen=True)
class Link:
    """One layer's part in the peak of a chain: `max(own, added + rest)` for a peak of `rest` behind it.

    Both count from the bytes alive before the layer ran. The search is monotone in `rest`, so Pareto fronts of parts of
    a chain are sufficient.
    """

    own: int
    added: int

    @classmethod
    def of(cls, cost: LayerCost, *, held: bool, waiting: int = 0, left: int = 0) -> "Link":
        """The link of a layer.

        Args:
            held: True if the caller holds the layer's input: the first layers of blocks and of auxiliary networks.
            waiting: bytes of the block's output, if the layer is in front of it.
            left: `LayerCost.left` of the chain's classifier, if that is another layer.
        """
        kept = cost.released if held else 0
        reused = cost.reused if held else 0
        backward = cost.saved + cost.backward + kept + reused + waiting + left
        return cls(max(cost.forward, backward), cost.saved - cost.released + kept)

    def before(self, rest: int) -> int:
        """Peak bytes from this layer on, with `rest` behind it."""
        return max(self.own, self.added + rest)


def chain_links(costs: Sequence[LayerCost], border: int | None = None) -> list[Link]:
    """The links of a block's layers, auxiliary ones included; `border` as in `working_bytes`."""
    links = []
    for index, cost in enumerate(costs):
        waiting = costs[border - 1].output if border is not None and index < border else 0
        if border is not None and index == border - 1:
            waiting -= cost.shared
        left = costs[-1].left if index < len(costs) - 1 else 0
        links.append(Link.of(cost, held=index in (0, border), waiting=waiting, left=left))
    return links


def working_bytes(costs: Sequence[LayerCost], border: int | None = None, received: int | None = None) -> int:
    """Peak of one step of a chain of layers beyond the resident bytes: forward through all, then backward.

    Args:
        border: index of the first auxiliary layer. Its input is the block's output, the next block's input, so it is
            alive for the whole backward pass. None without auxiliary layers.
        received: the `output` of the layer in front; None for the first layer's `input`.
    """
    rest = 0
    for link in reversed(chain_links(costs, border)):
        rest = link.before(rest)
    return rest + (costs[0].input if received is None else received)


def fixed_bytes(costs: Sequence[LayerCost]) -> int:
    """Resident bytes of a chain of layers."""
    return sum(cost.fixed for cost in costs)


def chain_costs(layers: Sequence[LayerSpec], cost_of: CostOf, preceding: Preceding = ()) -> list[LayerCost]:
    """The costs of a block's layers, auxiliary ones included, in order; `preceding` are the layers in front of them."""
    return [cost_of(*place) for place in chain_places(layers, preceding)]


def chain_places(layers: Sequence[LayerSpec], preceding: Preceding = ()) -> list[tuple[LayerSpec, bool, Preceding]]:
    """The arguments of `CostOf` for a block's layers, as in `chain_costs`."""
    places = []
    for index, layer in enumerate(layers):
        places.append((layer, index > 0, preceding))
        preceding = preceding_after(preceding, layer)
    return places


def preceding_of(layers: Sequence[LayerSpec]) -> list[Preceding]:
    """The layers in front of each layer of a network."""
    preceding: list[Preceding] = [()]
    for layer in layers[:-1]:
        preceding.append(preceding_after(preceding[-1], layer))
    return preceding
