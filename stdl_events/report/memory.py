"""Plan and memory of a run over the layers of its network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.memory.meter import format_bytes
from stdl_events.plan.plan import Plan
from stdl_events.report.tables import Bar, Column, Table
from stdl_events.training.run_folder import PLAN_FILE
from stdl_events.training.settings import TrainConfig

PEAKS = {"peak_rss_bytes": "the whole process", "peak_cuda_bytes": "torch on the CUDA device"}


@dataclass(frozen=True)
class Memory:
    """Blocks and peaks.

    Attributes:
        words: the plan in a sentence, or why there is none.
        peaks: measured while it trained, by name.
    """

    words: str
    blocks: Table | None
    peaks: tuple[tuple[str, str], ...]


def memory(folder: Path, config: TrainConfig, rows: Sequence[Mapping[str, Any]]) -> Memory:
    """Return the plan of the run in `folder`, and the peaks in the rows of its metrics.

    Raises:
        PlanError: the plan does not parse.
    """
    peaks = tuple(
        (words, format_bytes(max(row[key] for row in rows if key in row)))
        for key, words in PEAKS.items()
        if any(key in row for row in rows)
    )
    path = folder / PLAN_FILE
    if not path.is_file():
        words = f"The rule {config.learning.rule} has no plan: its blocks follow from the rule alone."
        return Memory(words, None, peaks)
    return _planned(Plan.load(path), peaks)


def _planned(plan: Plan, peaks: tuple[tuple[str, str], ...]) -> Memory:
    words = (
        f"{len(plan.blocks)} block{'s' if len(plan.blocks) > 1 else ''}; one training step of {plan.batch_size} clips "
        f"needs {format_bytes(plan.total_bytes)}, {plan.rho:.3f} of the {format_bytes(plan.whole_bytes)} that the "
        "uncut network needs, trained online in plain mode."
    )
    if plan.budget_bytes is not None:
        words += f" The budget is {format_bytes(plan.budget_bytes)}."
    rows = []
    for number, block in enumerate(plan.blocks, start=1):
        needed = block.metered_bytes or block.predicted_bytes
        rows.append(
            (
                f"block {number}",
                f"{block.start + 1} to {block.stop}",
                block.subnetwork,
                block.auxiliary or "none: the network's own classifier",
                Bar(needed / max(plan.whole_bytes, needed), format_bytes(needed)),
            )
        )
    head = (
        Column("block"), Column("layers", number=False), Column("own layers", number=False),
        Column("auxiliary network", number=False), Column("peak of its step"),
    )  # fmt: skip
    whole = ("uncut", f"1 to {plan.blocks[-1].stop}", "all", "none", Bar(1.0, format_bytes(plan.whole_bytes)))
    return Memory(words, Table("memory of one training step", head, (*rows, whole)), peaks)
