"""Every memory figure of STDL's Tables II, IV and V beside the meter's, in plain mode.

    python tests/benchmarks/table_memory.py [--out FOLDER]

Where the paper publishes a plan, STDL runs with it; VGG-11's is not published, so the planner makes one for the paper's
share of SLTT. HAR-DVS is missing: its frames were made smaller in a way that the paper does not say. GB is 10^9 bytes.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_report import environment, write_result

from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.zoo import get_network
from stdl_events.plan.plan import Plan
from stdl_events.plan.presets import paper_cuts


@dataclasses.dataclass(frozen=True)
class Published:
    """GB of one network, by rule."""

    table: str
    network: str
    input_shape: tuple[int, int, int]
    classes: int
    batch_size: int
    steps: int
    optimizer: str
    gb: dict[str, float]


def _cifar(table: str, network: str, classes: int, steps: int, **gb: float) -> Published:
    return Published(table, network, (3, 32, 32), classes, 512, steps, "sgd", gb)


def _dvs(network: str, classes: int, steps: int, **gb: float) -> Published:
    return Published("IV", network, (2, 128, 128), classes, 100, steps, "adamw", gb)


PUBLISHED = (
    _cifar("II", "resnet18", 10, 4, bptt=15.45, sltt=4.88, decolle=2.76, ell=2.76, stdl=3.51),
    _cifar("II", "resnet19", 100, 4, bptt=39.44, sltt=12.38, decolle=6.07, ell=6.07, stdl=8.31),
    _cifar("II", "vgg16", 10, 4, bptt=7.84, sltt=2.54, decolle=1.81, ell=1.81, stdl=1.82),
    Published(
        "II", "sew-resnet34", (3, 224, 224), 1000, 512, 4, "sgd",
        {"bptt": 424.35, "sltt": 144.37, "decolle": 86.33, "ell": 87.83, "stdl": 106.53},
    ),
    _dvs("vgg11", 10, 10, bptt=99.09, sltt=13.08, decolle=10.03, ell=10.03, stdl=10.50),
    _dvs("resnet18", 20, 20, bptt=227.36, sltt=15.49, decolle=8.89, ell=8.89, stdl=10.91),
    _cifar("V", "resnet18", 10, 1, bptt=4.56, stdl=3.17),
    _cifar("V", "resnet18", 10, 2, bptt=8.40, stdl=3.51),
    _cifar("V", "resnet18", 10, 6, bptt=22.50, stdl=3.51),
)  # fmt: skip


def compare(row: Published) -> Iterator[dict[str, Any]]:
    """Each rule's figure beside the meter's."""
    spec = get_network(row.network, input_shape=row.input_shape, classes=row.classes)
    for rule, gb in row.gb.items():
        blueprint = Blueprint.of(
            spec, rule, batch_size=row.batch_size, steps=row.steps, optimizer=row.optimizer, memory="plain"
        )
        plan = _plan(blueprint, row) if rule == "stdl" else None
        metered = measure_learner(blueprint, plan)[0].peak_bytes
        yield {
            "table": row.table,
            "network": row.network,
            "batch": row.batch_size,
            "steps": row.steps,
            "rule": rule,
            "paper_gb": gb,
            "metered_bytes": metered,
            "metered_over_paper": round(metered / 1e9 / gb, 3),
            "blocks": 1 if plan is None else len(plan.blocks),
        }


def _plan(blueprint: Blueprint, row: Published) -> Plan:
    planner = Planner(blueprint)
    if row.network != "vgg11":
        return planner.with_cuts(paper_cuts(blueprint.spec))
    return planner.within(round(row.gb["stdl"] / row.gb["sltt"] * planner.whole_bytes))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    rows = []
    print("| table | network | batch | T | rule | paper, GB | metered, GB | metered / paper |")
    print("|---|---|---|---|---|---|---|---|")
    for published in PUBLISHED:
        for row in compare(published):
            rows.append(row)
            settings = f"{row['table']} | {row['network']} | {row['batch']} | {row['steps']} | {row['rule']}"
            metered = row["metered_bytes"] / 1e9
            print(f"| {settings} | {row['paper_gb']:.2f} | {metered:.2f} | {row['metered_over_paper']:.3f} |")
    far = [row for row in rows if abs(row["metered_over_paper"] - 1) > 0.1]
    print(f"\n{len(rows) - len(far)} of {len(rows)} within 10 %")
    if arguments.out:
        facts = environment(["stdl-events", "torch", "norse"])
        print(write_result(arguments.out, "memory", {"environment": facts, "memory": "plain", "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
