"""The paper's plans beside the planner's, at the paper's share of memory, and why they differ, in bytes.

    python tests/benchmarks/table_plans.py [NETWORK ...] [--out FOLDER]

Plain mode, 512 sequences, T = 4. For each network of STDL's Table II the budget is the share of SLTT's memory that the
paper reports for STDL. Where the planner cuts elsewhere, the paper's cuts are tried with auxiliary networks as deep as
the planner's, and Algorithm 1's latest cuts unchanged: the table lists the peak of each.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

from bench_report import environment, write_result

from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.network.zoo import get_network
from stdl_events.plan.auxiliary import auxiliary_candidates, depth_limit
from stdl_events.plan.partition import Cut, Partitioner
from stdl_events.plan.plan import Plan
from stdl_events.plan.presets import paper_cuts
from stdl_events.sizes import format_bytes

BATCH, STEPS = 512, 4


@dataclasses.dataclass(frozen=True)
class Published:
    """One column of STDL's Table II: GB of SLTT and of STDL."""

    network: str
    input_shape: tuple[int, int, int]
    classes: int
    sltt_gb: float
    stdl_gb: float

    @property
    def share(self) -> float:
        return round(self.stdl_gb / self.sltt_gb, 2)


TABLE_II = (
    Published("resnet18", (3, 32, 32), 10, 4.88, 3.51),
    Published("resnet19", (3, 32, 32), 100, 12.38, 8.31),
    Published("vgg16", (3, 32, 32), 10, 2.54, 1.82),
    Published("sew-resnet34", (3, 224, 224), 1000, 144.37, 106.53),
)


def compare(row: Published) -> dict[str, Any]:
    """Both plans of one network, metered."""
    started = time.monotonic()
    spec = get_network(row.network, input_shape=row.input_shape, classes=row.classes)
    planner = Planner(Blueprint.of(spec, batch_size=BATCH, steps=STEPS, optimizer="sgd", memory="plain"))
    budget = round(row.share * planner.whole_bytes)
    paper = planner.with_cuts(paper_cuts(spec))
    ours = planner.within(budget)
    return {
        "network": row.network,
        "share": row.share,
        "sltt_bytes": planner.whole_bytes,
        "sltt_paper_gb": row.sltt_gb,
        "stdl_paper_gb": row.stdl_gb,
        "budget_bytes": budget,
        "paper": paper.to_dict(),
        "ours": ours.to_dict(),
        "why": _why(planner, paper, ours, budget),
        "seconds": round(time.monotonic() - started, 1),
    }


def _why(planner: Planner, paper: Plan, ours: Plan, budget: int) -> list[str]:
    """Lines on the peaks of the paper's cuts and depths against the budget."""
    spec = planner.blueprint.spec
    lines = [f"the paper's plan needs {_beside(paper.total_bytes, budget)}"]
    if _stops(ours) == _stops(paper):
        return [*lines, f"same cuts; auxiliary networks {_depths(ours)} deep, the paper's {_depths(paper)}"]
    meter = LayerMeter.of(planner.blueprint)
    partitioner = Partitioner(spec, meter, other_bytes=meter.other_bytes)
    late = planner.with_cuts(partitioner.partition(budget))
    deep = planner.with_cuts(_cheapest_as_deep(partitioner, paper_cuts(spec), ours))
    return [
        *lines,
        f"as late as possible, after layers {_stops(late)}: {_depths(late)} deep is all that fits, "
        f"{_beside(late.total_bytes, budget)}",
        f"the paper's cuts, after layers {_stops(deep)}, {_depths(deep)} deep like ours: at least "
        f"{_beside(deep.total_bytes, budget)}",
        f"ours, after layers {_stops(ours)}, {_depths(ours)} deep: {_beside(ours.total_bytes, budget)}",
    ]


def _cheapest_as_deep(partitioner: Partitioner, cuts: list[Cut], ours: Plan) -> list[Cut]:
    """The same cuts with the cheapest auxiliary networks of the depths in `ours`."""
    for index, block in enumerate(ours.blocks[:-1]):
        stop = cuts[index].stop
        depth = min(_depth(block.auxiliary), depth_limit(partitioner.spec, stop))
        choices = [
            [*cuts[:index], dataclasses.replace(cuts[index], auxiliary=auxiliary), *cuts[index + 1 :]]
            for auxiliary in auxiliary_candidates(partitioner.spec, stop, depth=depth)
        ]
        cuts = min(choices, key=partitioner.peak)
    return cuts


def _beside(needed: int, budget: int) -> str:
    word = "over" if needed > budget else "under"
    return f"{format_bytes(needed)}, {format_bytes(abs(needed - budget))} {word} the budget"


def _stops(plan: Plan) -> str:
    return " and ".join(str(block.stop) for block in plan.blocks[:-1])


def _depths(plan: Plan) -> str:
    return " and ".join(str(_depth(block.auxiliary)) for block in plan.blocks[:-1])


def _depth(auxiliary: str | None) -> int:
    return len([token for token in (auxiliary or "").split("-")[:-1] if not token.startswith("AP")])


def _print(row: dict[str, Any]) -> None:
    print(
        f"\n{row['network']}: SLTT {format_bytes(row['sltt_bytes'])} (paper {row['sltt_paper_gb']:.2f} GB), "
        f"share {row['share']}, budget {format_bytes(row['budget_bytes'])}; {row['seconds']} s"
    )
    for name in ("paper", "ours"):
        plan = row[name]
        print(f"  {name}: {format_bytes(plan['total_bytes'])}, {plan['rho']:.3f} of SLTT")
        for block in plan["blocks"]:
            metered, predicted = format_bytes(block["metered_bytes"]), format_bytes(block["predicted_bytes"])
            print(f"    {block['subnetwork']}  |  {block['auxiliary'] or '-'}  |  {metered} (predicted {predicted})")
    for line in row["why"]:
        print(f"  {line}")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="only these", default=[])
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    known = [row.network for row in TABLE_II]
    if set(arguments.networks) - set(known):
        parser.error(f"networks are {', '.join(known)}")
    rows = []
    for published in TABLE_II:
        if not arguments.networks or published.network in arguments.networks:
            rows.append(compare(published))
            _print(rows[-1])
    if arguments.out:
        facts = environment(["stdl-events", "torch", "norse"])
        configuration = {"batch_size": BATCH, "steps": STEPS, "memory": "plain", "optimizer": "sgd with momentum"}
        print(
            write_result(arguments.out, "plans", {"environment": facts, "configuration": configuration, "rows": rows})
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
