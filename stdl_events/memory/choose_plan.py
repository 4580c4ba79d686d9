"""Choice of plans: search over measured layers, decision by metered learners."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from stdl_events.arguments import is_number
from stdl_events.errors import PlanError, RuleError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Planned, Rule
from stdl_events.memory.cost_store import remembered, whole_number
from stdl_events.memory.footprint import measure_learner, planned_footprint
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.memory.two_blocks import prefer_two_blocks
from stdl_events.plan.partition import Cut, Partitioner
from stdl_events.plan.plan import Plan, PlannedBlock, PlanSetting
from stdl_events.plan.presets import notated_cuts, paper_cuts
from stdl_events.sizes import parse_bytes

DEFAULT_RHO = 0.7
PAPER = "paper"

PlanLike: TypeAlias = Plan | Mapping[str, Any] | str | Path | Sequence[tuple[str, str] | str]
"""A plan, its JSON, the path of a JSON file, "paper", or blocks in notation, see `notated_cuts`."""


def choose_plan(
    blueprint: Blueprint,
    *,
    budget: int | str | None = None,
    rho: float | None = None,
    plan: PlanLike | None = None,
    least_blocks: int | None = None,
) -> Plan | None:
    """The plan for these options; None for rules that do not cut the network.

    Args:
        least_blocks: how many blocks there are at least; None is two wherever that is possible.

    Raises:
        PlanError: no plan fits, or the given one is for another network.
        RuleError: more than one of the options is given, or the rule takes none.
    """
    planned = check_plan_options(blueprint.rule, budget=budget, rho=rho, plan=plan)
    if not planned:
        return None
    if plan == PAPER:
        return Planner(blueprint).with_cuts(paper_cuts(blueprint.spec))
    if isinstance(plan, Plan | Mapping | str | Path):
        return given_plan(blueprint, read_plan(plan))
    if plan is not None:
        return Planner(blueprint).with_cuts(notated_cuts(blueprint.spec, plan))

    def with_blocks(least: int) -> Plan:
        planner = Planner(blueprint, least_blocks=least)
        allowed = allowed_bytes(planner.whole_bytes, budget=budget, rho=rho)
        try:
            return planner.within(allowed)
        except PlanError:
            if budget is not None or rho is not None:
                raise
            return planner.smallest()

    return prefer_two_blocks(blueprint, least_blocks, with_blocks)


def given_plan(blueprint: Blueprint, plan: Plan) -> Plan:
    """`plan` with its bytes in `blueprint`'s setting, metered again if they are those of another setting.

    Raises:
        PlanError: the plan is for another network.
    """
    plan.check(blueprint.spec)
    if (
        plan.metered_bytes is not None
        and plan.batch_size == blueprint.batch_size
        and plan.setting == setting_of(blueprint)
    ):
        return plan
    return Planner(blueprint).with_cuts(blueprint.cuts(plan), [block.kept for block in plan.blocks])


def setting_of(blueprint: Blueprint) -> PlanSetting:
    """The setting of a plan for `blueprint`."""
    return PlanSetting(
        rule=blueprint.rule.name,
        steps=blueprint.rule.time.steps_to_meter(blueprint.steps),
        memory=blueprint.memory,
        precision=blueprint.precision,
        dtype=str(blueprint.dtype).removeprefix("torch."),
        optimizer=blueprint.optimizer.name,
        neuron=blueprint.spec.neuron.kind,
        norm=blueprint.spec.norm,
        averaged=blueprint.average_decay is not None,
        accumulates=blueprint.accumulate > 1,
        frozen=blueprint.freeze,
    )


def check_plan_options(
    rule: Rule, *, budget: int | str | None = None, rho: float | None = None, plan: PlanLike | None = None
) -> bool:
    """Check the options of a plan. Returns True if `rule` cuts the network by a plan.

    Raises:
        RuleError: an option is given for a rule without plans, or more than one of the options is given.
    """
    given = [name for name, value in (("budget", budget), ("rho", rho), ("plan", plan)) if value is not None]
    planned = isinstance(rule.space, Planned)
    if len(given) > 1 or (given and not planned):
        raise RuleError(
            "plan options",
            got=f"{' and '.join(given)} with rule {rule.name}",
            expected="at most one of budget, rho and plan, with a rule that cuts the network",
            todo="leave out the others, or use rule stdl",
        )
    return planned


def allowed_bytes(whole_bytes: int, *, budget: int | str | None = None, rho: float | None = None) -> int:
    """The budget in bytes: `budget`, or `rho` as a share of the uncut network's bytes, by default ρ = 0.7.

    Raises:
        PlanError: the text is no number of bytes, or the share is not positive.
    """
    if budget is not None:
        return parse_bytes(budget)
    return round(_ratio(DEFAULT_RHO if rho is None else rho) * whole_bytes)


def read_plan(plan: Plan | Mapping[str, Any] | str | Path) -> Plan:
    """A plan from its document or the document's path."""
    if isinstance(plan, Plan):
        return plan
    return Plan.from_dict(plan) if isinstance(plan, Mapping) else Plan.load(plan)


class Planner:
    """Plans for one blueprint: searches with measured layers, decides with metered learners.

    Args:
        least_blocks: least number of blocks of a plan.
        keeping: True to let plans of lean mode keep outputs of convolutions where that needs less memory.
    """

    def __init__(self, blueprint: Blueprint, *, least_blocks: int = 1, keeping: bool = False) -> None:
        self.blueprint = blueprint
        meter = LayerMeter.of(blueprint)
        may_keep = blueprint.is_lean and (keeping or blueprint.memory == "lean")
        kept = LayerMeter.of(dataclasses.replace(blueprint, memory="kept")) if may_keep else None
        options = {"least_blocks": least_blocks, "other_bytes": meter.other_bytes}
        self._partitioner = Partitioner(blueprint.spec, meter, kept_cost_of=kept if keeping else None, **options)
        self._predictor = Partitioner(blueprint.spec, meter, kept_cost_of=kept, **options)
        self._keeping = keeping and kept is not None
        self._least_blocks = least_blocks
        self.whole_bytes = _whole_bytes(dataclasses.replace(blueprint, rule=blueprint.rule.uncut(), memory="plain"))

    @functools.cached_property
    def _smallest(self) -> Plan:
        least = self._partitioner.smallest_budget
        cuts = self._partitioner.deepest(least)
        # The budget may be that of another part than the layers' steps, which then seem to fit without kept outputs.
        plan = min((self._metered(cuts, least), self._keeping_least(cuts)), key=lambda one: one.total_bytes)
        return dataclasses.replace(plan, budget_bytes=plan.total_bytes)

    def smallest(self) -> Plan:
        """The plan with the least memory; its budget is its own peak."""
        return self._smallest

    def within(self, budget_bytes: int) -> Plan:
        """The plan with the fewest blocks whose metered peak is at most `budget_bytes`.

        Where the additive model was too low, the search runs again with a budget lowered by the metered excess. Where
        it is too high to find any plan, the smallest plan is metered.

        Raises:
            PlanError: there is none; the message names the smallest budget that works.
        """
        if self._least_blocks == 1:
            # No plan has fewer blocks, and a search would measure the layers of all possible auxiliary networks.
            uncut = self._uncut_within(budget_bytes)
            if uncut is not None:
                return uncut
        # Where there is memory to spare, a search would measure layers of every auxiliary network.
        if latest := self._partitioner.latest(budget_bytes):
            plan = self._metered(latest, budget_bytes)
            if plan.total_bytes <= budget_bytes:
                return dataclasses.replace(plan, budget_bytes=budget_bytes)
        least = self._partitioner.smallest_budget
        allowed = max(budget_bytes, least)
        while allowed > least:
            plan = self._metered(self._partitioner.deepest(allowed), allowed)
            excess = plan.total_bytes - budget_bytes
            if excess <= 0:
                return dataclasses.replace(plan, budget_bytes=budget_bytes)
            # With any budget from this plan's prediction on, the search would find it again.
            kept = [block.kept for block in plan.blocks]
            allowed = self._predictor.peak(self.blueprint.cuts(plan), kept) - excess
        if self._smallest.total_bytes <= budget_bytes:
            return dataclasses.replace(self._smallest, budget_bytes=budget_bytes)
        raise PlanError(
            "memory budget",
            got=f"{budget_bytes} bytes",
            expected=f"at least {self._smallest.total_bytes} bytes, around layer {self._partitioner.largest_layer}",
            todo="allow more memory, or use a smaller batch or smaller frames",
        )

    def with_cuts(self, cuts: Sequence[Cut], kept: Sequence[Sequence[int]] | None = None) -> Plan:
        """The plan with these cuts, its bytes predicted and metered.

        Args:
            kept: in lean mode, for each block the layers whose convolutions' outputs are kept; None for none.

        Raises:
            PlanError: the cuts do not cover the network, or an auxiliary network has other classes.
        """
        spec = self.blueprint.spec
        chosen = [()] * len(cuts) if kept is None else [tuple(layers) for layers in kept]
        blocks = tuple(
            PlannedBlock(
                cut.start,
                cut.stop,
                spec.slice(cut.start, cut.stop).notation,
                cut.auxiliary.notation if cut.auxiliary else None,
                predicted,
                kept=layers,
            )
            for cut, predicted, layers in zip(cuts, self._predictor.predict(cuts, chosen), chosen, strict=True)
        )
        plan = Plan(
            network=spec.notation,
            input_shape=spec.input_shape,
            batch_size=self.blueprint.batch_size,
            blocks=blocks,
            whole_bytes=self.whole_bytes,
            setting=setting_of(self.blueprint),
        )
        plan.check(spec)
        return metered_plan(self.blueprint, plan)

    def _metered(self, cuts: Sequence[Cut], allowed_bytes: int) -> Plan:
        """The plan with these cuts; outputs are kept if the prediction without them does not fit."""
        nothing = [()] * len(cuts)
        if self._keeping and self._predictor.peak(cuts, nothing) > allowed_bytes:
            return self._keeping_least(cuts)
        return self.with_cuts(cuts)

    def _keeping_least(self, cuts: Sequence[Cut]) -> Plan:
        """The plan with these cuts, its outputs kept where that needs least memory; with none kept if none may be."""
        return self.with_cuts(cuts, [self._partitioner.least_kept(cut) for cut in cuts] if self._keeping else None)

    def _uncut_within(self, budget_bytes: int) -> Plan | None:
        cut = Cut(0, len(self.blueprint.spec.layers), None)
        plan = self.with_cuts([cut])
        if self._keeping and plan.total_bytes > budget_bytes:
            plan = min((plan, self._keeping_least([cut])), key=lambda one: one.total_bytes)
        return dataclasses.replace(plan, budget_bytes=budget_bytes) if plan.total_bytes <= budget_bytes else None


# Plans for several modes and budgets of one network have the same.
@remembered(int, whole_number, most=64)
def _whole_bytes(blueprint: Blueprint) -> int:
    return measure_learner(blueprint, None)[0].peak_bytes


def metered_plan(blueprint: Blueprint, plan: Plan) -> Plan:
    """`plan` with its bytes and every block's metered on the built learner."""
    found = planned_footprint(blueprint, plan)
    blocks = [
        dataclasses.replace(block, metered_bytes=peak) for block, peak in zip(plan.blocks, found.blocks, strict=True)
    ]
    return dataclasses.replace(plan, blocks=tuple(blocks), metered_bytes=found.peak_bytes)


def _ratio(rho: float) -> float:
    if not (is_number(rho) and rho > 0):
        raise PlanError("rho", got=repr(rho), expected="a positive share, such as 0.7", todo="change rho")
    return rho
