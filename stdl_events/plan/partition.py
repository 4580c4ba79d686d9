"""Search: the fewest blocks under a memory budget, each with the largest auxiliary network that still fits.

The cost of a block is the resident bytes of all blocks and auxiliary networks (`fixed`), plus the peak of the block's
own step or of a weight's update (`working`). A plan needs `sum of fixed + max of working`, which is monotone in both.
Of all alternatives in one place (auxiliary networks behind a layer, ways to run a block, ways to cut the rest of the
network), only the Pareto front of (working, fixed) can be part of a plan with the least memory. Fronts of longer parts
are combined from those of shorter ones. The search is therefore exact for this cost, over all partitions and all
auxiliary networks of `plan.auxiliary`, without enumeration. STDL's Algorithm 1, which cuts as late as possible, is
optimal only where layers' costs simply add up, and the cheapest auxiliary network for its own block need not be the
cheapest for all.

Among the plans that fit, the fewest blocks come first, then cutting as late as possible, then auxiliary networks in
block order: the deepest with which the others can still be completed, and of those the widest.
"""

import dataclasses
from collections.abc import Container, Iterable, Sequence
from functools import cached_property

from stdl_events.errors import PlanError
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.auxiliary import AuxiliaryMaker, depth_limit, notation_of
from stdl_events.plan.cost import (
    CostOf,
    chain_costs,
    chain_links,
    chain_places,
    fixed_bytes,
    preceding_of,
    working_bytes,
)
from stdl_events.plan.heads import Head, HeadSearch
from stdl_events.plan.needs import NOTHING, Bound, Need, joined, pareto, sums
from stdl_events.plan.own_layers import OwnLayers


@dataclasses.dataclass(frozen=True)
class Cut:
    """One block of a partition: layers [start, stop) and its auxiliary network, None for the last block."""

    start: int
    stop: int
    auxiliary: NetworkSpec | None


class Partitioner:
    """Cuts one network under budgets.

    Args:
        spec: the network; its last layer is the classifier.
        cost_of: measures one layer.
        kept_cost_of: measures a layer with its output kept instead of recomputed, if plans may choose that for each
            layer. Predictions are then for the choice with the least memory. `input`, `fixed` and `left` are those of
            `cost_of`.
        least_blocks: least number of blocks.
        other_bytes: further resident bytes of every plan.

    Raises:
        PlanError: the network has too few layers for so many blocks.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        cost_of: CostOf,
        *,
        kept_cost_of: CostOf | None = None,
        least_blocks: int = 1,
        other_bytes: int = 0,
    ) -> None:
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
        self._other_bytes = other_bytes
        self._maker = AuxiliaryMaker(spec)
        self._costs = (cost_of,) if kept_cost_of is None else (cost_of, kept_cost_of)
        self._heads = HeadSearch(self._maker, self._costs)
        self._own = OwnLayers(spec, self._costs)
        self._preceding = preceding_of(spec.layers)
        self._frontiers: dict[tuple[int, int, Bound | None], list[Need]] = {}
        self._blocks: dict[tuple[int, int, int], list[Need]] = {}

    @cached_property
    def network_fixed(self) -> int:
        """Resident bytes without auxiliary networks."""
        return self._other_bytes + fixed_bytes(chain_costs(self.spec.layers, self.cost_of))

    @property
    def smallest_budget(self) -> int:
        """The smallest budget for which there is a partition."""
        return self.network_fixed + min(need.total for need in self._whole(1))

    @property
    def largest_layer(self) -> str:
        """The layer whose own step has the highest peak, in the paper's notation."""
        return str(max(self.spec.layers, key=lambda layer: working_bytes([self.cost_of(layer, False, ())])))

    def partition(self, budget_bytes: int, depth: int = 1) -> list[Cut]:
        """The fewest blocks that fit, cut as late as possible, with auxiliary networks grown as far as they fit.

        Args:
            depth: least number of layers of each auxiliary network without its classifier, if there are that many.

        Raises:
            PlanError: nothing fits; the message names the smallest budget that does.
        """
        return self._with_heads(self._fewest(budget_bytes, depth), budget_bytes, depth)

    def deepest(self, budget_bytes: int) -> list[Cut]:
        """Among all partitions with the fewest blocks, one whose shallowest auxiliary network is deepest.

        Cutting as late as possible leaves little memory for auxiliary networks, and the weakest of them limits the
        coupling of the blocks. Depth grows as long as the number of blocks does not.

        Raises:
            PlanError: nothing fits; the message names the smallest budget that does.
        """
        best, reached = self._fewest(budget_bytes, 1), 1
        for depth in range(2, depth_limit(self.spec, 1) + 1):
            bound = Bound(budget_bytes, len(best))
            if len(best) == 1 or len(best) not in {need.blocks for need in self._fitting(budget_bytes, depth, bound)}:
                break
            best, reached = self._fewest(budget_bytes, depth, bound), depth
        return self._with_heads(best, budget_bytes, reached)

    def latest(self, budget_bytes: int) -> list[Cut] | None:
        """Return the result of `deepest` without its search, if two blocks with the latest cut fit; else None.

        Behind the latest cut there is one layer beside the classifier, so that no auxiliary network is deeper.
        """
        last = len(self.spec.layers)
        if self.least_blocks != 2:
            return None
        borders = [(0, last - 2), (last - 2, last)]
        first, second = (self._block(start, stop, 1) for start, stop in borders)
        if not self._fits(joined(first, second), budget_bytes):
            return None
        return self._with_heads(borders, budget_bytes, 1)

    def predict(self, cuts: Sequence[Cut], kept: Sequence[Container[int]] | None = None) -> list[int]:
        """The bytes of each block, by the additive model.

        Args:
            kept: for each block the layers whose outputs are kept; None for `least_kept`.
        """
        heads = [self._heads.of(cut.stop, cut.auxiliary.layers) for cut in cuts if cut.auxiliary is not None]
        fixed = self.network_fixed + sum(head.fixed for head in heads)
        chosen = [self.least_kept(cut) for cut in cuts] if kept is None else kept
        return [fixed + self._peak(cut, layers) for cut, layers in zip(cuts, chosen, strict=True)]

    def peak(self, cuts: Sequence[Cut], kept: Sequence[Container[int]] | None = None) -> int:
        """The bytes of the largest block, or of the weights' update where that needs more; arguments as `predict`."""
        heads = [self._heads.of(cut.stop, cut.auxiliary.layers) for cut in cuts if cut.auxiliary is not None]
        fixed = self.network_fixed + sum(head.fixed for head in heads)
        update = max([self._heads.network_update, *(head.update for head in heads)])
        return max(*self.predict(cuts, kept), fixed + update)

    def least_kept(self, cut: Cut) -> tuple[int, ...]:
        """The layers whose outputs are kept in a block's step of least memory, counted from the block's first layer."""
        layers, border, _ = self._chain(cut)
        links = [
            chain_links(chain_costs(layers, cost_of, self._preceding[cut.start]), border) for cost_of in self._costs
        ]
        rest, kept = 0, []
        for index in reversed(range(len(layers))):
            needs = [chain[index].before(rest) for chain in links]
            rest = min(needs)
            if needs[0] > rest:
                kept.append(index)
        return tuple(reversed(kept))

    def _peak(self, cut: Cut, kept: Container[int]) -> int:
        layers, border, received = self._chain(cut)
        places = chain_places(layers, self._preceding[cut.start])
        chosen = [self._costs[-1 if index in kept else 0](*place) for index, place in enumerate(places)]
        return working_bytes(chosen, border, received)

    def _chain(self, cut: Cut) -> tuple[tuple[LayerSpec, ...], int | None, int | None]:
        """A block's layers, the index of the first auxiliary one, and the bytes of the block's input."""
        own = self.spec.layers[cut.start : cut.stop]
        auxiliary = () if cut.auxiliary is None else cut.auxiliary.layers
        received = self._own.output(cut.start) if cut.start else None
        return (*own, *auxiliary), len(own) if auxiliary else None, received

    def _fewest(self, budget_bytes: int, depth: int, bound: Bound | None = None) -> list[tuple[int, int]]:
        """Start and stop of the fewest blocks, cut as late as possible; `bound` if there are known to be some in it."""
        feasible = self._fitting(budget_bytes, depth, bound)
        if not feasible:
            raise PlanError(
                "memory budget",
                got=f"{budget_bytes} bytes",
                expected=f"at least {self.smallest_budget} bytes, around the layer {self.largest_layer}",
                todo="allow more memory, use a smaller batch or smaller frames",
            )
        left = min(need.blocks for need in feasible)
        borders: list[tuple[int, int]] = []
        used, start = [NOTHING], 0
        while start < len(self.spec.layers):
            left -= 1
            behind = None if bound is None else Bound(budget_bytes, left)
            stop, used = self._furthest(start, used, left, budget_bytes, depth, behind)
            borders.append((start, stop))
            start = stop
        return borders

    def _furthest(
        self, start: int, used: list[Need], left: int, budget_bytes: int, depth: int, behind: Bound | None
    ) -> tuple[int, list[Need]]:
        """The furthest stop of a block at `start` that `left` further ones can complete within the budget.

        Args:
            used: the front of the needs of the blocks in front.
            behind: of the blocks behind it; None for no bound.
        """
        for stop in reversed(self._ends(start)):
            so_far = joined(used, self._block(start, stop, depth))
            rests = [rest for rest in self._frontier(stop, depth, behind) if rest.blocks == left]
            if self._fits(joined(so_far, rests), budget_bytes):
                return stop, so_far
        raise AssertionError("the frontier promised a partition that does not exist")

    def _with_heads(self, borders: Sequence[tuple[int, int]], budget_bytes: int, depth: int) -> list[Cut]:
        """These blocks with auxiliary networks, chosen in block order so that those behind can still be completed."""
        behind = [[NOTHING]]
        for start, stop in reversed(borders[1:]):
            behind.append(joined(self._block(start, stop, depth), behind[-1]))
        used, cuts = NOTHING, []
        for (start, stop), rests in zip(borders, reversed(behind), strict=True):
            if stop == len(self.spec.layers):
                cuts.append(Cut(start, stop, None))
                break
            around = [used.after(rest) for rest in rests]
            head = self._preferred(start, stop, around, budget_bytes, depth)
            used = used.after(self._need(start, stop, head))
            cuts.append(Cut(start, stop, self.spec.auxiliary(notation_of(head.layers), stop)))
        return cuts

    def _preferred(self, start: int, stop: int, around: list[Need], budget_bytes: int, depth: int) -> Head:
        """The deepest and then widest auxiliary network that fits beside one of `around` (STDL, section IV-C)."""

        def fits(head: Head) -> bool:
            return self._fits(joined(around, [self._need(start, stop, head)]), budget_bytes)

        limit = depth_limit(self.spec, stop)
        for layers in range(limit, min(depth, limit) - 1, -1):
            if any(map(fits, self._heads.front(stop, layers))):
                candidates = self._maker.candidates(stop, layers)
                return next(filter(fits, (self._heads.of(stop, candidate) for candidate in candidates)))
        raise AssertionError("the partition promised an auxiliary network that does not exist")

    def _fits(self, needs: Iterable[Need], budget_bytes: int) -> bool:
        return any(self.network_fixed + need.total <= budget_bytes for need in needs)

    def _fitting(self, budget_bytes: int, depth: int, bound: Bound | None = None) -> list[Need]:
        return [need for need in self._whole(depth, bound) if self._fits([need], budget_bytes)]

    def _whole(self, depth: int, bound: Bound | None = None) -> list[Need]:
        """The front of all ways to cut the network that have enough blocks."""
        return [need for need in self._frontier(0, depth, bound) if need.blocks >= self.least_blocks]

    def _frontier(self, start: int, depth: int, bound: Bound | None = None) -> list[Need]:
        """The front of all ways to cut layers from `start` on, or of those within `bound`."""
        if start == len(self.spec.layers):
            return [NOTHING]
        if bound is not None and bound.blocks == 0:
            return []
        key = (start, depth, bound)
        if key not in self._frontiers:
            needs: set[Need] = set()
            for stop in self._ends(start):
                rests = self._frontier(stop, depth, bound and Bound(bound.budget_bytes, bound.blocks - 1))
                if rests:
                    needs.update(sums(self._block(start, stop, depth), rests))
            if bound is not None:
                # What is too large for the budget is so with any blocks in front.
                needs = {need for need in needs if self._fits([need], bound.budget_bytes)}
            self._frontiers[key] = pareto(needs, self.least_blocks)
        return self._frontiers[key]

    def _ends(self, start: int) -> list[int]:
        """Where a block at `start` may end: before the last layer with weights and spikes, or with the network."""
        return [*range(start + 1, len(self.spec.layers) - 1), len(self.spec.layers)]

    def _block(self, start: int, stop: int, depth: int) -> list[Need]:
        """The front of one block with auxiliary networks of `depth` layers, or as many as there are, or more."""
        key = (start, stop, depth)
        if key not in self._blocks:
            last = stop == len(self.spec.layers)
            heads = [None] if last else self._heads.front(stop, min(depth, depth_limit(self.spec, stop)))
            self._blocks[key] = pareto({self._need(start, stop, head) for head in heads}, 1)
        return self._blocks[key]

    def _need(self, start: int, stop: int, head: Head | None) -> Need:
        update = max(self._heads.network_update, 0 if head is None else head.update)
        working = max(self._own.working(start, stop, head), update)
        return Need(1, working, 0 if head is None else head.fixed)
