"""Random tables of costs, and the peaks of plans by enumeration: every cut, every auxiliary network, every time.

It shares only the notation of auxiliary networks with the search.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterator
from functools import cached_property

from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.auxiliary import auxiliary_candidates
from stdl_events.plan.cost import LayerCost
from stdl_events.plan.partition import Cut, Partitioner

SHAPE = (2, 128, 128)
BODIES = ["4C3", "5C3", "6C3-AP2", "4R", "7R(s2)", "9R"]


@dataclasses.dataclass(frozen=True)
class RandomCosts:
    """A random table of costs: numbers that depend on the layer alone.

    Args:
        kept: True for the costs with outputs kept, with other `forward`, `saved` and `backward`.
    """

    seed: int
    spread: int
    kept: bool = False
    known: dict[object, LayerCost] = dataclasses.field(default_factory=dict, hash=False, compare=False)

    def __call__(self, layer: LayerSpec, needs_input_gradient: bool, preceding: tuple[LayerSpec, ...]) -> LayerCost:
        key = (layer, needs_input_gradient, preceding)
        if key not in self.known:
            self.known[key] = self._drawn(layer, needs_input_gradient, preceding)
        return self.known[key]

    def _drawn(self, layer: LayerSpec, needs_input_gradient: bool, preceding: tuple[LayerSpec, ...]) -> LayerCost:
        always = random.Random(f"{self.seed} {layer} {layer.input_shape}")
        scale = 1000 * (1 + always.randrange(self.spread))
        # Cutting rarely pays where weights need as many bytes as a step.
        fixed = always.randrange(scale) // (1, 10, 50)[self.seed % 3]
        output, left = always.randrange(300), always.randrange(2) * 200
        rng = random.Random(
            f"{self.seed} {layer} {layer.input_shape} {needs_input_gradient} {self.kept} {preceding[-1:]}"
        )
        saved = rng.randrange(scale)
        return LayerCost(
            input=always.randrange(300),
            forward=saved + rng.randrange(scale),
            saved=saved,
            backward=rng.randrange(scale),
            fixed=fixed,
            released=rng.randrange(saved + 1),
            left=left if layer.classifier else 0,
            output=output,
            shared=rng.randrange(output + 1),
            update=scale * always.choice((0, 0, 1, 3)),
            reused=rng.randrange(300),
        )


def random_problem(seed: int, layers: int) -> "Brute":
    """A network of at most `layers` layers and its costs."""
    rng = random.Random(seed)
    bodies = [rng.choice(BODIES) for _ in range(rng.randint(1, layers - 1))]
    costs = [RandomCosts(seed, rng.choice([1, 3, 20]))]
    if rng.random() < 0.3:
        costs.append(dataclasses.replace(costs[0], kept=True, known={}))
    return Brute("-".join([*bodies, "3FC"]), tuple(costs))


@dataclasses.dataclass(frozen=True)
class Brute:
    """All plans of a network with their peaks."""

    notation: str
    costs: tuple[RandomCosts, ...]

    @cached_property
    def spec(self) -> NetworkSpec:
        return NetworkSpec.parse(self.notation, input_shape=SHAPE)

    def partitioner(self, least_blocks: int = 1) -> Partitioner:
        kept = self.costs[1] if len(self.costs) > 1 else None
        return Partitioner(self.spec, self.costs[0], kept_cost_of=kept, least_blocks=least_blocks, other_bytes=77)

    @cached_property
    def heads(self) -> dict[int, list[tuple[NetworkSpec, int, int]]]:
        """All auxiliary networks by stop, with their depth and their rank among those of that depth."""
        last = len(self.spec.layers) - 1
        return {
            stop: [
                (head, depth, rank)
                for depth in range(1, last - stop + 1)
                for rank, head in enumerate(auxiliary_candidates(self.spec, stop, depth=depth))
            ]
            for stop in range(1, last)
        }

    def working(self, start: int, own: tuple[LayerSpec, ...], auxiliary: tuple[LayerSpec, ...]) -> int:
        """The lowest peak of a block's step, over all ways to run its layers."""
        chain, lead = (*own, *auxiliary), self.spec.layers[max(0, start - 1) : start]
        options = [
            [table(layer, index > 0, (*lead, *chain[:index])[-1:]) for table in self.costs]
            for index, layer in enumerate(chain)
        ]
        received = options[0][0].input
        if start:
            received = self.costs[0](lead[0], start > 1, self.spec.layers[max(0, start - 2) : start - 1]).output
        border = len(own) if auxiliary else None
        return min(received + _moments(chosen, border) for chosen in itertools.product(*options))

    def alone(self, auxiliary: NetworkSpec) -> int:
        """Resident bytes and peak of an auxiliary network by itself."""
        costs = [self.costs[0](layer, True, ()) for layer in auxiliary.layers]
        return sum(cost.fixed for cost in costs) + _moments(tuple(costs), None)

    @cached_property
    def plans(self) -> dict[tuple[Cut, ...], int]:
        """Every plan, and the peak of its largest block."""
        network = 77 + sum(self.costs[0](layer, True, ()).fixed for layer in self.spec.layers)
        working: dict[Cut, int] = {}
        found = {}
        for cuts in self._all():
            fixed, update = network, max(self.costs[0](layer, True, ()).update for layer in self.spec.layers)
            for cut in cuts:
                auxiliary = cut.auxiliary.layers if cut.auxiliary else ()
                fixed += sum(self.costs[0](layer, True, ()).fixed for layer in auxiliary)
                update = max(update, *(self.costs[0](layer, True, ()).update for layer in auxiliary), 0)
                if cut not in working:
                    working[cut] = self.working(cut.start, self.spec.layers[cut.start : cut.stop], auxiliary)
            found[cuts] = fixed + max(update, *(working[cut] for cut in cuts))
        return found

    def _all(self) -> Iterator[tuple[Cut, ...]]:
        layers = len(self.spec.layers)
        for count in range(max(1, layers - 1)):
            for ends in itertools.combinations(range(1, layers - 1), count):
                borders = [0, *ends, layers]
                choices = [[head for head, _, _ in self.heads[stop]] for stop in ends]
                for heads in itertools.product(*choices):
                    yield tuple(map(Cut, borders[:-1], borders[1:], (*heads, None)))

    def preference(self, cuts: tuple[Cut, ...], depth: int | None) -> tuple[object, ...]:
        """Sort key of plans: smaller is preferred.

        Args:
            depth: upper limit of the compared depths; None for `Partitioner.deepest`.
        """
        last = len(self.spec.layers) - 1
        places = [
            next((-deep, rank) for head, deep, rank in self.heads[cut.stop] if head == cut.auxiliary)
            for cut in cuts[:-1]
        ]
        reached = [
            last - 1 if -deep == last - cut.stop else -deep for cut, (deep, _) in zip(cuts, places, strict=False)
        ]
        shallowest = min(reached, default=0) if depth is None else 0
        return len(cuts), -shallowest, [-cut.stop for cut in cuts], places


def _moments(costs: tuple[LayerCost, ...], border: int | None) -> int:
    """Peak of a forward and a backward pass through a chain, without its input."""
    alive, most, befores = 0, 0, []
    for index, cost in enumerate(costs):
        befores.append(alive)
        most = max(most, alive + cost.forward)
        alive += cost.saved
        if index not in (0, border):
            alive -= cost.released
    for index, cost in enumerate(costs):
        moment = befores[index] + cost.saved + cost.backward
        if index in (0, border):
            moment += cost.released + cost.reused
        if index < len(costs) - 1:
            moment += costs[-1].left
        if border is not None and index < border:
            moment += costs[border - 1].output
        if border is not None and index == border - 1:
            moment -= cost.shared
        most = max(most, moment)
    return most


def check(seed: int, layers: int = 5, *, budgets: int = 3, least_blocks: int = 1) -> None:
    """The smallest budget and, under some budgets, the preferred plan are those of the enumeration."""
    brute = random_problem(seed, layers)
    least_blocks = min(least_blocks, max(1, len(brute.spec.layers) - 1))
    partitioner = brute.partitioner(least_blocks)
    peaks = {cuts: peak for cuts, peak in brute.plans.items() if len(cuts) >= least_blocks}
    values = sorted(set(peaks.values()))
    assert partitioner.smallest_budget == values[0], f"table {seed}: {partitioner.smallest_budget}, not {values[0]}"
    for place in range(budgets):
        budget = values[place * (len(values) - 1) // max(1, budgets - 1)]
        fitting = [cuts for cuts, peak in peaks.items() if peak <= budget]
        for found, depth in ((partitioner.partition(budget), 1), (partitioner.deepest(budget), None)):
            wanted = min(fitting, key=lambda cuts, depth=depth: brute.preference(cuts, depth))
            assert tuple(found) == wanted, f"table {seed} under {budget}: {found}, not {wanted}"
            assert partitioner.peak(found) == peaks[wanted]
