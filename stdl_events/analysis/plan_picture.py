"""A chart of a plan: memory of every layer, and the cuts. matplotlib is imported on use."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stdl_events.analysis.figures import new_figure, write_whole
from stdl_events.plan.plan import Plan, PlannedBlock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Neighbouring blocks differ in colour, for colour-blind readers too.
BLOCK_COLOURS = ("#3b6ea5", "#d9903b", "#6a8f4e", "#8a5a9e", "#c0504d", "#4f9c9c")
GB = 1e9


def plan_picture(path: Path, plan: Plan, layers: Sequence[str], layer_bytes: Sequence[int]) -> None:
    """Write a chart of `plan` to `path`, a PNG file.

    Args:
        layers: names of the network's layers, in order.
        layer_bytes: memory of one training step of each layer alone.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UserError: the file cannot be written.
    """
    figure = _figure(plan, layers, layer_bytes)
    write_whole(path, lambda file: figure.savefig(file, dpi=110, format="png"))


def _figure(plan: Plan, layers: Sequence[str], layer_bytes: Sequence[int]) -> "Figure":
    figure = new_figure("--chart", max(7.0, 2.5 + 0.42 * len(layers)), 5.5)
    axis = figure.subplots()
    for number, block in enumerate(plan.blocks):
        where = range(block.start, block.stop)
        colour = BLOCK_COLOURS[number % len(BLOCK_COLOURS)]
        axis.bar(where, [layer_bytes[index] / GB for index in where], color=colour)
        total = (block.metered_bytes or block.predicted_bytes) / GB
        axis.hlines(total, block.start - 0.45, block.stop - 0.55, color=colour, linewidth=2.5)
        middle = (block.start + block.stop - 1) / 2
        axis.text(middle, 0.98 * total, _caption(number, block), ha="center", va="top", fontsize=7)
        if block.start:
            axis.axvline(block.start - 0.5, color="0.2", linewidth=0.8)
    axis.axhline(plan.whole_bytes / GB, color="0.6", linestyle=":", label="uncut network, trained online in plain mode")
    if plan.budget_bytes is not None:
        axis.axhline(plan.budget_bytes / GB, color="0.2", linestyle="--", label="budget")
    axis.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=8)
    axis.set_ylim(0, 1.2 * max(plan.whole_bytes, plan.total_bytes) / GB)
    axis.set_ylabel("GB (10⁹ bytes)")
    axis.set_title(f"one training step, {plan.batch_size} sequences: blocks (lines), layers alone (bars)", fontsize=9)
    axis.legend(fontsize=8, loc="upper right")
    return figure


def _caption(number: int, block: PlannedBlock) -> str:
    if block.auxiliary is None:
        return f"block {number + 1}"
    tokens = textwrap.fill(block.auxiliary.replace("-", " "), width=max(12, 11 * (block.stop - block.start)))
    return f"block {number + 1}, auxiliary\n{tokens}"
