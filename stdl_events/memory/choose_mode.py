"""The fastest way to train within a memory budget: memory mode, number of blocks, and kept outputs.

Fewer blocks come first, since they couple better: recomputation is preferred to a cut. With equally many blocks, the
fewest multiply-accumulates are fastest, which is no recomputation. Two modes have none: plain mode, and lean mode with
all outputs kept, which is faster (tests/benchmarks/bench_training.py) and needs less memory. Recomputation needs
temporaries, so keeping an output may need less memory too: the search covers every choice.
"""

import dataclasses
from collections.abc import Sequence

from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.memory.choose_plan import Planner, allowed_bytes, check_plan_options, metered_plan
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.memory.macs import forward_macs, step_macs
from stdl_events.memory.two_blocks import prefer_two_blocks
from stdl_events.plan.cost import chain_costs, preceding_of, working_bytes
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan


@dataclasses.dataclass(frozen=True)
class Alternative:
    """A mode with a plan.

    Args:
        memory: the mode.
        plan: a plan with its bytes in this mode.
        macs: multiply-accumulates per time step of a batch.
        fits: True if the metered peak is within the budget.
    """

    memory: MemoryMode
    plan: Plan
    macs: float
    fits: bool

    @property
    def kept_layers(self) -> int:
        """Number of layers whose convolutions are not recomputed."""
        return sum(len(block.kept) for block in self.plan.blocks)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The alternatives of `find_fastest`, and the chosen one."""

    alternatives: tuple[Alternative, ...]
    chosen: Alternative


def choose_fastest(
    blueprint: Blueprint, *, budget: int | str | None = None, rho: float | None = None, least_blocks: int | None = None
) -> Choice:
    """`find_fastest` with a budget as in `choose_plan`: by default ρ = 0.7, or the smallest that works.

    Raises:
        PlanError: nothing fits; the message names the smallest budget that does.
        RuleError: both budget and rho are given, or the rule does not cut the network.
    """
    check_plan_options(blueprint.rule, budget=budget, rho=rho)
    plain = Planner(dataclasses.replace(blueprint, memory="plain"))
    allowed = allowed_bytes(plain.whole_bytes, budget=budget, rho=rho)

    def with_blocks(least: int) -> Choice:
        try:
            return find_fastest(blueprint, allowed, least_blocks=least)
        except PlanError:
            if budget is not None or rho is not None:
                raise
            smallest = min(planner.smallest().total_bytes for planner in _planners(blueprint, least))
            return find_fastest(blueprint, smallest, least_blocks=least)

    return prefer_two_blocks(blueprint, least_blocks, with_blocks)


def resolve_fastest(
    blueprint: Blueprint, *, budget: int | str | None = None, rho: float | None = None, least_blocks: int | None = None
) -> tuple[Blueprint, Plan | None]:
    """The mode and the plan of `choose_fastest`; without recomputation for rules without plans.

    Raises:
        PlanError, RuleError: as `choose_fastest`.
    """
    if not check_plan_options(blueprint.rule, budget=budget, rho=rho):
        kept = dataclasses.replace(blueprint, memory="kept")
        return kept if kept.is_lean else dataclasses.replace(blueprint, memory="plain"), None
    fastest = choose_fastest(blueprint, budget=budget, rho=rho, least_blocks=least_blocks).chosen
    return dataclasses.replace(blueprint, memory=fastest.memory), fastest.plan


def find_fastest(blueprint: Blueprint, budget_bytes: int, *, least_blocks: int = 1) -> Choice:
    """The fastest among the fewest blocks: plain mode, or lean mode with as many outputs kept as fit.

    Raises:
        PlanError: nothing fits; the message names the smallest budget that does.
    """
    tried: list[Alternative] = []
    for planner in _planners(blueprint, least_blocks):
        own, plan = planner.blueprint, _within(planner, budget_bytes)
        tried.append(_alternative(own, plan, budget_bytes))
        if own.is_lean and tried[-1].fits:
            tried.append(_alternative(own, keep_outputs(own, plan, budget_bytes), budget_bytes))
    fitting = [alternative for alternative in tried if alternative.fits]
    if not fitting:
        raise PlanError(
            "memory budget",
            got=f"{budget_bytes} bytes",
            expected=f"at least {min(alternative.plan.total_bytes for alternative in tried)} bytes",
            todo="allow more memory, or use a smaller batch or smaller frames",
        )
    chosen = min(fitting, key=lambda way: (len(way.plan.blocks), way.macs, way.plan.total_bytes))
    return Choice(tuple(tried), chosen)


def _planners(blueprint: Blueprint, least_blocks: int) -> list[Planner]:
    """The planners of plain mode and, if the rule supports it, of lean mode with any outputs kept."""
    lean = dataclasses.replace(blueprint, memory="lean")
    plain = Planner(dataclasses.replace(blueprint, memory="plain"), least_blocks=least_blocks)
    return [plain, Planner(lean, least_blocks=least_blocks, keeping=True)] if lean.is_lean else [plain]


def keep_outputs(blueprint: Blueprint, plan: Plan, budget_bytes: int) -> Plan:
    """`plan`, a metered one for lean mode, with as many more outputs of convolutions kept as the budget allows.

    Layers are added in the order of multiply-accumulates saved per byte. The additive model predicts what fits, and the
    meter decides: as long as a block is metered too large, the layer added last to the block is removed.
    """
    lean = LayerMeter.of(blueprint)
    kept = LayerMeter.of(dataclasses.replace(blueprint, memory="kept"))
    room = [
        _Room(blueprint, cut, lean, kept, block.kept)
        for cut, block in zip(blueprint.cuts(plan), plan.blocks, strict=True)
    ]
    taken = [
        block_room.fill(budget_bytes - (block.metered_bytes or block.predicted_bytes))
        for block_room, block in zip(room, plan.blocks, strict=True)
    ]
    while True:
        blocks = [
            dataclasses.replace(
                block,
                kept=tuple(sorted((*block.kept, *layers))),
                predicted_bytes=block.predicted_bytes + block_room.more(layers),
            )
            for block, layers, block_room in zip(plan.blocks, taken, room, strict=True)
        ]
        found = metered_plan(blueprint, dataclasses.replace(plan, blocks=tuple(blocks)))
        over = [index for index, block in enumerate(found.blocks) if (block.metered_bytes or 0) > budget_bytes]
        if not over or not any(taken[index] for index in over):
            return found
        for index in over:
            taken[index] = taken[index][:-1]


class _Room:
    """The memory of one block with more of its layers' outputs kept than those of `before`."""

    def __init__(
        self, blueprint: Blueprint, cut: Cut, lean: LayerMeter, kept: LayerMeter, before: tuple[int, ...]
    ) -> None:
        layers = (*blueprint.spec.layers[cut.start : cut.stop], *(cut.auxiliary.layers if cut.auxiliary else ()))
        preceding = preceding_of(blueprint.spec.layers)[cut.start]
        self._lean, self._kept = chain_costs(layers, lean, preceding), chain_costs(layers, kept, preceding)
        self._before = before
        self._border = None if cut.auxiliary is None else cut.stop - cut.start
        self._worth = [
            _macs_per_byte(more.saved - less.saved, forward_macs(layer, blueprint.spec))
            for less, more, layer in zip(self._lean, self._kept, layers, strict=True)
        ]

    def fill(self, free_bytes: int) -> list[int]:
        """Further layers to keep, most work saved per byte first, for at most `free_bytes` more in the block's step."""
        allowed = self._need([]) + free_bytes
        taken: list[int] = []
        for index in sorted(range(len(self._lean)), key=lambda index: -self._worth[index]):
            if index in self._before or self._worth[index] <= 0:
                continue
            if self._need([*taken, index]) <= allowed:
                taken.append(index)
        return taken

    def more(self, taken: Sequence[int]) -> int:
        """Additional bytes of the block's step with the outputs of `taken` kept."""
        return self._need(taken) - self._need([])

    def _need(self, taken: Sequence[int]) -> int:
        kept = {*self._before, *taken}
        costs = [self._kept[index] if index in kept else cost for index, cost in enumerate(self._lean)]
        return working_bytes(costs, self._border)


def _macs_per_byte(saved_bytes: int, macs: int) -> float:
    return macs / saved_bytes if saved_bytes > 0 else 0.0


def _within(planner: Planner, budget_bytes: int) -> Plan:
    try:
        return planner.within(budget_bytes)
    except PlanError:
        return planner.smallest()


def _alternative(blueprint: Blueprint, plan: Plan, budget_bytes: int) -> Alternative:
    return Alternative(blueprint.memory, plan, step_macs(blueprint, plan), plan.total_bytes <= budget_bytes)
