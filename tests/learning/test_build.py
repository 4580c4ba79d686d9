"""Errors of `build_learner`, with their texts."""

import pytest
from reference_cases import BATCH, SHAPE, classifier, make_plan
from reference_parts import Block, Part, Pool

from stdl_events.build import build_learner
from stdl_events.errors import NotationError, PlanError, RuleError
from stdl_events.learning import list_rules
from stdl_events.network.spec import NetworkSpec

SPEC = NetworkSpec.parse("3C3-AP2-4R-4FC", input_shape=SHAPE)
PARTS = (Part("C", 3, after=(Pool(2, 2),)), Part("R", 4), classifier())
PLAN = make_plan(PARTS, (Block(0, 1, (Part("C", 4), classifier())), Block(1, 3)))


def build(**options):
    return build_learner(SPEC, **({"batch_size": BATCH, "steps": 2} | options))


def test_an_unknown_rule_lists_the_known_ones():
    names = [rule.name for rule in list_rules()]
    assert {"stdl", "sltt", "bptt"} <= set(names)
    with pytest.raises(RuleError) as caught:
        build(rule="hebb")
    assert str(caught.value) == (f"learning rule: got 'hebb'; expected {' or '.join(names)}; choose one of these")


def test_an_unknown_memory_mode_is_told():
    with pytest.raises(RuleError, match="memory mode: got 'thrifty'; expected"):
        build(rule="sltt", memory="thrifty")


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"budget": "1GB", "rho": 0.7}, "budget and rho with rule stdl"),
        ({"budget": 10**9, "rho": 0.7, "plan": PLAN}, "budget and rho and plan with rule stdl"),
        ({"rule": "sltt", "rho": 0.7}, "rho with rule sltt"),
        ({"rule": "bptt", "plan": PLAN}, "plan with rule bptt"),
    ],
)
def test_plan_options_that_contradict_each_other_are_told(options, got):
    with pytest.raises(RuleError) as caught:
        build(**options)
    assert str(caught.value) == (
        f"plan options: got {got}; expected at most one of budget, rho and plan, with a rule that cuts the network; "
        "leave out the others, or use rule stdl"
    )


@pytest.mark.parametrize("rho", [0, -0.5, float("nan")])
def test_rho_is_a_positive_share(rho):
    with pytest.raises(PlanError) as caught:
        build(rho=rho)
    assert str(caught.value) == f"rho: got {rho!r}; expected a positive share, such as 0.7; change rho"


def test_a_plan_for_another_network_is_told():
    with pytest.raises(PlanError) as caught:
        build(plan=PLAN | {"network": "8C3-4FC"})
    assert str(caught.value) == (
        "plan: got a plan for 8C3-4FC on 2x8x8; expected one for 3C3-AP2-4R-4FC on 2x8x8; make a plan for this network"
    )


def with_first_block(**changes):
    first, *rest = PLAN["blocks"]
    return PLAN | {"blocks": [first | changes, *rest]}


def with_last_block(**changes):
    *rest, last = PLAN["blocks"]
    return PLAN | {"blocks": [*rest, last | changes]}


@pytest.mark.parametrize(
    "plan",
    [
        PLAN | {"blocks": PLAN["blocks"][:1]},
        PLAN | {"blocks": PLAN["blocks"][1:]},
        PLAN | {"blocks": PLAN["blocks"][::-1]},
        PLAN | {"blocks": []},
        with_first_block(stop=2),
        with_first_block(auxiliary=None),
        with_last_block(auxiliary="4FC"),
        with_last_block(stop=4),
    ],
)
def test_blocks_that_do_not_cover_the_network_are_told(plan):
    with pytest.raises(PlanError) as caught:
        build(plan=plan)
    assert str(caught.value).startswith(f"plan: got blocks {[(b['start'], b['stop']) for b in plan['blocks']]}")
    assert "expected blocks that cover layers 0 to 3 without gaps" in str(caught.value)


@pytest.mark.parametrize("auxiliary", ["4C3", "4C3-5FC"])
def test_an_auxiliary_network_ends_in_the_networks_classes(auxiliary):
    with pytest.raises(PlanError) as caught:
        build(plan=with_first_block(auxiliary=auxiliary))
    assert str(caught.value) == (
        f"plan: got auxiliary network {auxiliary}; expected one that ends in 4FC, the network's classifier; "
        "correct the plan's blocks"
    )


def test_an_auxiliary_network_is_notation():
    with pytest.raises(NotationError, match="network notation: got '4X3'"):
        build(plan=with_first_block(auxiliary="4X3-4FC"))


def test_a_network_without_a_classifier_cannot_learn():
    spec = NetworkSpec.parse("3C3-AP2-4R", input_shape=SHAPE)
    for rule in ("stdl", "sltt"):
        with pytest.raises(RuleError) as caught:
            build_learner(spec, rule=rule, batch_size=BATCH, steps=2)
        assert str(caught.value) == (
            "network: got 3C3-AP2-4R, which ends in spikes; expected a classifier at its end; "
            "end the notation with the number of classes and FC, such as 10FC"
        )


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("steps", 0), ("steps", -1)])
def test_a_batch_has_sequences_and_steps(name, value):
    with pytest.raises(RuleError) as caught:
        build(rule="sltt", **{name: value})
    assert str(caught.value) == f"{name}: got {value}; expected a positive whole number; change {name}"
