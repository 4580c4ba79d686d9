"""The allowance for a process on the CPU bounds every row of the latest measurements, and a budget may hold both."""

import json
from pathlib import Path

import pytest

from stdl_events.build import plan_learner
from stdl_events.errors import PlanError, RuleError
from stdl_events.memory.allowance import cpu_allowance_bytes
from stdl_events.memory.report import meter_step
from stdl_events.network.spec import NetworkSpec
from stdl_events.sizes import parse_bytes

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
LATEST = max(RESULTS.glob("*_workspace.json"))
ROWS = [row for row in json.loads(LATEST.read_text(encoding="utf-8"))["rows"] if row["heap"] == "as it comes"]
SPEC = NetworkSpec.parse("4C3-AP2-8C3-8C3-5FC", input_shape=(2, 32, 32))
SIZES = {"batch_size": 16, "steps": 4}


@pytest.mark.parametrize("memory", ["lean", "kept", "plain"])
def test_every_measured_process_needs_no_more(memory: str) -> None:
    rows = [row for row in ROWS if row["memory"] == memory]
    allowed = [cpu_allowance_bytes(row["metered_bytes"], memory) for row in rows]
    beyond = [row["beyond_bytes"] for row in rows]
    assert all(given >= taken for given, taken in zip(allowed, beyond, strict=True))
    assert max(taken / given for given, taken in zip(allowed, beyond, strict=True)) > 0.75, (
        "and no bound far above them"
    )


def test_the_report_gives_it_apart_from_the_metered_bytes_and_all_together() -> None:
    document = meter_step(*plan_learner(SPEC, "bptt", memory="plain", **SIZES)).to_dict()
    metered = sum(count for kind, count in document["breakdown"].items() if kind != "input")
    assert document["peak_bytes"] == metered
    allowance = document["cpu_allowance_bytes"]
    assert allowance == cpu_allowance_bytes(metered, "plain") > metered
    assert document["cpu_process_bytes"] == 4 * 16 * 2 * 32 * 32 + metered + allowance


@pytest.mark.parametrize("memory", ["lean", "plain", "auto"])
def test_a_budget_of_the_process_holds_clip_step_and_allowance(memory: str) -> None:
    blueprint, plan = plan_learner(SPEC, memory=memory, least_blocks=2, budget="20MB", budget_of="process", **SIZES)
    assert plan is not None
    step = meter_step(blueprint, plan)
    assert step.process_bytes <= parse_bytes("20MB")
    mode = "lean" if memory == "auto" else memory
    clip = step.input_bytes
    assert plan.budget_bytes is not None
    assert clip + plan.budget_bytes + cpu_allowance_bytes(plan.budget_bytes, mode) <= parse_bytes("20MB")
    more = plan.budget_bytes + 1
    assert clip + more + cpu_allowance_bytes(more, mode) > parse_bytes("20MB"), "no byte is left unused"


def test_a_budget_that_cannot_hold_both_is_refused_with_both() -> None:
    with pytest.raises(
        PlanError, match=r"got 5000000 bytes for the process, which leave \d+ for the step .* for the s"
    ):
        plan_learner(SPEC, least_blocks=2, budget=5_000_000, budget_of="process", **SIZES)
    with pytest.raises(PlanError, match=r"got 4000000 bytes for the process; expected more than the 4131072 bytes"):
        plan_learner(SPEC, least_blocks=2, budget=4_000_000, budget_of="process", **SIZES)
    with pytest.raises(RuleError, match="budget_of process: got no budget"):
        plan_learner(SPEC, budget_of="process", **SIZES)
    with pytest.raises(RuleError, match="budget_of"):
        plan_learner(SPEC, budget="1GB", budget_of="machine", **SIZES)  # type: ignore[arg-type]
