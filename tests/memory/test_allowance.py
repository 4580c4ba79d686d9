"""The allowance for a process on the CPU bounds every row of the latest measurement."""

import json
from pathlib import Path

import pytest

from stdl_events.build import plan_learner
from stdl_events.memory.allowance import LARGEST_MEASURED_BYTES, cpu_allowance_bytes
from stdl_events.memory.report import meter_step
from stdl_events.network.spec import NetworkSpec

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
LATEST = max(RESULTS.glob("*_workspace.json"))
ROWS = [row for row in json.loads(LATEST.read_text(encoding="utf-8"))["rows"] if row["heap"] == "as it comes"]


@pytest.mark.parametrize("memory", ["lean", "kept", "plain"])
def test_every_measured_process_needs_no_more(memory: str) -> None:
    rows = [row for row in ROWS if row["memory"] == memory]
    allowed = [cpu_allowance_bytes(row["metered_bytes"], memory) for row in rows]
    beyond = [row["beyond_bytes"] for row in rows]
    assert all(given is not None and given >= taken for given, taken in zip(allowed, beyond, strict=True))
    assert max(taken / given for given, taken in zip(allowed, beyond, strict=True)) > 0.75, (
        "and no bound far above them"
    )


def test_the_report_gives_it_apart_from_the_metered_bytes() -> None:
    spec = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8))
    document = meter_step(*plan_learner(spec, "bptt", batch_size=2, steps=2, memory="plain")).to_dict()
    metered = sum(count for kind, count in document["breakdown"].items() if kind != "input")
    assert document["peak_bytes"] == metered
    assert document["cpu_allowance_bytes"] == cpu_allowance_bytes(metered, "plain") > metered


def test_nothing_is_said_above_what_was_measured() -> None:
    assert cpu_allowance_bytes(LARGEST_MEASURED_BYTES + 1, "lean") is None
    assert max(row["metered_bytes"] for row in ROWS) <= LARGEST_MEASURED_BYTES
