"""The largest batch that fits: found for any cost function, in few steps, and correct on metered networks."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.largest_batch import fit_batch, fit_rows, largest_batch
from stdl_events.network.spec import NetworkSpec


@settings(max_examples=60)
@given(
    fixed=st.integers(0, 10**9),
    each=st.integers(1, 10**8),
    ripple=st.integers(0, 3),
    limit=st.integers(1, 10**11),
    start=st.integers(1, 3000),
    guess=st.integers(0, 2 * 10**9),
)
def test_the_border_is_found_in_few_steps_whatever_it_costs(fixed, each, ripple, limit, start, guess):
    def peak_of(batch: int) -> int:
        return fixed + each * batch + ripple * each * (batch // 16)

    found = largest_batch(peak_of, limit, start=start, fixed_bytes=guess)
    assert found.peaks == {batch: peak_of(batch) for batch in found.peaks}
    assert peak_of(found.too_large) > limit
    assert found.largest == 0 or peak_of(found.largest) <= limit
    assert 0 < found.too_large - found.largest <= max(1, found.largest // 100)
    assert len(found.peaks) <= 8 + 12


def test_a_step_that_costs_so_much_for_each_sequence_takes_four_batches():
    found = largest_batch(lambda batch: 1000 + 37 * batch, 2111, start=10, fixed_bytes=900)
    assert (found.largest, found.too_large) == (30, 31)
    assert len(found.peaks) <= 4
    assert str(found) == "2.11 kB; 31 would need 2.15 kB"
    assert found.to_dict() == {
        "batch": 30,
        "peak_bytes": 2110,
        "too_large_batch": 31,
        "too_large_peak_bytes": 2147,
        "metered_batches": sorted(found.peaks),
    }


def test_where_one_sequence_is_too_much_nothing_fits():
    found = largest_batch(lambda batch: 1000 * batch, 999, start=64, fixed_bytes=10)
    assert found.largest == 0
    assert found.too_large == 1
    assert found.to_dict()["peak_bytes"] is None
    assert str(found) == "1 would need 1.00 kB"


def make_blueprint(rule: str, memory: str) -> Blueprint:
    spec = NetworkSpec.parse("8C3-16C3-AP2-16C3-10FC", input_shape=(2, 16, 16))
    return Blueprint.of(spec, rule, batch_size=4, steps=3, memory=memory)


@pytest.mark.parametrize(("rule", "memory"), [("bptt", "plain"), ("sltt", "lean")])
def test_the_largest_batch_of_a_network_fits_and_one_more_does_not(rule, memory):
    blueprint, limit = make_blueprint(rule, memory), 2_000_000
    ((blocks, found),) = fit_rows(blueprint, None, limit)
    assert blocks == ["8C3-16C3-AP2-16C3-10FC"]

    def metered(batch: int) -> int:
        return measure_learner(dataclasses.replace(blueprint, batch_size=batch), None)[0].peak_bytes

    assert metered(found.largest) <= limit < metered(found.largest + 1)
    assert len(found.peaks) <= 6


def test_a_rule_that_plans_fits_more_where_it_cuts():
    rows = fit_rows(make_blueprint("stdl", "plain"), None, 2_000_000)
    assert [len(blocks) for blocks, _ in rows] == [1, 2]
    whole, cut = (found.largest for _, found in rows)
    assert whole < cut
    (only,) = fit_rows(make_blueprint("stdl", "plain"), None, 2_000_000, least_blocks=2)
    assert len(only[0]) > 1


def test_a_given_plan_is_the_one_that_is_used():
    blueprint = make_blueprint("stdl", "lean")
    plan = {
        "network": "8C3-16C3-AP2-16C3-10FC",
        "input_shape": [2, 16, 16],
        "batch_size": 4,
        "whole_bytes": 1,
        "blocks": [
            {"start": 0, "stop": 1, "subnetwork": "8C3", "auxiliary": "AP2-16C3-10FC", "predicted_bytes": 1},
            {"start": 1, "stop": 4, "subnetwork": "16C3-AP2-16C3-10FC", "auxiliary": None, "predicted_bytes": 1},
        ],
    }
    ((blocks, found),) = fit_rows(blueprint, plan, 2_000_000)
    assert blocks == ["8C3", "16C3-AP2-16C3-10FC"]
    _, whole = fit_batch(blueprint, None, 2_000_000)
    assert found.peaks[4] > whole.peaks[4], "in lean mode an auxiliary network only adds to what is needed"
