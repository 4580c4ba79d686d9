"""Search: the fewest blocks under a memory budget, each with the largest auxiliary network that still fits.

A block's cost is what all blocks and auxiliary networks keep for the whole training, plus the peak of the block's own
step. Every block first gets the cheapest auxiliary network of some depth reserved, which counts in everybody's cost.
The search is exact for this cost: the fewest blocks, cut as late as possible from the front (STDL, Algorithm 1, which
is optimal only where layers' costs simply add up). Then the auxiliary networks grow in block order.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from stdl_events.errors import PlanError
from stdl_events.network.notation import LayerSpec
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.auxiliary import AuxiliaryMaker, depth_limit, notation_of
from stdl_events.plan.cost import CostOf, LayerCost, chain_costs, fixed_bytes, kept_bytes, working_bytes


@dataclasses.dataclass(frozen=True)
class Cut:
    """One block of a partition: layers [start, stop) and its auxiliary network, None for the last block."""

    start: int
    stop: int
    auxiliary: NetworkSpec | None


@dataclasses.dataclass(frozen=True)
class _Head:
    """An auxiliary network's layers and bytes.

    Args:
        working: the most that its part of a step needs beyond what the block's own layers keep for theirs.
    """

    layers: tuple[LayerSpec, ...]
    fixed: int
    working: int


@dataclasses.dataclass(frozen=True)
class _Block:
    """Layers [start, stop) and their auxiliary network, None for the last block."""

    start: int
    stop: int
    head: _Head | None


@dataclasses.dataclass(frozen=True)
class _Need:
    """What a sequence of blocks needs: how many they are, the largest working peak, and what their auxiliaries keep."""

    blocks: int
    working: int
    auxiliary_fixed: int

    def after(self, other: "_Need") -> "_Need":
        return _Need(
            self.blocks + other.blocks,
            max(self.working, other.working),
            self.auxiliary_fixed + other.auxiliary_fixed,
        )


_NOTHING = _Need(0, 0, 0)


class Partitioner:
    """Cuts one network under budgets.

    Args:
        spec: the network; its last layer is the classifier.
        cost_of: measures one layer.
        least_blocks: how many blocks there are at least.

    Raises:
        PlanError: the network has too few layers for so many blocks.
    """

    def __init__(self, spec: NetworkSpec, cost_of: CostOf, *, least_blocks: int = 1) -> None:
        most = max(1, len(spec.layers) - 1)
        if not 1 <= least_blocks <= most:
            raise PlanError(
                "number of blocks",
                got=f"at least {least_blocks} for {spec.notation}",
                expected=f"1 to {most}, one for each layer but the classifier",
                todo="ask for fewer blocks",
            )
        self.least_blocks = least_blocks
        self.spec = spec
        self.cost_of = cost_of
        self._maker = AuxiliaryMaker(spec)
        self._heads_of: dict[tuple[int, int], list[_Head]] = {}
        self._own_of: dict[tuple[int, int], tuple[int, int]] = {}
        self._frontiers: dict[tuple[int, int], list[_Need]] = {}

    @cached_property
    def network_fixed(self) -> int:
        """What the network itself keeps, auxiliary networks apart."""
        return fixed_bytes(chain_costs(self.spec.layers, self.cost_of))

    @property
    def smallest_budget(self) -> int:
        """The smallest budget for which there is a partition."""
        return min(self._total(need) for need in self._whole(1))

    @property
    def largest_layer(self) -> str:
        """The layer whose own step needs most, in the paper's notation."""
        return str(max(self.spec.layers, key=lambda layer: working_bytes([self.cost_of(layer, False)])))

    def partition(self, budget_bytes: int, depth: int = 1) -> list[Cut]:
        """The fewest blocks that fit, cut as late as possible, with auxiliary networks grown as far as they fit.

        Args:
            depth: how many layers each auxiliary network has at least, classifier apart, where there are that many.

        Raises:
            PlanError: nothing fits; the message names the smallest budget that does.
        """
        return self._finished(self._fewest(budget_bytes, depth), budget_bytes)

    def deepest(self, budget_bytes: int) -> list[Cut]:
        """Of all partitions with the fewest blocks, one whose shallowest auxiliary network is deepest.

        Cutting as late as possible leaves little memory for auxiliary networks, and the weakest of them limits how well
        blocks work together. Depth grows as long as no block more is needed.

        Raises:
            PlanError: nothing fits; the message names the smallest budget that does.
        """
        best = self._fewest(budget_bytes, 1)
        for depth in range(2, depth_limit(self.spec, 1) + 1):
            needs = [need for need in self._whole(depth) if self._total(need) <= budget_bytes]
            if len(best) == 1 or not any(need.blocks == len(best) for need in needs):
                break
            best = self._fewest(budget_bytes, depth)
        return self._finished(best, budget_bytes)

    def predict(self, cuts: Sequence[Cut]) -> list[int]:
        """The bytes of each block, by the additive model."""
        blocks = [
            _Block(cut.start, cut.stop, None if cut.auxiliary is None else self._head(cut.auxiliary.layers))
            for cut in cuts
        ]
        fixed = self._fixed(blocks)
        return [fixed + self._working(block) for block in blocks]

    def _fewest(self, budget_bytes: int, depth: int) -> list[_Block]:
        feasible = [need for need in self._whole(depth) if self._total(need) <= budget_bytes]
        if not feasible:
            raise PlanError(
                "memory budget",
                got=f"{budget_bytes} bytes",
                expected=f"at least {self.smallest_budget} bytes, around the layer {self.largest_layer}",
                todo="allow more memory, use a smaller batch or smaller frames",
            )
        left = min(need.blocks for need in feasible)
        blocks: list[_Block] = []
        used, start = _NOTHING, 0
        while start < len(self.spec.layers):
            block, used = self._furthest(start, used, left, budget_bytes, depth)
            blocks.append(block)
            start, left = block.stop, left - 1
        return blocks

    def _furthest(self, start: int, used: _Need, left: int, budget_bytes: int, depth: int) -> tuple[_Block, _Need]:
        """The furthest-reaching block at `start` that `left - 1` further ones can complete within the budget."""
        for stop in reversed(self._ends(start)):
            block = self._reserved(start, stop, depth)
            so_far = used.after(self._need(block))
            rests = self._frontier(stop, depth)
            if any(rest.blocks == left - 1 and self._total(so_far.after(rest)) <= budget_bytes for rest in rests):
                return block, so_far
        raise AssertionError("the frontier promised a partition that does not exist")

    def _finished(self, blocks: list[_Block], budget_bytes: int) -> list[Cut]:
        """The same cuts with auxiliary networks grown in block order."""
        for index in range(len(blocks) - 1):
            blocks[index] = dataclasses.replace(blocks[index], head=self._grown(blocks, index, budget_bytes))
        return [Cut(block.start, block.stop, self._network(block)) for block in blocks]

    def _network(self, block: _Block) -> NetworkSpec | None:
        return None if block.head is None else self.spec.auxiliary(notation_of(block.head.layers), block.stop)

    def _grown(self, blocks: Sequence[_Block], index: int, budget_bytes: int) -> _Head | None:
        block, others = blocks[index], [*blocks[:index], *blocks[index + 1 :]]
        fixed, working = self._fixed(others), max(map(self._working, others))
        for head in self._by_preference(block.stop):
            own = self._working(dataclasses.replace(block, head=head))
            if fixed + head.fixed + max(working, own) <= budget_bytes:
                return head
        return block.head

    def _by_preference(self, stop: int) -> Iterator[_Head]:
        """Most layers first; among those the widest (STDL, section IV-C)."""
        for depth in range(depth_limit(self.spec, stop), 0, -1):
            yield from self._heads(stop, depth)

    def _whole(self, depth: int) -> list[_Need]:
        """The needs of all ways to cut the network that have enough blocks."""
        return [need for need in self._frontier(0, depth) if need.blocks >= self.least_blocks]

    def _frontier(self, start: int, depth: int) -> list[_Need]:
        """The needs of all ways to cut layers from `start` on, without those that others cover."""
        if start == len(self.spec.layers):
            return [_NOTHING]
        if (start, depth) not in self._frontiers:
            needs: list[_Need] = []
            for stop in self._ends(start):
                need = self._need(self._reserved(start, stop, depth))
                needs.extend(need.after(rest) for rest in self._frontier(stop, depth))
            self._frontiers[start, depth] = _pareto(needs)
        return self._frontiers[start, depth]

    def _ends(self, start: int) -> list[int]:
        """Where a block at `start` may end: before the last layer with weights and spikes, or with the network."""
        return [*range(start + 1, len(self.spec.layers) - 1), len(self.spec.layers)]

    def _need(self, block: _Block) -> _Need:
        return _Need(1, self._working(block), block.head.fixed if block.head else 0)

    def _reserved(self, start: int, stop: int, depth: int) -> _Block:
        """The block with the auxiliary network of `depth` layers, or as many as there are, that needs the least."""
        if stop == len(self.spec.layers):
            return _Block(start, stop, None)
        heads = self._heads(stop, min(depth, depth_limit(self.spec, stop)))
        return _Block(start, stop, min(heads, key=lambda head: head.fixed + head.working))

    def _heads(self, stop: int, depth: int) -> list[_Head]:
        if (stop, depth) not in self._heads_of:
            self._heads_of[stop, depth] = [self._head(layers) for layers in self._maker.candidates(stop, depth)]
        return self._heads_of[stop, depth]

    def _head(self, layers: tuple[LayerSpec, ...]) -> _Head:
        costs = [self.cost_of(layer, True) for layer in layers]
        return _Head(layers, fixed_bytes(costs), working_bytes(costs) - costs[0].input)

    def _working(self, block: _Block) -> int:
        """The peak of the block's own step: in its own layers, or in its auxiliary network's."""
        if (block.start, block.stop) not in self._own_of:
            self._own_of[block.start, block.stop] = self._own(block)
        peak, kept = self._own_of[block.start, block.stop]
        return peak if block.head is None else max(peak, kept + block.head.working)

    def _own(self, block: _Block) -> tuple[int, int]:
        """The peak within the block's own layers, and what they keep while the auxiliary network runs."""
        costs = chain_costs(self.spec.layers[block.start : block.stop], self.cost_of)
        kept = kept_bytes(costs)
        if block.head is None:
            return working_bytes(costs), kept
        waiting = self.cost_of(block.head.layers[0], True).input
        border = LayerCost(input=waiting, forward=0, saved=0, backward=0, fixed=0)
        return working_bytes([*costs, border], border=len(costs)), kept

    def _fixed(self, blocks: Sequence[_Block]) -> int:
        return self.network_fixed + sum(block.head.fixed for block in blocks if block.head is not None)

    def _total(self, need: _Need) -> int:
        return self.network_fixed + need.auxiliary_fixed + need.working


def _pareto(needs: Iterable[_Need]) -> list[_Need]:
    """Those that no other with as many blocks covers, by being nowhere worse."""
    kept: list[_Need] = []
    for need in sorted(set(needs), key=lambda need: (need.blocks, need.working, need.auxiliary_fixed)):
        last = kept[-1] if kept else None
        if last is None or last.blocks < need.blocks or need.auxiliary_fixed < last.auxiliary_fixed:
            kept.append(need)
    return kept
