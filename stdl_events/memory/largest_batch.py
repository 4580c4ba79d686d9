"""The largest batch whose training step fits a limit of memory.

A step's bytes are almost a constant plus so many for each sequence, so that a secant finds the border in a few steps.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Planned
from stdl_events.memory.choose_plan import PlanLike, Planner, choose_plan
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.meter import format_bytes
from stdl_events.memory.report import floor_bytes
from stdl_events.plan.plan import Plan

# From so many sequences on, the border between what fits and what does not is drawn 1 % thin instead of exactly.
FINE = 100
# Where the line has not found the border after so many batches, halving does.
PATIENCE = 8


@dataclasses.dataclass(frozen=True)
class Fit:
    """What was metered on the way to the largest batch that fits.

    Args:
        limit_bytes: what a step may need.
        peaks: metered batches and their peak bytes.
    """

    limit_bytes: int
    peaks: dict[int, int]

    @property
    def largest(self) -> int:
        """The largest metered batch that fits; 0 where a single sequence is too much."""
        return max((batch for batch, peak in self.peaks.items() if peak <= self.limit_bytes), default=0)

    @property
    def too_large(self) -> int:
        """The smallest metered batch that does not fit."""
        return min(batch for batch, peak in self.peaks.items() if peak > self.limit_bytes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "batch": self.largest,
            "peak_bytes": self.peaks.get(self.largest),
            "too_large_batch": self.too_large,
            "too_large_peak_bytes": self.peaks[self.too_large],
            "metered_batches": sorted(self.peaks),
        }

    def __str__(self) -> str:
        over = f"{self.too_large} would need {format_bytes(self.peaks[self.too_large])}"
        return f"{format_bytes(self.peaks[self.largest])}; {over}" if self.largest else over


def fit_rows(
    blueprint: Blueprint, plan: PlanLike | None, limit_bytes: int, *, least_blocks: int = 1
) -> list[tuple[list[str], Fit]]:
    """The largest batch for each way to cut the network that comes into question, with its blocks in notation.

    Args:
        plan: the one way to cut it; without it, a rule that plans may leave the network whole, or cut it as the plan
            that needs least at the largest batch of the whole network.
    """
    planned = isinstance(blueprint.rule.space, Planned)
    if not planned or plan is not None:
        return [fit_batch(blueprint, choose_plan(blueprint, plan=plan), limit_bytes)]
    rows: list[tuple[list[str], Fit]] = []
    if least_blocks == 1:
        rows.append(fit_batch(blueprint, None, limit_bytes))
        blueprint = dataclasses.replace(blueprint, batch_size=max(1, rows[0][1].largest))
    smallest = Planner(blueprint, least_blocks=least_blocks).smallest()
    if len(smallest.blocks) > 1:
        rows.append(fit_batch(blueprint, smallest, limit_bytes))
    return rows


def fit_batch(blueprint: Blueprint, plan: Plan | None, limit_bytes: int) -> tuple[list[str], Fit]:
    """The blocks of `blueprint`, cut as `plan` says, and their largest batch whose metered step fits."""

    def peak_of(batch: int) -> int:
        return measure_learner(dataclasses.replace(blueprint, batch_size=batch), plan)[0].peak_bytes

    cuts = blueprint.cuts(plan)
    blocks = [blueprint.spec.slice(cut.start, cut.stop).notation for cut in cuts]
    fixed = floor_bytes(dataclasses.replace(blueprint, batch_size=1))
    return blocks, largest_batch(peak_of, limit_bytes, start=blueprint.batch_size, fixed_bytes=fixed)


def largest_batch(peak_of: Callable[[int], int], limit_bytes: int, *, start: int, fixed_bytes: int) -> Fit:
    """Search for the largest batch with `peak_of(batch) <= limit_bytes`.

    The search ends with a batch that fits and one that does not, next to each other or, from 100 sequences on, at most
    1 % apart.

    Args:
        peak_of: meters a batch; grows with it, by at least a byte for each sequence.
        start: where to begin.
        fixed_bytes: about what a batch of no sequences would need, for the second guess.
    """
    known = {0: min(fixed_bytes, limit_bytes)}
    low, high = 0, None
    batch = start
    while True:
        known[batch] = peak_of(batch)
        if known[batch] <= limit_bytes:
            low = batch
        else:
            high = batch
        if high is not None and high - low <= _grain(low):
            del known[0]
            return Fit(limit_bytes, known)
        batch = _guess(known, low, high, limit_bytes)


def _grain(batch: int) -> int:
    return max(1, batch // FINE)


def _guess(known: dict[int, int], low: int, high: int | None, limit_bytes: int) -> int:
    """Where the line through the batches around the border, or through the two largest ones, meets the limit.

    At least a grain away from both; in the middle where the line has been wrong often.
    """
    one, other = (low, high) if high is not None else sorted(known)[-2:]
    slope = max(1.0, (known[other] - known[one]) / (other - one))
    line = max(one + int((limit_bytes - known[one]) / slope), low + _grain(low))
    if high is None:
        return line
    if len(known) > PATIENCE or high - low <= 2 * _grain(low):
        return (low + high) // 2
    return min(line, high - _grain(low))
