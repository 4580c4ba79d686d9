"""Lean mode against the paper: what a training step needs uncut, cut, and cut as the paper cuts; and how many blocks
the paper's budgets take in either mode.

    python tests/benchmarks/table_lean.py [--out FOLDER]

Metered without a GPU, float32 where nothing else is said, the optimiser of the paper's Table VII, the input clip apart.
GB is 10^9 bytes.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_report import environment, write_result
from table_memory import PUBLISHED, Published

from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.choose_plan import Planner, choose_plan, metered_plan
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.report import meter_step
from stdl_events.network.zoo import get_network
from stdl_events.plan.plan import Plan

GOALS_GB = {("vgg11", 10): 5.2, ("resnet18", 20): 5.4, ("resnet18", 4): 2.0}


def blueprint_of(row: Published) -> Blueprint:
    spec = get_network(row.network, input_shape=row.input_shape, classes=row.classes)
    return Blueprint.of(spec, batch_size=row.batch_size, steps=row.steps, optimizer=row.optimizer)


def ways(row: Published, goal_gb: float) -> Iterator[tuple[str, Blueprint, Plan | None]]:
    """The plans that are compared, by name."""
    lean = blueprint_of(row)
    plain = dataclasses.replace(lean, memory="plain")
    budget = round(goal_gb * 1e9)
    chosen = Planner(lean).within(budget)
    yield "lean, the plan for the goal", lean, chosen
    yield "the same plan, plain", plain, metered_plan(plain, chosen)
    cut = Planner(lean, least_blocks=2)
    yield "lean, two blocks or more, least memory", lean, cut.smallest()
    if row.network != "vgg11":
        paper = choose_plan(lean, plan="paper")
        yield "lean, the paper's plan", lean, paper
        yield "plain, the paper's plan", plain, choose_plan(plain, plan="paper")
    half = dataclasses.replace(lean, precision="bf16-convolutions")
    yield "lean, uncut, bf16", half, Planner(half).within(budget)


def goal_rows(row: Published, goal_gb: float) -> Iterator[dict[str, Any]]:
    for name, blueprint, plan in ways(row, goal_gb):
        step = meter_step(blueprint, plan)
        document = step.to_dict()
        assert plan is not None, "stdl makes plans"
        yield {
            "network": row.network,
            "input": list(row.input_shape),
            "batch": row.batch_size,
            "steps": row.steps,
            "way": name,
            "peak_bytes": document["peak_bytes"],
            "floor_bytes": document["floor_bytes"],
            "over_floor": round(document["peak_bytes"] / document["floor_bytes"], 4),
            "breakdown": document["breakdown"],
            "goal_gb": goal_gb,
            "paper_gb": row.gb["stdl"],
            "blocks": [[block.subnetwork, block.auxiliary] for block in plan.blocks],
        }


def flatness(row: Published) -> dict[str, Any]:
    """Peaks for several T, all T steps metered."""
    blueprint = blueprint_of(row)
    plan = Planner(blueprint).smallest()
    peaks = {steps: measure_learner(blueprint, plan, steps=steps)[0].peak_bytes for steps in (2, 4, row.steps)}
    return {"network": row.network, "batch": row.batch_size, "peak_bytes_by_steps": peaks}


def blocks_for(row: Published) -> dict[str, Any]:
    """Number of blocks at the paper's memory for STDL."""
    budget = round(row.gb["stdl"] * 1e9)
    found: dict[str, Any] = {
        "table": row.table,
        "network": row.network,
        "steps": row.steps,
        "budget_gb": row.gb["stdl"],
    }
    for memory in ("lean", "plain"):
        planner = Planner(dataclasses.replace(blueprint_of(row), memory=memory))
        try:
            found[memory] = len(planner.within(budget).blocks)
        except PlanError:
            found[memory] = None
    return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    goals, flat = [], []
    print("| network | batch | T | | GB | over the floor | blocks |\n|---|---|---|---|---|---|---|", flush=True)
    for published in PUBLISHED:
        goal = GOALS_GB.get((published.network, published.steps))
        if goal is None:
            continue
        for row in goal_rows(published, goal):
            goals.append(row)
            cuts = "; ".join(f"{own} ({head})" if head else own for own, head in row["blocks"])
            settings = f"{row['network']} | {row['batch']} | {row['steps']} | {row['way']}"
            print(f"| {settings} | {row['peak_bytes'] / 1e9:.2f} | {row['over_floor']:.3f} | {cuts} |", flush=True)
        flat.append(flatness(published))
        print(f"flat: {flat[-1]}", file=sys.stderr, flush=True)
    print("\n| table | network | T | budget, GB | blocks, lean | blocks, plain |\n|---|---|---|---|---|---|")
    needed = []
    for published in PUBLISHED:
        row = blocks_for(published)
        needed.append(row)
        cells = [row[key] for key in ("table", "network", "steps", "budget_gb", "lean", "plain")]
        print("| " + " | ".join("none fits" if cell is None else str(cell) for cell in cells) + " |", flush=True)
    if arguments.out:
        facts = environment(["stdl-events", "torch", "norse"])
        document = {"environment": facts, "goals": goals, "flat": flat, "blocks_for_the_papers_budgets": needed}
        print(write_result(arguments.out, "lean", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
