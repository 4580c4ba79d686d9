"""The planner against every plan, of random tables of costs and of real small networks, each plan metered:

    python tests/benchmarks/run_planner.py [--tables 5000] [--networks 200] [--seed 0] [--out FOLDER]

A third of the networks is run in each memory mode; one in four is instead run in all of them, with every
choice of kept outputs, which are many plans. The suite does the same for a few. Exit code 1 if any disagrees.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

sys.path[:0] = [str(REPOSITORY / "tests" / "plan"), str(REPOSITORY / "tests" / "memory")]

from brute_plans import check_auto, check_mode, random_blueprint  # noqa: E402  # lie beside the tests that use them
from random_tables import check  # noqa: E402

MODES = ("plain", "lean", "kept")


def table(seed: int) -> dict[str, Any]:
    check(seed, 4 + seed % 2, least_blocks=1 + seed % 3)
    return {"kind": "table"}


def network(seed: int) -> dict[str, Any]:
    if seed % 4 == 3:
        blueprint = random_blueprint(seed, layers=3, memory="lean")
        plans, keeps = check_auto(blueprint)
        return {"kind": "auto", "network": blueprint.spec.notation, "plans": plans, "smallest_keeps_outputs": keeps}
    memory = MODES[seed % 4]
    blueprint = random_blueprint(seed, layers=4, memory=memory)
    plans, off = check_mode(blueprint)
    return {"kind": memory, "network": blueprint.spec.notation, "plans": plans, "largest_error_bytes": off}


def run(look: Callable[[int], dict[str, Any]], seeds: range) -> list[dict[str, Any]]:
    """One row per seed; disagreements are printed and recorded in its row."""
    rows = []
    for seed in seeds:
        try:
            row = look(seed) | {"wrong": None}
        except AssertionError as error:
            row = {"kind": "wrong", "wrong": str(error)}
            print(f"seed {seed}: {error}", flush=True)
        rows.append({"seed": seed} | row)
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "looked_at": len(rows),
        "wrong": sum(row["wrong"] is not None for row in rows),
        "metered_plans": sum(row.get("plans", 0) for row in rows),
        "largest_error_bytes": max((row.get("largest_error_bytes", 0) for row in rows), default=0),
        "smallest_keeps_outputs": sum(row.get("smallest_keeps_outputs", False) for row in rows),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="The planner against every plan.")
    parser.add_argument("--tables", type=int, default=5000)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first table and the first network")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    began_s = time.perf_counter()
    tables = run(table, range(arguments.seed, arguments.seed + arguments.tables))
    networks = run(network, range(arguments.seed, arguments.seed + arguments.networks))
    found = {"tables": summary(tables), "networks": summary(networks)}
    for name, numbers in found.items():
        print(name, numbers)
    if arguments.out:
        facts = environment(["stdl-events", "torch"])
        document = {
            "environment": facts,
            "configuration": {"tables": arguments.tables, "networks": arguments.networks, "seed": arguments.seed},
            "seconds": round(time.perf_counter() - began_s, 1),
            **found,
            "rows": [row for row in tables if row["wrong"]] + networks,
        }
        print(write_result(arguments.out, "planner", document))
    return int(any(numbers["wrong"] for numbers in found.values()))


if __name__ == "__main__":
    sys.exit(main())
