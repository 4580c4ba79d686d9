"""The largest batch whose training step fits a memory limit.

A step's bytes are almost linear in the batch size, so a secant search needs few steps.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Planned
from stdl_events.memory.choose_plan import PlanLike, Planner, choose_plan
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.report import StepMemory, floor_bytes, meter_step
from stdl_events.plan.plan import Plan
from stdl_events.sizes import format_bytes

# From this batch size on, the result is within 1 % instead of exact.
FINE = 100
# Number of metered batches after which bisection replaces the secant search.
PATIENCE = 8


@dataclasses.dataclass(frozen=True)
class Fit:
    """The metered batches of a search for the largest batch that fits.

    Args:
        limit_bytes: allowed bytes of a step.
        peaks: metered batches and their peak bytes.
    """

    limit_bytes: int
    peaks: dict[int, int]

    @property
    def largest(self) -> int:
        """The largest metered batch that fits; 0 if a single sequence does not."""
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


@dataclasses.dataclass(frozen=True)
class FitReport:
    """Result of `fit_limit`.

    Args:
        step: the step of the blueprint's own batch, if it was tried and fits.
        rows: otherwise the largest batch for each way to cut the network, see `fit_rows`.
        searched: True if only the largest batch was requested.
    """

    blueprint: Blueprint
    limit_bytes: int
    step: StepMemory | None
    rows: list[tuple[list[str], Fit]]
    searched: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "limit_bytes": self.limit_bytes,
            "rule": self.blueprint.rule.name,
            "step": None if self.step is None else self.step.to_dict(),
            "largest": [{"blocks": blocks} | found.to_dict() for blocks, found in self.rows],
        }


def fit_limit(
    blueprint: Blueprint,
    limit_bytes: int,
    *,
    search: bool,
    plan: PlanLike | None = None,
    least_blocks: int | None = None,
) -> FitReport:
    """Fit the blueprint's own batch into `limit_bytes` or, if it does not fit, find the largest one.

    Args:
        search: find the largest batch without trying the blueprint's own.
        plan, least_blocks: as in `choose_plan`.

    Raises:
        PlanError: the given plan is for another network.
        RuleError: the rule takes no plan, and one is given.
    """
    step = None if search else _fitting_step(blueprint, limit_bytes, plan, least_blocks)
    rows = [] if step is not None else fit_rows(blueprint, plan, limit_bytes, least_blocks=least_blocks)
    return FitReport(blueprint, limit_bytes, step, rows, search)


def _fitting_step(
    blueprint: Blueprint, limit_bytes: int, plan: PlanLike | None, least_blocks: int | None
) -> StepMemory | None:
    planned = plan is None and isinstance(blueprint.rule.space, Planned)
    budget = limit_bytes if planned else None
    try:
        chosen = choose_plan(blueprint, budget=budget, plan=plan, least_blocks=least_blocks)
    except PlanError:
        if plan is not None:
            raise
        return None
    step = meter_step(blueprint, chosen)
    return step if step.footprint.peak_bytes <= limit_bytes else None


def fit_rows(
    blueprint: Blueprint, plan: PlanLike | None, limit_bytes: int, *, least_blocks: int | None = None
) -> list[tuple[list[str], Fit]]:
    """The largest batch for each candidate plan, with its blocks in notation.

    Args:
        plan: the only candidate. None for two candidates of a rule that plans: the whole network, and the plan with the
            least memory at the largest batch of the whole network.
    """
    planned = isinstance(blueprint.rule.space, Planned)
    if not planned or plan is not None:
        return [fit_batch(blueprint, choose_plan(blueprint, plan=plan), limit_bytes)]
    rows: list[tuple[list[str], Fit]] = []
    if least_blocks is None or least_blocks == 1:
        rows.append(fit_batch(blueprint, None, limit_bytes))
        blueprint = dataclasses.replace(blueprint, batch_size=max(1, rows[0][1].largest))
    least = least_blocks or min(2, max(1, len(blueprint.spec.layers) - 1))
    smallest = Planner(blueprint, least_blocks=least).smallest()
    if len(smallest.blocks) > 1:
        rows.append(fit_batch(blueprint, smallest, limit_bytes))
    return rows


def fit_batch(blueprint: Blueprint, plan: Plan | None, limit_bytes: int) -> tuple[list[str], Fit]:
    """The blocks of `blueprint` cut by `plan`, and the largest batch whose metered step fits."""

    def peak_of(batch: int) -> int:
        return measure_learner(dataclasses.replace(blueprint, batch_size=batch), plan)[0].peak_bytes

    cuts = blueprint.cuts(plan)
    blocks = [blueprint.spec.slice(cut.start, cut.stop).notation for cut in cuts]
    fixed = floor_bytes(dataclasses.replace(blueprint, batch_size=1))
    return blocks, largest_batch(peak_of, limit_bytes, start=blueprint.batch_size, fixed_bytes=fixed)


def largest_batch(peak_of: Callable[[int], int], limit_bytes: int, *, start: int, fixed_bytes: int) -> Fit:
    """Search for the largest batch with `peak_of(batch) <= limit_bytes`.

    The search ends with a batch that fits and one that does not, adjacent or, from 100 sequences on, at most 1 % apart.

    Args:
        peak_of: meters a batch; increases by at least one byte per sequence.
        start: first batch of the search.
        fixed_bytes: approximate bytes at batch size 0, for the second guess.
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
    """The batch at which the line through the batches around the limit, or through the two largest ones, meets it.

    At least one grain from both; the midpoint after `PATIENCE` batches.
    """
    one, other = (low, high) if high is not None else sorted(known)[-2:]
    slope = max(1.0, (known[other] - known[one]) / (other - one))
    line = max(one + int((limit_bytes - known[one]) / slope), low + _grain(low))
    if high is None:
        return line
    if len(known) > PATIENCE or high - low <= 2 * _grain(low):
        return (low + high) // 2
    return min(line, high - _grain(low))
