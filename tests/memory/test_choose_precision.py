"""`precision=auto`: the first number formats that fit into the budget, said with what the others would have needed."""

import warnings

import pytest
import torch
from typer.testing import CliRunner

from stdl_events.build import build_learner, plan_learner
from stdl_events.cli import app
from stdl_events.errors import PlanError, RuleError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.precision import precision_on
from stdl_events.memory.choose_plan import Planner
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import PlanWarning

SPEC = NetworkSpec.parse("4C3-AP2-8C3-8C3-5FC", input_shape=(2, 8, 8))
SIZES = {"batch_size": 16, "steps": 2}
CANDIDATES = ("fp32", "bf16", "int8-state", "int8-state+bf16")


@pytest.fixture(scope="module")
def needs() -> dict[str, int]:
    """The least bytes of two blocks, by the names of settled precisions."""
    settled = [precision_on(name, torch.device("cpu")) for name in CANDIDATES]
    blueprints = [Blueprint.of(SPEC, precision=name, **SIZES) for name in settled]
    return {one.precision: Planner(one, least_blocks=2).smallest().total_bytes for one in blueprints}


def test_the_first_that_fits_is_chosen_and_said(needs: dict[str, int]) -> None:
    found = set()
    for budget in needs.values():
        expected = next(name for name, need in needs.items() if need <= budget)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            blueprint, plan = plan_learner(SPEC, precision="auto", least_blocks=2, budget=budget, **SIZES)
        found.add(blueprint.precision)
        assert blueprint.precision == expected
        assert (blueprint, plan) == plan_learner(SPEC, precision=expected, least_blocks=2, budget=budget, **SIZES)
        said = [str(one.message) for one in caught if one.category is PlanWarning]
        assert len(said) == (expected != "fp32")
        for line in said:
            assert line.startswith(f"precision auto: {expected} is chosen, since fp32 needs at least {needs['fp32']} b")
            assert f", not {budget} bytes" in line
    assert len(found) > 1, "the budgets differ enough"


def test_where_none_fits_the_error_says_what_each_needs(needs: dict[str, int]) -> None:
    with pytest.raises(PlanError) as caught:
        plan_learner(SPEC, precision="auto", least_blocks=2, budget=1000, **SIZES)
    for name, need in needs.items():
        assert f"{name} needs at least {need} bytes" in str(caught.value)


def test_what_a_rule_cannot_have_is_left_out() -> None:
    with pytest.raises(PlanError, match=r"int8-state is impossible for it \(precision int8-state: rule stdl\+ottt"):
        plan_learner(SPEC, "stdl+ottt", precision="auto", budget=1000, **SIZES)


def test_without_a_budget_nothing_is_traded_and_a_plan_has_its_own(needs: dict[str, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan_learner(SPEC, precision="auto", **SIZES)[0].precision == "fp32"
        blueprint, plan = plan_learner(SPEC, precision="int8-state", **SIZES)
        assert plan_learner(SPEC, precision="auto", plan=plan, **SIZES) == (blueprint, plan)
    with pytest.raises(RuleError, match="got a plan that names no precision"):
        plan_learner(SPEC, precision="auto", plan=[("4C3-AP2", "8C3-5FC"), "8C3-8C3-5FC"], **SIZES)
    with pytest.raises(RuleError, match="precision auto: got a learner without a search"):
        Blueprint.of(SPEC, precision="auto", **SIZES)
    with pytest.warns(PlanWarning, match="is chosen, since fp32 needs"):
        learner = build_learner(SPEC, precision="auto", least_blocks=2, budget=needs["fp32"] - 1, **SIZES)
    assert learner.plan is not None
    assert learner.plan.setting is not None
    assert learner.plan.setting.precision != "fp32"


@pytest.mark.parametrize("mode", [[], ["--auto"]])
def test_the_command_prints_the_precision(needs: dict[str, int], mode: list[str]) -> None:
    asked = ["plan", "--network", SPEC.notation, "--input", "2x8x8", "--classes", "5", "--batch", "16", "--steps", "2"]
    budget = needs["int8-state"]
    chosen = next(name for name, need in needs.items() if need <= budget)  # on some processors bf16 needs less
    asked += ["--precision", "auto", "--least-blocks", "2", "--budget", str(budget), *mode]
    with pytest.warns(PlanWarning, match=f"precision auto: {chosen} is chosen"):
        text = CliRunner().invoke(app, asked)
    assert text.exit_code == 0, text.output
    assert f"precision {chosen}" in text.stdout.splitlines()
