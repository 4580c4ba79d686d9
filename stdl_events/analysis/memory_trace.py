"""Plots of the memory of a training step over layers and time steps, for several rules side by side.

Source: STDL, section V-C, Fig. 6.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stdl_events.analysis.figures import new_figure, write_whole
from stdl_events.analysis.plots import OFF_COLOUR, ON_COLOUR
from stdl_events.memory.moments import Lap
from stdl_events.memory.report import StepMemory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"forward": ON_COLOUR, "backward": OFF_COLOUR}
GB = 10**9


def draw_memory_trace(path: Path, steps: Sequence[StepMemory]) -> None:
    """Draw a PNG: a panel for each of `steps` on one scale, with a bar for every layer of a step.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UserError: the file is not writable.
    """
    figure = new_figure("--trace", 5.5 * len(steps), 4.0)
    panels = figure.subplots(1, len(steps), sharey=True, squeeze=False)[0]
    for axis, step in zip(panels, steps, strict=True):
        _draw_step(axis, step)
    panels[0].set_ylabel("GB alive, at most")
    panels[0].legend(fontsize=8, loc="upper left")
    blueprint = steps[0].blueprint
    figure.suptitle(f"{blueprint.spec.notation}, batch {blueprint.batch_size}, {blueprint.steps} steps", fontsize=8)
    write_whole(path, lambda file: figure.savefig(file, dpi=110, format="png"))


def _draw_step(axis: "Axes", step: StepMemory) -> None:
    laps = step.footprint.laps
    for phase, colour in COLOURS.items():
        chosen = [index for index, lap in enumerate(laps) if lap.moment.phase == phase]
        axis.bar(chosen, [laps[index].peak_bytes / GB for index in chosen], width=1.0, color=colour, label=phase)
    starts = step_starts(laps)
    axis.set_xticks(list(starts), list(starts.values()), fontsize=8)
    for index in starts:
        axis.axvline(index - 0.5, color="0.7", linewidth=0.6)
    document = step.to_dict()
    blocks = len(document["blocks"])
    cut = f", {blocks} blocks" if blocks > 1 else ""
    axis.set_title(f"{document['rule']}, {document['mode']}{cut}: {document['peak_bytes'] / GB:.2f} GB", fontsize=10)
    axis.set_xlabel("layer after layer", fontsize=9)
    axis.margins(x=0)


def step_starts(laps: Sequence[Lap]) -> dict[int, str]:
    """Return labels of the laps that start a time step; "back" for a backward through several steps."""
    starts: dict[int, str] = {}
    before: tuple[int, int] | None = None
    for index, lap in enumerate(laps):
        first, last = lap.moment.steps
        if (first, last) != before:
            starts[index] = f"t={first}" if first == last else "back"
        before = (first, last)
    return starts
