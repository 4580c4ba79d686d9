"""The search against the enumeration of all plans, with random tables of costs."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tables import check, random_problem

from stdl_events.errors import PlanError
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.cost import LayerCost, Preceding, working_bytes
from stdl_events.plan.partition import Cut, Partitioner

seeds = st.integers(0, 10**9)


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_no_plan_of_a_random_table_needs_less_or_is_preferred(first):
    for seed in range(first, first + 250):
        check(seed, 4 + seed % 2, budgets=2, least_blocks=1 + seed % 3)


@settings(max_examples=10)
@given(seeds)
def test_nor_one_of_a_deeper_network(seed):
    check(seed, 6)


def test_the_auxiliary_network_that_needs_least_by_itself_need_not_be_that_of_the_smallest_plan():
    """An isolated choice of auxiliary networks would refuse budgets that another choice meets."""
    refused = 0
    for seed in range(200):
        brute = random_problem(seed, 5)
        peaks = {cuts: peak for cuts, peak in brute.plans.items() if len(cuts) > 1}
        isolated = {stop: min(heads, key=lambda head: brute.alone(head[0]))[0] for stop, heads in brute.heads.items()}
        reserved = [cuts for cuts in peaks if all(cut.auxiliary == isolated[cut.stop] for cut in cuts[:-1])]
        refused += bool(peaks) and min(peaks.values()) < min(peaks[cuts] for cuts in reserved)
    assert refused > 10


@settings(max_examples=25)
@given(seeds)
def test_more_memory_never_needs_more_blocks(seed):
    brute = random_problem(seed, 5)
    partitioner = brute.partitioner()
    budgets = sorted(set(brute.plans.values()))
    budgets = budgets[:: max(1, len(budgets) // 5)]
    counts = [len(partitioner.partition(budget)) for budget in budgets]
    assert counts == sorted(counts, reverse=True)
    whole = brute.plans[(Cut(0, len(brute.spec.layers), None),)]
    assert len(partitioner.partition(whole)) == 1


@settings(max_examples=25)
@given(seeds)
def test_too_little_memory_names_the_smallest_that_works(seed):
    partitioner = random_problem(seed, 5).partitioner()
    least = partitioner.smallest_budget
    with pytest.raises(PlanError) as caught:
        partitioner.partition(least - 1)
    assert str(caught.value) == (
        f"memory budget: got {least - 1} bytes; expected at least {least} bytes, around the layer "
        f"{partitioner.largest_layer}; allow more memory, use a smaller batch or smaller frames"
    )
    assert partitioner.peak(partitioner.partition(least)) == least


def test_a_blocks_peak_may_be_anywhere_in_its_step():
    small = LayerCost(input=10, forward=5, saved=5, backward=5, fixed=0, output=10)

    def chain(**change: int) -> list[LayerCost]:
        return [small, dataclasses.replace(small, **change), small]

    assert working_bytes([small, small, small]) == 10 + 3 * 5 + 5
    assert working_bytes(chain(forward=100)) == 10 + 5 + 100
    assert working_bytes(chain(backward=100)) == 10 + 2 * 5 + 100
    assert working_bytes([dataclasses.replace(small, backward=100), small, small]) == 10 + 5 + 100
    # The block's output is alive while the layers in front of the border run backward.
    assert working_bytes([dataclasses.replace(small, backward=100), small, small], border=1) == 10 + 5 + 100 + 10
    assert working_bytes([small, small, dataclasses.replace(small, backward=100)], border=1) == 10 + 3 * 5 + 100


def test_what_a_classifier_leaves_counts_until_the_first_layer_has_run_backward():
    layer = LayerCost(input=10, forward=5, saved=5, backward=5, fixed=0)
    classifier = dataclasses.replace(layer, left=3)
    assert working_bytes([dataclasses.replace(layer, backward=50), classifier]) == 10 + 5 + 50 + 3
    assert working_bytes([layer, dataclasses.replace(classifier, backward=50)]) == 10 + 5 + 5 + 50


def test_an_output_that_a_layer_holds_itself_counts_once():
    layer = LayerCost(input=10, forward=5, saved=5, backward=50, fixed=0, output=8, shared=6)
    rest = dataclasses.replace(layer, forward=1, saved=1, backward=1)
    assert working_bytes([layer, rest], border=1) == 10 + 5 + 50 + 8 - 6
    assert working_bytes([layer, rest, rest], border=2) == 10 + 5 + 50 + 8
    assert working_bytes([layer, rest], border=1, received=20) == 20 + 5 + 50 + 8 - 6


def test_what_backward_would_free_of_a_held_input_counts_for_the_first_layer_of_an_auxiliary_network():
    small = LayerCost(input=10, forward=5, saved=5, backward=5, fixed=0)
    layer = dataclasses.replace(small, backward=50)
    late = dataclasses.replace(layer, reused=7)
    assert working_bytes([small, late, small], border=1) == working_bytes([small, layer, small], border=1) + 7
    assert working_bytes([small, late, small]) == working_bytes([small, layer, small])


def test_a_search_among_many_equal_layers_asks_for_few_costs():
    """It grows like the pairs of borders at most, not like their number for every depth of auxiliary networks."""
    asked = 0

    def cost_of(layer: LayerSpec, needs_input_gradient: bool, preceding: Preceding) -> LayerCost:
        nonlocal asked
        asked += 1
        return LayerCost(input=100, forward=100, saved=80, backward=60, fixed=10, output=20)

    layers = 40
    spec = NetworkSpec.parse("-".join([*["4C3"] * layers, "5FC"]), input_shape=(4, 8, 8))
    cuts = Partitioner(spec, cost_of, least_blocks=2).deepest(round(0.7 * 90 * (layers + 1)))
    assert [(cut.start, cut.stop) for cut in cuts] == [(0, 16), (16, 41)]
    assert cuts[0].auxiliary is not None
    assert len(cuts[0].auxiliary.layers) == 8
    assert asked < layers**2
