"""The Pareto front of all auxiliary networks behind a layer, without enumerating them.

An auxiliary network enters the planner's cost as two numbers: its resident bytes and the peak of its part of a step.
Built from its classifier towards its front, both are monotone in those of the part behind (`Link.before`). Of all
continuations from one layer at one input shape only the Pareto front matters. The search is therefore exact in
polynomial time; an enumeration would go through every subset of the later layers.
"""

import bisect
import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from functools import cached_property

from stdl_events.errors import NotationError
from stdl_events.network.notation import LayerSpec
from stdl_events.plan.auxiliary import AuxiliaryMaker
from stdl_events.plan.cost import CostOf, LayerCost, Link, Preceding, chain_costs, preceding_after, preceding_of

Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Head:
    """An auxiliary network's layers and bytes.

    Args:
        fixed: its resident bytes.
        working: peak of its part of a step beyond the saved bytes of the block's own layers.
        left: `LayerCost.left` of its classifier.
        update: the largest `LayerCost.update` of its layers, 0 where one of the network's own layers needs as much.
    """

    layers: tuple[LayerSpec, ...]
    fixed: int
    working: int
    left: int
    update: int


class HeadSearch:
    """The auxiliary networks of one network.

    Args:
        costs: the costs that a layer may have, such as those of lean mode with its output kept and recomputed. All have
            the same `input`, `fixed`, `left`, `output` and `update`.
    """

    def __init__(self, maker: AuxiliaryMaker, costs: tuple[CostOf, ...]) -> None:
        self._maker, self._costs, self._spec = maker, costs, maker.spec
        self._preceding = preceding_of(self._spec.layers)
        self._rests: dict[tuple[int, Shape, int, Preceding], list[Head]] = {}
        self._found: dict[tuple[int, int], list[Head]] = {}
        layers = maker.spec.layers
        self._unlike = [index for index in range(1, len(layers) - 1) if layers[index] != layers[index - 1]]

    def front(self, stop: int, depth: int) -> list[Head]:
        """The Pareto front of the auxiliary networks behind layer `stop - 1` with at least `depth` layers.

        The classifier is not counted. Fewest fixed bytes first, for each value of `left` and `update`.
        """
        key = (stop, depth)
        if key not in self._found:
            shape, preceding = self._spec.layers[stop].input_shape, self._preceding[stop]
            found: list[Head] = []
            for index in self._choices(stop):
                # A pooling that finds too few pixels makes an auxiliary network inadmissible.
                with contextlib.suppress(NotationError):
                    pooled = self._maker.pooling(stop, index, shape)
                    for layer, rests in self._continuations(index, shape, pooled, depth, preceding):
                        found.extend(self._longer(layer, rest, preceding, first=True) for rest in rests)
            self._found[key] = _front(found)
        return self._found[key]

    def of(self, stop: int, layers: tuple[LayerSpec, ...]) -> Head:
        """The auxiliary network of these layers behind layer `stop - 1`."""
        preceding = list(itertools.accumulate(layers[:-1], preceding_after, initial=self._preceding[stop]))
        head = self._classifier(layers[-1], preceding[-1])
        for index in reversed(range(len(layers) - 1)):
            head = self._longer(layers[index], head, preceding[index], first=index == 0)
        return head

    def _rest(self, index: int, shape: Shape, depth: int, preceding: Preceding) -> list[Head]:
        """The front of the continuations behind `preceding` that start with layer `index` at an input shape."""
        key = (index, shape, depth, preceding)
        if key not in self._rests:
            found = [
                self._longer(layer, rest, preceding, first=False)
                for layer, rests in self._continuations(index, shape, 1, depth, preceding)
                for rest in rests
            ]
            self._rests[key] = _front(found)
        return self._rests[key]

    def _continuations(
        self, index: int, shape: Shape, pooled: int, depth: int, preceding: Preceding
    ) -> Iterator[tuple[LayerSpec, list[Head]]]:
        """Layer `index` at an input shape, with the pooling behind it, and the front of its continuations.

        Args:
            pooled: the factor of the pooling in front of it.
            depth: least number of layers, `index` included.
        """
        plain = self._maker.layer(index, shape, pooled, 1)
        out, last = plain.output_shape, len(self._spec.layers) - 1
        if depth <= 1:
            with contextlib.suppress(NotationError):
                yield plain, [self._classifier(self._maker.layer(last, out, 1, 1), preceding_after(preceding, plain))]
        for following in self._choices(index + 1):
            if last - following < depth - 1:
                break
            with contextlib.suppress(NotationError):
                layer = self._maker.layer(index, shape, pooled, self._maker.pooling(index + 1, following, out))
                yield (
                    layer,
                    self._rest(following, layer.output_shape, max(1, depth - 1), preceding_after(preceding, layer)),
                )

    def _choices(self, start: int) -> Iterator[int]:
        """The layers from `start` on that may come next in an auxiliary network: one of several equal neighbours."""
        if start < len(self._spec.layers) - 1:
            yield start
        yield from self._unlike[bisect.bisect_right(self._unlike, start) :]

    def _classifier(self, layer: LayerSpec, preceding: Preceding) -> Head:
        costs = self._costs_of(layer, preceding)
        working = min(Link.of(cost, held=False).before(0) for cost in costs)
        return Head((layer,), costs[0].fixed, working, costs[0].left, self._update(costs[0]))

    def _longer(self, layer: LayerSpec, rest: Head, preceding: Preceding, *, first: bool) -> Head:
        costs = self._costs_of(layer, preceding)
        working = min(Link.of(cost, held=first, left=rest.left).before(rest.working) for cost in costs)
        update = max(self._update(costs[0]), rest.update)
        return Head((layer, *rest.layers), costs[0].fixed + rest.fixed, working, rest.left, update)

    def _update(self, cost: LayerCost) -> int:
        return cost.update if cost.update > self.network_update else 0

    @cached_property
    def network_update(self) -> int:
        """Peak of the update of one of the network's own weights."""
        return max(cost.update for cost in chain_costs(self._spec.layers, self._costs[0]))

    def _costs_of(self, layer: LayerSpec, preceding: Preceding) -> list[LayerCost]:
        return [cost_of(layer, True, preceding) for cost_of in self._costs]


def _front(heads: Iterable[Head]) -> list[Head]:
    ordered = sorted(heads, key=lambda head: (head.left, head.update, head.fixed, head.working))
    kept: list[Head] = []
    for _, group in itertools.groupby(ordered, key=lambda head: (head.left, head.update)):
        least = None
        for head in group:
            if least is None or head.working < least:
                kept.append(head)
                least = head.working
    return kept
