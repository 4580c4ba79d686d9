"""The search against brute force over all partitions, with random costs."""

import dataclasses
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import PlanError
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.auxiliary import auxiliary_candidates
from stdl_events.plan.cost import LayerCost, working_bytes
from stdl_events.plan.partition import Cut, Partitioner

SHAPE = (2, 128, 128)
BODIES = ["4C3", "5C3", "6C3-AP2", "4R", "7R(s2)", "9R"]


@dataclasses.dataclass(frozen=True)
class RandomCosts:
    """Any table of costs: random numbers that depend on the layer and on nothing else."""

    seed: int
    spread: int

    def __call__(self, layer: LayerSpec, needs_input_gradient: bool) -> LayerCost:
        always = random.Random(f"{self.seed} {layer} {layer.input_shape}")
        scale = 1000 * (1 + always.randrange(self.spread))
        fixed = always.randrange(scale)
        rng = random.Random(f"{self.seed} {layer} {layer.input_shape} {needs_input_gradient}")
        saved = rng.randrange(scale)
        return LayerCost(
            input=random.Random(f"{self.seed} {layer.input_shape}").randrange(300),
            forward=saved + rng.randrange(scale),
            saved=saved,
            backward=rng.randrange(scale),
            fixed=fixed,
        )


@dataclasses.dataclass(frozen=True)
class Brute:
    """DESIGN, section 5, by enumeration: every cut, every block's cost, reserved auxiliary networks in all of them."""

    spec: NetworkSpec
    cost_of: RandomCosts

    def fixed(self, layers: tuple[LayerSpec, ...]) -> int:
        return sum(self.cost_of(layer, True).fixed for layer in layers)

    def working(self, layers: tuple[LayerSpec, ...], own: int) -> int:
        """Bytes over one step of a chain whose first `own` layers are the block's, moment by moment."""
        costs = [self.cost_of(layer, index > 0) for index, layer in enumerate(layers)]
        base = costs[0].input
        handed_on = costs[own].input if own < len(layers) else 0
        moments = [base]
        for index, cost in enumerate(costs):
            before = base + sum(earlier.saved for earlier in costs[:index])
            moments.append(before + cost.forward)
            moments.append(before + cost.saved + cost.backward + (handed_on if index < own else 0))
        return max(moments)

    def reserved(self, stop: int) -> NetworkSpec:
        def own_bytes(auxiliary: NetworkSpec) -> int:
            costs = [self.cost_of(layer, True) for layer in auxiliary.layers]
            return sum(cost.fixed for cost in costs) + working_bytes(costs)

        return min(auxiliary_candidates(self.spec, stop, depth=1), key=own_bytes)

    def peak(self, cuts: list[Cut]) -> list[int]:
        network = sum(self.cost_of(layer, False).fixed for layer in self.spec.layers)
        heads = sum(self.fixed(cut.auxiliary.layers) for cut in cuts if cut.auxiliary)
        return [
            network
            + heads
            + self.working(
                self.spec.layers[cut.start : cut.stop] + (cut.auxiliary.layers if cut.auxiliary else ()),
                cut.stop - cut.start,
            )
            for cut in cuts
        ]

    def partitions(self) -> list[list[Cut]]:
        """All of them, with reserved auxiliary networks, for which at least one spiking layer must be left."""
        layers = len(self.spec.layers)
        found = []
        for count in range(layers):
            for ends in itertools.combinations(range(1, layers - 1), count):
                borders = [0, *ends, layers]
                found.append(
                    [
                        Cut(start, stop, None if stop == layers else self.reserved(stop))
                        for start, stop in itertools.pairwise(borders)
                    ]
                )
        return found


networks = st.lists(st.sampled_from(BODIES), min_size=1, max_size=7).map(lambda bodies: "-".join([*bodies, "3FC"]))


def make(notation: str, seed: int, spread: int) -> tuple[Partitioner, Brute]:
    spec = NetworkSpec.parse(notation, input_shape=SHAPE)
    costs = RandomCosts(seed, spread)
    return Partitioner(spec, costs), Brute(spec, costs)


@settings(max_examples=40, deadline=None)
@given(networks, st.integers(0, 10**6), st.sampled_from([1, 3, 20]), st.floats(0, 1))
def test_fewest_blocks_cut_as_late_as_possible(notation, seed, spread, place):
    partitioner, brute = make(notation, seed, spread)
    peaks = {tuple(cut.stop for cut in cuts): max(brute.peak(cuts)) for cuts in brute.partitions()}
    budgets = sorted(set(peaks.values()))
    assert partitioner.smallest_budget == budgets[0]
    budget = budgets[round(place * (len(budgets) - 1))]
    feasible = [ends for ends, peak in peaks.items() if peak <= budget]
    fewest = min(map(len, feasible))
    latest = max(ends for ends in feasible if len(ends) == fewest)
    cuts = partitioner.partition(budget)
    assert tuple(cut.stop for cut in cuts) == latest
    assert [cut.start for cut in cuts] == [0, *latest[:-1]]
    assert max(brute.peak(cuts)) <= budget
    assert partitioner.predict(cuts) == brute.peak(cuts)


@settings(max_examples=30, deadline=None)
@given(networks, st.integers(0, 10**6), st.sampled_from([1, 20]), st.floats(0, 1))
def test_auxiliaries_grow_in_order_as_deep_and_then_as_wide_as_fits(notation, seed, spread, place):
    partitioner, brute = make(notation, seed, spread)
    peaks = sorted({max(brute.peak(cuts)) for cuts in brute.partitions()})
    budget = round(peaks[0] + place * (peaks[-1] - peaks[0]))
    cuts = partitioner.partition(budget)
    expected = [dataclasses.replace(cut, auxiliary=brute.reserved(cut.stop)) for cut in cuts[:-1]] + [cuts[-1]]
    for index, cut in enumerate(cuts[:-1]):
        options = []
        for depth in range(1, len(brute.spec.layers) - cut.stop):
            for rank, auxiliary in enumerate(auxiliary_candidates(brute.spec, cut.stop, depth=depth)):
                grown = [*expected[:index], dataclasses.replace(cut, auxiliary=auxiliary), *expected[index + 1 :]]
                if max(brute.peak(grown)) <= budget:
                    options.append((-depth, rank, auxiliary))
        best = min(options, key=lambda option: option[:2])[2]
        assert cut.auxiliary == best
        expected[index] = dataclasses.replace(cut, auxiliary=best)
    assert cuts == expected


@settings(max_examples=25, deadline=None)
@given(networks, st.integers(0, 10**6), st.sampled_from([1, 20]))
def test_more_memory_never_needs_more_blocks(notation, seed, spread):
    partitioner, brute = make(notation, seed, spread)
    budgets = sorted({max(brute.peak(cuts)) for cuts in brute.partitions()})
    budgets = budgets[:: max(1, len(budgets) // 5)]
    counts = [len(partitioner.partition(budget)) for budget in budgets]
    assert counts == sorted(counts, reverse=True)
    whole = brute.peak([Cut(0, len(brute.spec.layers), None)])[0]
    assert len(partitioner.partition(whole)) == 1


@settings(max_examples=25, deadline=None)
@given(networks, st.integers(0, 10**6), st.sampled_from([1, 20]))
def test_too_little_memory_names_the_smallest_that_works(notation, seed, spread):
    partitioner, _ = make(notation, seed, spread)
    least = partitioner.smallest_budget
    with pytest.raises(PlanError) as caught:
        partitioner.partition(least - 1)
    assert str(caught.value) == (
        f"memory budget: got {least - 1} bytes; expected at least {least} bytes, around the layer "
        f"{partitioner.largest_layer}; allow more memory, use a smaller batch or smaller frames"
    )
    assert max(partitioner.predict(partitioner.partition(least))) <= least


def test_a_blocks_peak_may_be_anywhere_in_its_step():
    small = LayerCost(input=10, forward=5, saved=5, backward=5, fixed=0)

    def chain(**change: int) -> list[LayerCost]:
        return [small, dataclasses.replace(small, **change), small]

    assert working_bytes([small, small, small]) == 10 + 3 * 5 + 5
    assert working_bytes(chain(forward=100)) == 10 + 5 + 100
    assert working_bytes(chain(backward=100)) == 10 + 2 * 5 + 100
    assert working_bytes([dataclasses.replace(small, backward=100), small, small]) == 10 + 5 + 100
    # What goes on to the next block stays while the layers in front of the border run backward.
    assert working_bytes([dataclasses.replace(small, backward=100), small, small], border=1) == 10 + 5 + 100 + 10
    assert working_bytes([small, small, dataclasses.replace(small, backward=100)], border=1) == 10 + 3 * 5 + 100
