"""Plan and memory of a run over the blocks and layers of its network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.memory.moments import Footprint
from stdl_events.memory.report import meter_step
from stdl_events.memory.sites import Site
from stdl_events.plan.plan import Plan
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.report.tables import Bar, Column, Table
from stdl_events.sizes import format_bytes
from stdl_events.training.build_learner import plan_configured_learner
from stdl_events.training.run_folder import PLAN_FILE
from stdl_events.training.settings import TrainConfig

PHASES = ("forward", "backward")
LAYERS_SHOWN = 30
PEAKS = {"peak_rss_bytes": "the whole process", "peak_cuda_bytes": "torch on the CUDA device"}


@dataclass(frozen=True)
class Memory:
    """Blocks, layers and peaks.

    Attributes:
        words: the plan in a sentence, or why there is none.
        peaks: measured while it trained, by name.
        layers: metered; None if not asked for, or without a list of the recordings, which has the size of the frames.
    """

    words: str
    blocks: Table | None
    peaks: tuple[tuple[str, str], ...]
    layers: Table | None = None


def memory(
    folder: Path, config: TrainConfig, rows: Sequence[Mapping[str, Any]], *, meter_layers: bool = False
) -> Memory:
    """Return the plan of the run in `folder`, and the peaks in the rows of its metrics.

    Args:
        meter_layers: run one step on tensors without data, and record the peak at each layer.

    Raises:
        PlanError: the plan does not parse.
    """
    peaks = tuple(
        (words, format_bytes(max(row[key] for row in rows if key in row)))
        for key, words in PEAKS.items()
        if any(key in row for row in rows)
    )
    plan = Plan.load(folder / PLAN_FILE) if (folder / PLAN_FILE).is_file() else None
    if plan is None:
        words = f"The rule {config.learning.rule} has no plan: its blocks follow from the rule alone."
        found = Memory(words, None, peaks)
    else:
        found = _planned(plan, peaks)
    return replace(found, layers=_layers(folder, config, plan)) if meter_layers else found


def _layers(folder: Path, config: TrainConfig, plan: Plan | None) -> Table | None:
    listed = read_split_list(folder / SPLIT_FILE)
    if listed is None:
        return None
    host = config.derive(learning={"cuda_graphs": False})
    frame_spec = config.frames.spec(listed.sensor_size)
    blueprint, plan = plan_configured_learner(host, frame_spec, len(listed.classes), plan=plan)
    return layer_table(meter_step(blueprint, plan).footprint)


def layer_table(footprint: Footprint) -> Table:
    """Return the peak of one step while it is at each layer, forward and backward, in the order of the computation."""
    found: dict[Site, dict[str, int]] = {}
    for lap in footprint.laps:
        if (site := lap.moment.site) is not None:
            peaks = found.setdefault(site.whole_layer, {})
            peaks[lap.moment.phase] = max(lap.peak_bytes, peaks.get(lap.moment.phase, 0))
    rows = [(str(site), *(_peak(peaks.get(phase), footprint) for phase in PHASES)) for site, peaks in found.items()]
    return Table.of("bytes of one training step while it is at a layer", ("layer", *PHASES), rows, folded=LAYERS_SHOWN)


def _peak(peak_bytes: int | None, footprint: Footprint) -> str | Bar:
    return "none" if peak_bytes is None else Bar(peak_bytes / footprint.peak_bytes, format_bytes(peak_bytes))


def _planned(plan: Plan, peaks: tuple[tuple[str, str], ...]) -> Memory:
    words = (
        f"{count_of(len(plan.blocks), 'block')}; one training step of {count_of(plan.batch_size, 'clip')} "
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
                format_bytes(block.predicted_bytes),
                Bar(needed / max(plan.whole_bytes, needed), format_bytes(needed)),
            )
        )
    head = (
        Column("block"), Column("layers", number=False), Column("own layers", number=False),
        Column("auxiliary network", number=False), Column("predicted"), Column("peak of its step"),
    )  # fmt: skip
    whole = ("uncut", f"1 to {plan.blocks[-1].stop}", "all", "none", "", Bar(1.0, format_bytes(plan.whole_bytes)))
    return Memory(words, Table("memory of one training step", head, (*rows, whole)), peaks)
