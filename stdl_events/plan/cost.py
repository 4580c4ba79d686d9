"""What layers cost, and the additive model that adds layers up to blocks.

Costs come from the caller, as a function from layers to bytes; nothing here knows tensors.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

from stdl_events.network.spec import LayerSpec


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Bytes of one layer during one training step.

    Args:
        input: what the layer receives; alive throughout a block's step where the block is the network's first.
        forward: the most that its forward needs beyond what was there before; a classifier's includes its loss.
        saved: what is left of that when the next layer starts: its output and what its backward will need.
        backward: the most that its backward needs beyond `saved`.
        fixed: what stays for the whole training: weights, gradients, optimiser state, buffers, membrane potentials.
        released: how much of its input nobody needs behind its forward; 0 where its backward will need the input.
        left: what is still alive behind a classifier's backward, until the step of its block ends: logits, the loss.
        output: what it hands to a next block, which is alive until that block's step is done.
        shared: how much of `output` its own backward holds while it needs most.
        update: the most that moving its weights needs beyond what stays; all backwards are done by then.
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


Fronts: TypeAlias = tuple[LayerSpec, ...]
CostOf: TypeAlias = Callable[[LayerSpec, bool, Fronts], LayerCost]
"""(layer, whether its input needs a gradient, the layers in front that matter, see `behind`) -> its cost.

The first layer of a block needs no gradient of its input; the network's first has no layer in front.
"""


def behind(fronts: Fronts, layer: LayerSpec) -> Fronts:
    """The layers that decide what kind of values the layer behind `layer` receives.

    It is `layer` alone, unless that adds what it receives to its spikes: then also the last layer that does not.
    """
    channels, height, width = layer.input_shape
    adds = layer.body.kind == "SEWR" and layer.body.output_shape(layer.input_shape) == (channels, height, width)
    return (*fronts[:1], layer) if adds else (layer,)


@dataclasses.dataclass(frozen=True)
class Link:
    """One layer's part in the peak of a chain: with `rest` bytes needed behind it, `max(own, added + rest)` are.

    Both count from what was alive before the layer ran. Everything in the search is monotone in `rest`, which is what
    makes Pareto fronts of parts of a chain enough.
    """

    own: int
    added: int

    @classmethod
    def of(cls, cost: LayerCost, *, held: bool, waiting: int = 0, left: int = 0) -> "Link":
        """The link of a layer.

        Args:
            held: whether the layer's input is kept by the caller: the first layers of blocks and of auxiliary networks.
            waiting: bytes of the block's output, where the layer is in front of it.
            left: `LayerCost.left` of the chain's classifier, where that is another layer.
        """
        kept = cost.released if held else 0
        backward = cost.saved + cost.backward + kept + waiting + left
        return cls(max(cost.forward, backward), cost.saved - cost.released + kept)

    def before(self, rest: int) -> int:
        """The bytes that are needed from this layer on, with `rest` behind it."""
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
    """The most that one step of a chain of layers needs beyond what stays: forward through all, then backward.

    Args:
        border: the index of the first auxiliary layer. What enters it is the block's output, which the next block waits
            for, so it is still there when the backward pass has come past the border. None where nothing waits.
        received: the `output` of the layer in front; None for the first layer's `input`.
    """
    rest = 0
    for link in reversed(chain_links(costs, border)):
        rest = link.before(rest)
    return rest + (costs[0].input if received is None else received)


def fixed_bytes(costs: Sequence[LayerCost]) -> int:
    """What a chain of layers keeps for the whole training."""
    return sum(cost.fixed for cost in costs)


def chain_costs(layers: Sequence[LayerSpec], cost_of: CostOf, fronts: Fronts = ()) -> list[LayerCost]:
    """The costs of a block's layers, auxiliary ones included, in order; `fronts` are the layers in front of them."""
    costs = []
    for index, layer in enumerate(layers):
        costs.append(cost_of(layer, index > 0, fronts))
        fronts = behind(fronts, layer)
    return costs


def fronts_of(layers: Sequence[LayerSpec]) -> list[Fronts]:
    """The layers in front of each layer of a network."""
    fronts: list[Fronts] = [()]
    for layer in layers[:-1]:
        fronts.append(behind(fronts[-1], layer))
    return fronts
