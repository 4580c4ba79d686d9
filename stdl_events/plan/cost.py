"""What layers cost, and the additive model that adds layers up to blocks.

Costs come from whoever can measure them, as a function from layers to bytes; nothing here knows tensors.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

from stdl_events.network.spec import LayerSpec


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Bytes of one layer during one training step.

    Args:
        input: what the layer receives; alive throughout where nobody else counts it, in front of a block.
        forward: the most that its forward needs beyond what was there before.
        saved: what is left of that when the next layer starts: its output and what its backward will need.
        backward: the most that its backward needs beyond `saved`.
        fixed: what stays for the whole training: weights, gradients, optimiser state, buffers, membrane potentials.
        released: how much of its input nobody needs behind its forward; 0 where its backward will need the input.
    """

    input: int
    forward: int
    saved: int
    backward: int
    fixed: int
    released: int = 0


CostOf: TypeAlias = Callable[[LayerSpec, bool], LayerCost]
"""(layer, whether its input needs a gradient) -> its cost. The first layer of a block needs none."""


def working_bytes(costs: Sequence[LayerCost], border: int | None = None) -> int:
    """The most that one step of a chain of layers needs beyond what stays: forward through all, then backward.

    Args:
        border: the index of the first auxiliary layer. What enters it is the block's output, which the next block waits
            for, so it is still there when the backward pass has come past the border. None where nothing waits.
    """
    # The input of the chain and that of its auxiliary network are kept by somebody else.
    held = {0, border}
    peak = alive = costs[0].input
    added = [cost.saved - (0 if index in held else cost.released) for index, cost in enumerate(costs)]
    for cost, more in zip(costs, added, strict=True):
        peak = max(peak, alive + cost.forward)
        alive += more
    for index, cost in reversed(list(enumerate(costs))):
        alive -= added[index]
        kept = cost.released if index in held else 0
        waiting = costs[border].input if border is not None and index < border else 0
        peak = max(peak, alive + cost.saved + cost.backward + kept + waiting)
    return peak


def kept_bytes(costs: Sequence[LayerCost]) -> int:
    """What a chain of layers keeps when its forward is done: its input, and what backward and the next layer need."""
    return costs[0].input + sum(cost.saved for cost in costs) - sum(cost.released for cost in costs[1:])


def fixed_bytes(costs: Sequence[LayerCost]) -> int:
    """What a chain of layers keeps for the whole training."""
    return sum(cost.fixed for cost in costs)


def chain_costs(layers: Sequence[LayerSpec], cost_of: CostOf) -> list[LayerCost]:
    """The costs of a block's layers, auxiliary ones included, in order."""
    return [cost_of(layer, index > 0) for index, layer in enumerate(layers)]
