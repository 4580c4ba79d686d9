"""The fastest way to train within a memory budget: which mode, how many blocks, and which outputs stay.

Fewer blocks come first, since they couple better: what can be made again is made again before the network is cut. With
equally many blocks, the fewest multiply-accumulates are fastest: nothing made again. Two modes do that: plain mode, and
lean mode with all outputs kept, which is the quicker (tests/benchmarks/bench_training.py) and needs less memory.
"""

import dataclasses
from collections.abc import Sequence

from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.memory.choose_plan import Planner, allowed_bytes, check_plan_options, metered_plan
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.memory.macs import forward_macs, step_macs
from stdl_events.plan.cost import LayerCost, chain_costs, working_bytes
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan


@dataclasses.dataclass(frozen=True)
class Alternative:
    """A way to train.

    Args:
        memory: the mode.
        plan: its bytes are those in this mode.
        macs: multiply-accumulates per time step of a batch.
        fits: whether the metered peak is within the budget.
    """

    memory: MemoryMode
    plan: Plan
    macs: float
    fits: bool

    @property
    def kept_layers(self) -> int:
        """Layers whose convolutions are not made again."""
        return sum(len(block.kept) for block in self.plan.blocks)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What `find_fastest` looked at, and what it took."""

    alternatives: tuple[Alternative, ...]
    chosen: Alternative


def choose_fastest(
    blueprint: Blueprint, *, budget: int | str | None = None, rho: float | None = None, least_blocks: int = 1
) -> Choice:
    """`find_fastest` with the budget as `choose_plan` understands it: by default ρ = 0.7, or more if need be.

    Raises:
        PlanError: nothing fits; the message names the smallest budget that does.
        RuleError: both budget and rho are given, or the rule does not cut the network.
    """
    check_plan_options(blueprint.rule, budget=budget, rho=rho)
    plain = Planner(dataclasses.replace(blueprint, memory="plain"))
    allowed = allowed_bytes(plain.whole_bytes, budget=budget, rho=rho)
    try:
        return find_fastest(blueprint, allowed, least_blocks=least_blocks)
    except PlanError:
        if budget is not None or rho is not None:
            raise
        smallest = Planner(dataclasses.replace(blueprint, memory="lean"), least_blocks=least_blocks).smallest()
        return find_fastest(blueprint, smallest.total_bytes, least_blocks=least_blocks)


def resolve_fastest(
    blueprint: Blueprint, *, budget: int | str | None = None, rho: float | None = None, least_blocks: int = 1
) -> tuple[Blueprint, Plan | None]:
    """The mode and the plan of `choose_fastest`; for rules that make no plan, and fit into nothing, all is kept.

    Raises:
        PlanError, RuleError: as `choose_fastest`.
    """
    if not check_plan_options(blueprint.rule, budget=budget, rho=rho):
        kept = dataclasses.replace(blueprint, memory="kept")
        return kept if kept.is_lean else dataclasses.replace(blueprint, memory="plain"), None
    fastest = choose_fastest(blueprint, budget=budget, rho=rho, least_blocks=least_blocks).chosen
    return dataclasses.replace(blueprint, memory=fastest.memory), fastest.plan


def find_fastest(blueprint: Blueprint, budget_bytes: int, *, least_blocks: int = 1) -> Choice:
    """The fastest of plain mode and lean mode with what fits kept, among those with the fewest blocks.

    Raises:
        PlanError: nothing fits; the message names the smallest budget that does.
    """
    modes: list[MemoryMode] = ["plain", "lean"]
    tried: list[Alternative] = []
    for memory in modes:
        own = dataclasses.replace(blueprint, memory=memory)
        if memory == "lean" and not own.is_lean:
            continue
        planner = Planner(own, least_blocks=least_blocks)
        plan = _within(planner, budget_bytes)
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


def keep_outputs(blueprint: Blueprint, plan: Plan, budget_bytes: int) -> Plan:
    """`plan`, a metered one for lean mode, with as many outputs of convolutions kept as the budget has room for.

    Layers are taken in the order of how much work a kept byte saves. The additive model says what fits, and the meter
    decides: as long as it finds a block too large, the layer that the block took last is given up again.
    """
    lean = LayerMeter.of(blueprint)
    kept = LayerMeter.of(dataclasses.replace(blueprint, memory="kept"))
    room = [_Room(blueprint, cut, lean, kept) for cut in blueprint.cuts(plan)]
    taken = [
        block_room.fill(budget_bytes - (block.metered_bytes or block.predicted_bytes))
        for block_room, block in zip(room, plan.blocks, strict=True)
    ]
    while True:
        blocks = [
            dataclasses.replace(
                block,
                kept=tuple(sorted(layers)),
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
    """What one block would need with some of its layers' outputs kept."""

    def __init__(self, blueprint: Blueprint, cut: Cut, lean: LayerMeter, kept: LayerMeter) -> None:
        layers = (*blueprint.spec.layers[cut.start : cut.stop], *(cut.auxiliary.layers if cut.auxiliary else ()))
        self._lean, self._kept = chain_costs(layers, lean), chain_costs(layers, kept)
        self._border = None if cut.auxiliary is None else cut.stop - cut.start
        self._worth = [
            _macs_per_byte(more.saved - less.saved, forward_macs(layer, blueprint.spec))
            for less, more, layer in zip(self._lean, self._kept, layers, strict=True)
        ]

    def fill(self, free_bytes: int) -> list[int]:
        """The layers to keep, worthiest first, so that the block's step needs at most `free_bytes` more than lean."""
        allowed = working_bytes(self._lean, self._border) + free_bytes
        taken: list[int] = []
        for index in sorted(range(len(self._lean)), key=lambda index: -self._worth[index]):
            if self._worth[index] > 0 and working_bytes(self._with([*taken, index]), self._border) <= allowed:
                taken.append(index)
        return taken

    def more(self, taken: Sequence[int]) -> int:
        """Bytes that the block's step needs beyond those of lean mode."""
        return working_bytes(self._with(taken), self._border) - working_bytes(self._lean, self._border)

    def _with(self, taken: Sequence[int]) -> list[LayerCost]:
        return [self._kept[index] if index in taken else cost for index, cost in enumerate(self._lean)]


def _macs_per_byte(saved_bytes: int, macs: int) -> float:
    return macs / saved_bytes if saved_bytes > 0 else 0.0


def _within(planner: Planner, budget_bytes: int) -> Plan:
    try:
        return planner.within(budget_bytes)
    except PlanError:
        return planner.smallest()


def _alternative(blueprint: Blueprint, plan: Plan, budget_bytes: int) -> Alternative:
    return Alternative(blueprint.memory, plan, step_macs(blueprint, plan), plan.total_bytes <= budget_bytes)
