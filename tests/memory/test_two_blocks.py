"""Two blocks for STDL wherever network and memory allow them, and a warning where they do not."""

import warnings

import pytest

from stdl_events.build import build_learner, plan_learner
from stdl_events.learning.grid import Planned, Rule, truncated
from stdl_events.learning.rules import get_rule, list_rules
from stdl_events.memory.choose_plan import Planner
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import PlanWarning

SPEC = NetworkSpec.parse("4C3-AP2-8C3-8C3-5FC", input_shape=(2, 8, 8))
OPTIONS = {"batch_size": 4, "steps": 2}
PLANNED = [rule.name for rule in list_rules() if isinstance(rule.space, Planned)]


@pytest.mark.parametrize("memory", ["lean", "kept", "plain", "auto"])
@pytest.mark.parametrize("way", [{}, {"budget": "1GB"}, {"rho": 3.0}])
def test_a_network_that_can_be_cut_is_cut(way, memory):
    blueprint, plan = plan_learner(SPEC, **OPTIONS, **way, memory=memory)
    assert len(plan.blocks) == 2
    assert plan.blocks[0].auxiliary is not None
    learner = build_learner(SPEC, **OPTIONS, **way, memory=memory)
    assert learner.plan == plan
    assert len(learner.blocks) == 2
    assert blueprint.rule.name == "stdl"


@pytest.mark.parametrize("rule", PLANNED)
def test_every_rule_that_plans_has_two_blocks(rule):
    assert len(build_learner(SPEC, rule, **OPTIONS).blocks) == 2


@pytest.mark.parametrize("memory", ["lean", "auto"])
def test_one_block_may_be_asked_for(memory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(build_learner(SPEC, **OPTIONS, memory=memory, least_blocks=1, budget="1GB").blocks) == 1


@pytest.mark.parametrize(("memory", "rule", "known"), [("lean", "stdl", "SLTT"), ("auto", "stdl+ottt", "OTTT")])
def test_a_budget_for_one_block_alone_makes_one_and_says_so(memory, rule, known):
    one = plan_learner(SPEC, rule, **OPTIONS, least_blocks=1, budget="1GB")[1].total_bytes
    two = plan_learner(SPEC, rule, **OPTIONS, least_blocks=2)[0]
    least = Planner(two, least_blocks=2).smallest().total_bytes
    assert one < least, "in lean mode an auxiliary network only adds to what is needed"
    with pytest.warns(PlanWarning) as caught:
        learner = build_learner(SPEC, rule, **OPTIONS, memory=memory, budget=least - 1)
    assert len(learner.blocks) == 1
    (text,) = {str(warning.message) for warning in caught}
    assert text.startswith(f"one block: with the network in one piece, {rule} is {known}, since two blocks need more ")
    assert f"at least {least} bytes" in text
    assert text.endswith(f"not {least - 1} bytes")
    assert len(build_learner(SPEC, rule, **OPTIONS, memory=memory, budget=least).blocks) == 2


@pytest.mark.parametrize("notation", ["4C3-5FC", "5FC"])
def test_a_network_that_cannot_be_cut_says_so(notation):
    spec = NetworkSpec.parse(notation, input_shape=(2, 8, 8))
    with pytest.warns(PlanWarning, match=f"stdl is SLTT, since {notation} has too few layers to be cut"):
        assert len(build_learner(spec, **OPTIONS).blocks) == 1


def test_two_layers_are_enough():
    spec = NetworkSpec.parse("4C3-4C3-5FC", input_shape=(2, 8, 8))
    (first, last) = plan_learner(spec, **OPTIONS)[1].blocks
    assert (first.subnetwork, first.auxiliary, last.subnetwork) == ("4C3", "4C3-5FC", "4C3-5FC")


@pytest.mark.parametrize("notation", ["4C3-8C3-AP2-8C3-8C3-5FC", "4C3-4R-8R(s2)-8R-5FC", "AP2-4C3-12FC-8FC-5FC"])
@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_with_memory_to_spare_the_cut_is_the_one_that_the_whole_search_finds(notation, memory):
    spec = NetworkSpec.parse(notation, input_shape=(2, 8, 8))
    blueprint, plan = plan_learner(spec, **OPTIONS, memory=memory, budget="1GB")
    planner = Planner(blueprint, least_blocks=2)
    searched = planner._partitioner.deepest(10**9)
    assert planner._partitioner.latest(10**9) == searched
    assert [(block.start, block.stop) for block in plan.blocks] == [(cut.start, cut.stop) for cut in searched]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("bptt", "BPTT"), ("sltt", "SLTT"), ("sltt-k", "SLTT-K"), ("ottt-a", "OTTT"), ("ottt-o", "OTTT"),
        ("ndot-a", "NDOT"), ("ndot-o", "NDOT"), ("stdl", "SLTT"), ("stdl+ottt", "OTTT"), ("stdl+ndot", "NDOT"),
    ],
)  # fmt: skip
def test_the_time_axis_alone_is_a_rule_of_its_own(rule, name):
    assert get_rule(rule).time.name == name
    assert Rule("", Planned(), truncated(3), "sequence", "").time.name == "truncated BPTT"
