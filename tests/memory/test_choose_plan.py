"""Plans for real networks: metered bytes are correct, and the additive model is close to them."""

import dataclasses
import functools
from typing import Any

import pytest

from stdl_events.build import build_learner
from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import get_network
from stdl_events.plan.plan import Plan
from stdl_events.plan.presets import paper_cuts

SMALL = [
    "4C3-8C3-AP2-8C3-16C3-AP2-16C3-10FC",
    "8C3-8R-8R-16R(s2)-16R-10FC",
    "AP2-8C3-AP(k3s2p1)-8SEWR-16SEWR(s2)-16SEWR-10FC",
    "8C3-AP2-16C3(s2)-20FC-12FC-10FC",
]


def make_planner(spec: NetworkSpec, batch_size: int, **options: Any) -> Planner:
    optimizer, rule = OptimizerSpec(kind=options.pop("optimizer", "sgd")), get_rule(options.pop("rule", "stdl"))
    return Planner(Blueprint(spec, rule, batch_size, 4, InstantaneousLoss(), optimizer, **options))


@functools.cache
def small_planner(
    notation: str, norm: str = "batch", kind: str = "lif", memory: str = "plain", rule: str = "stdl"
) -> Planner:
    spec = NetworkSpec.parse(notation, input_shape=(2, 16, 16)).with_settings({"kind": kind}, norm)
    return make_planner(spec, 16, memory=memory, rule=rule)


def assert_kept(plan: Plan, budget_bytes: int) -> None:
    assert plan.budget_bytes == budget_bytes
    assert plan.total_bytes <= budget_bytes
    assert_predicted(plan)


def assert_predicted(plan: Plan) -> None:
    for block in plan.blocks:
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.01)


@pytest.mark.slow
def test_in_lean_mode_the_model_holds_where_layers_are_many_parts():
    spec = get_network("resnet18", input_shape=(3, 32, 32), classes=10)
    planner = make_planner(spec, 48, memory="lean")
    assert_predicted(planner.with_cuts(paper_cuts(spec)))
    least = planner.smallest().total_bytes
    assert_kept(planner.within(least), least)


@pytest.mark.parametrize("notation", SMALL)
def test_every_feasible_budget_is_kept_and_more_memory_needs_no_more_blocks(notation):
    planner = small_planner(notation)
    least, most = planner.smallest().total_bytes, planner.whole_bytes
    counts = []
    for budget in (least, (least + most) // 2, most):
        plan = planner.within(budget)
        assert_kept(plan, budget)
        counts.append(len(plan.blocks))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


@pytest.mark.parametrize("notation", SMALL[::3])
def test_a_budget_that_is_too_small_names_one_that_works(notation):
    planner = small_planner(notation)
    with pytest.raises(PlanError) as caught:
        planner.within(1000)
    expected = caught.value.expected
    named = int(expected.removeprefix("at least ").split(" bytes")[0])
    assert str(caught.value).startswith("memory budget: got 1000 bytes; expected at least ")
    assert str(caught.value).endswith("; allow more memory, or use a smaller batch or smaller frames")
    assert_kept(planner.within(named), named)
    with pytest.raises(PlanError, match=f"at least {named} bytes"):
        planner.within(named - 1)


@pytest.mark.parametrize("memory", ["plain", "lean"])
@pytest.mark.parametrize(("norm", "kind"), [("ws", "lif"), ("none", "lif"), ("batch", "plif"), ("batch", "alif")])
def test_the_model_holds_for_other_norms_and_neurons(norm, kind, memory):
    planner = small_planner(SMALL[0], norm, kind, memory)
    least = planner.smallest().total_bytes
    for budget in (least, round(1.3 * least)):
        assert_kept(planner.within(budget), budget)


@pytest.mark.parametrize("notation", SMALL)
@pytest.mark.parametrize("rule", ["stdl+ottt", "stdl+ndot"])
def test_in_lean_mode_the_model_holds_for_traces(rule, notation):
    planner = small_planner(notation, memory="lean", rule=rule)
    least = planner.smallest().total_bytes
    assert_kept(planner.within(least), least)


def test_the_share_refers_to_plain_mode_whatever_mode_is_in_force():
    plain, lean = small_planner(SMALL[1]), small_planner(SMALL[1], memory="lean")
    assert lean.whole_bytes == plain.whole_bytes
    assert lean.smallest().total_bytes < plain.smallest().total_bytes


def test_metered_bytes_are_those_of_the_built_learner():
    planner = small_planner(SMALL[1])
    plan = planner.within(round(0.8 * planner.whole_bytes))
    report, peaks = measure_learner(planner.blueprint, plan)
    assert [block.metered_bytes for block in plan.blocks] == list(peaks)
    assert plan.total_bytes == report.peak_bytes
    assert plan.whole_bytes == planner.whole_bytes
    # Bytes metered at two steps equal those at eight.
    assert measure_learner(planner.blueprint, plan, steps=8)[0].peak_bytes == report.peak_bytes


def test_budget_and_rho_mean_the_same_and_reach_the_learner():
    spec, whole = small_planner(SMALL[1]).blueprint.spec, small_planner(SMALL[1]).whole_bytes
    by_rho = build_learner(spec, batch_size=16, steps=4, rho=0.8, memory="plain")
    by_budget = build_learner(spec, batch_size=16, steps=4, budget=f"{round(0.8 * whole)}B", memory="plain")
    assert by_rho.plan == by_budget.plan
    assert by_rho.plan.rho <= 0.8
    assert len(by_rho.blocks) == len(by_rho.plan.blocks) > 1
    for block, planned in zip(by_rho.blocks, by_rho.plan.blocks, strict=True):
        assert block.subnetwork.spec.notation == planned.subnetwork
        assert (block.auxiliary.spec.notation if block.auxiliary else None) == planned.auxiliary


@pytest.mark.parametrize("notation", SMALL[:2])
def test_without_a_budget_the_share_is_the_smallest_feasible_one_from_70_percent(notation):
    planner = small_planner(notation)
    plan = build_learner(planner.blueprint.spec, batch_size=16, steps=4, memory="plain").plan
    if planner.smallest().rho <= 0.7:
        assert plan == planner.within(round(0.7 * planner.whole_bytes))
    else:
        assert plan == planner.smallest()
        assert plan.budget_bytes == plan.total_bytes


def test_the_optimisers_state_is_part_of_the_budget():
    spec = NetworkSpec.parse(SMALL[0], input_shape=(2, 16, 16))
    weights = sum(
        parameter.numel() for parameter in build_learner(spec, rule="sltt", batch_size=2, steps=1).network.parameters()
    )
    sgd, adamw = (make_planner(spec, 2, memory="plain", optimizer=kind) for kind in ("sgd", "adamw"))
    # One more tensor per weight, and a step counter of four bytes per weight tensor.
    extra = adamw.whole_bytes - sgd.whole_bytes
    assert 4 * weights <= extra <= 4 * weights + 4 * 30
    assert_kept(adamw.within(adamw.smallest().total_bytes), adamw.smallest().total_bytes)


def test_a_plan_for_more_sequences_is_larger():
    spec = small_planner(SMALL[0]).blueprint.spec
    small = small_planner(SMALL[0]).smallest()
    large = Planner(dataclasses.replace(small_planner(SMALL[0]).blueprint, batch_size=32)).smallest()
    assert large.batch_size == 2 * small.batch_size
    assert 1.5 < large.total_bytes / small.total_bytes < 2
    assert spec.notation == large.network
