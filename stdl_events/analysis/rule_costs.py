"""The costs of learning rules on one network: from a rule's blocks and intervals to `analysis.cost`."""

import dataclasses
from typing import Any

from stdl_events.analysis.cost import Block, Cost, Schedule, classifier_of, memory_by_equation, training_cost, units_of
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Layerwise, Planned, Rule
from stdl_events.learning.rules import get_rule
from stdl_events.learning.traces import state_entries
from stdl_events.memory.choose_plan import choose_plan
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.cost import chain_costs, fixed_bytes
from stdl_events.plan.partition import Cut


@dataclasses.dataclass(frozen=True)
class RuleCost:
    """The costs of a rule, and of BPTT on the same network.

    Args:
        blocks: number of blocks.
        memory_by_equation: bytes by equations (8) to (10); `cost` holds the metered bytes.
    """

    rule: Rule
    blocks: int
    cost: Cost
    bptt: Cost
    memory_by_equation: float

    @property
    def share(self) -> Cost:
        """Return each cost as a share of BPTT's."""
        return self.cost.relative_to(self.bptt)

    def figure_of_merit(self, accuracy_loss: float) -> float:
        """Equation (17); less is better."""
        return self.cost.figure_of_merit(self.bptt, accuracy_loss)


class RuleMeter:
    """Costs of rules on one network, in plain mode.

    Args:
        spec: the network.
        steps: T.
        activity: share of inputs that spike in a step.
        rho: for rules that plan: memory as a share of the uncut network; None for the smallest from 0.7 on.
        options: others of `Blueprint.of`: batch_size, the optimiser.
    """

    def __init__(
        self, spec: NetworkSpec, *, steps: int, activity: float, rho: float | None = None, **options: Any
    ) -> None:
        self.spec, self.steps, self.activity, self.rho = spec, steps, activity, rho
        self._options = options
        self._bptt: dict[str, Cost] = {}

    def __call__(self, rule: Rule) -> RuleCost:
        """Return the cost of `rule`, with the loss and the kind of classifier that it learns with.

        Raises:
            PlanError: no plan has the share ρ.
        """
        if rule.loss not in self._bptt:
            self._bptt[rule.loss] = self._measure(get_rule("bptt"), rule.loss)[0]
        cost, blocks, by_equation = self._measure(rule, rule.loss)
        return RuleCost(rule, blocks, cost, self._bptt[rule.loss], by_equation)

    def _measure(self, rule: Rule, loss: str) -> tuple[Cost, int, float]:
        blueprint = Blueprint.of(self.spec, rule, steps=self.steps, loss=loss, memory="plain", **self._options)
        spec = blueprint.spec
        plan = choose_plan(blueprint, rho=self.rho if isinstance(rule.space, Planned) else None)
        cuts, meter = blueprint.cuts(plan), LayerMeter.of(blueprint)
        layer_costs = [
            chain_costs((*spec.layers[cut.start : cut.stop], *(cut.auxiliary.layers if cut.auxiliary else ())), meter)
            for cut in cuts
        ]
        schedule = _schedule(rule, self.steps)
        by_equation = memory_by_equation(
            [sum(layer.saved for layer in chain) for chain in layer_costs],
            schedule.interval,
            sum(map(fixed_bytes, layer_costs)),
        )
        cost = training_cost(
            [_block(rule, spec, cut) for cut in cuts],
            schedule,
            batch_size=blueprint.batch_size,
            activity=self.activity,
            memory_bytes=measure_learner(blueprint, plan)[0].peak_bytes,
        )
        return cost, len(cuts), by_equation


def _schedule(rule: Rule, steps: int) -> Schedule:
    time = rule.time
    interval = min(time.chunk_steps or steps, steps)
    intervals = -(-steps // interval)
    return Schedule(
        steps,
        interval,
        min(time.backward_chunks or intervals, intervals),
        0 if time.trace is None else state_entries(time.trace),
    )


def _block(rule: Rule, spec: NetworkSpec, cut: Cut) -> Block:
    """Return the block; an auxiliary network's layers count as its own."""
    ending = spec if cut.auxiliary is None else cut.auxiliary
    own = spec.layers[cut.start : cut.stop]
    layers = own[:-1] if cut.auxiliary is None else (*own, *cut.auxiliary.layers[:-1])
    random = rule.space.random if isinstance(rule.space, Layerwise) else "none"
    learns = random == "none" or (random == "auxiliary" and cut.auxiliary is None)
    return Block(units_of(layers, first=cut.start == 0), classifier_of(ending), learns)
