"""`build_learner`: a learner for a network, a rule and a memory budget."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from stdl_events.errors import RuleError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.learning.grid import Rule
from stdl_events.learning.named_devices import named_device
from stdl_events.learning.registries import DEFAULT_PRECISION, STEP_PRECISIONS
from stdl_events.memory.allowance import BudgetOf, step_budget_of
from stdl_events.memory.choose_mode import resolve_fastest
from stdl_events.memory.choose_plan import PlanLike, choose_plan
from stdl_events.memory.choose_precision import choose_precision, precision_of
from stdl_events.memory.cost_store import costs_kept
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

if TYPE_CHECKING:
    from stdl_events.learning.learner import Learner

AnyMemory: TypeAlias = MemoryMode | Literal["auto"]
MEMORY_MODES = (*get_args(MemoryMode), "auto")


def build_learner(
    spec: NetworkSpec,
    rule: str | Rule = "stdl",
    *,
    batch_size: int,
    steps: int,
    budget: int | str | None = None,
    rho: float | None = None,
    plan: PlanLike | None = None,
    least_blocks: int | None = None,
    memory: AnyMemory = "lean",
    budget_of: BudgetOf = "step",
    **options: Any,
) -> "Learner":
    """A learner for `spec`: weights, blocks, auxiliary networks and optimiser.

    Args:
        spec: the network.
        rule: a name, see `list_rules`, or any other point of the grid as a `Rule`.
        batch_size: sequences per batch; the plan is made for it.
        steps: T, time steps per sequence.
        budget, rho, plan, least_blocks, memory, budget_of: see `plan_learner`.
        options: of the rule, the loss, the optimiser, the neuron and so on, see `Blueprint.of`.

    Raises:
        PlanError: no plan fits the budget, or the given plan is for another network.
        RuleError: the rule or one of its options is unknown, or the options contradict each other.
    """
    blueprint, chosen = plan_learner(
        spec,
        rule,
        batch_size=batch_size,
        steps=steps,
        budget=budget,
        rho=rho,
        plan=plan,
        least_blocks=least_blocks,
        memory=memory,
        budget_of=budget_of,
        **options,
    )
    return blueprint.build(chosen)


@costs_kept()
def plan_learner(
    spec: NetworkSpec,
    rule: str | Rule = "stdl",
    *,
    budget: int | str | None = None,
    rho: float | None = None,
    plan: PlanLike | None = None,
    least_blocks: int | None = None,
    memory: AnyMemory = "lean",
    budget_of: BudgetOf = "step",
    **options: Any,
) -> tuple[Blueprint, Plan | None]:
    """The blueprint and the plan of `build_learner` with the same options, for metering or display.

    Args:
        budget: for planned rules: allowed peak bytes of training, or text such as "8GB" or "8GiB".
        rho: the same as a share of the uncut network's peak, trained online in plain mode.
        plan: a `Plan`, its JSON as a mapping, the path of a JSON file, or "paper" for the published plan of a zoo's
            network. At most one of budget, rho and plan; without any, the smallest ρ >= 0.7 for which there is a plan.
        least_blocks: least number of blocks of a plan. None is two wherever the network can be cut and the memory
            allows it: with one block, STDL is SLTT.
        memory: a mode of `Blueprint.of`, or "auto" for the fastest that fits into the budget with the fewest blocks:
            usually lean with as many outputs kept as fit; the plan lists them.
        budget_of: "step" for a budget of the metered bytes; "process" for one of all that a process on the CPU takes:
            the clip, the step, and the allowance of `stdl_events.memory.allowance`.
        options: see `Blueprint.of`. precision="auto" is the first of fp32, bf16, int8-state and int8-state+bf16 whose
            plan fits into the budget or rho; a warning says which one is chosen, if not fp32, and why. With a plan it
            is the plan's.

    Returns:
        A plan of None for rules that do not plan.

    Raises:
        PlanError, RuleError: as `build_learner`.
    """
    if memory not in MEMORY_MODES:
        raise RuleError("memory mode", got=repr(memory), expected=" or ".join(MEMORY_MODES), todo="choose one of these")

    def planned_in(precision: str) -> tuple[Blueprint, Plan | None]:
        named = options | {"precision": precision}
        blueprint = Blueprint.of(spec, rule, memory="lean" if memory == "auto" else memory, **named)
        with step_budget_of(blueprint, budget, budget_of) as allowed:
            if memory == "auto" and plan is None:
                return resolve_fastest(blueprint, budget=allowed, rho=rho, least_blocks=least_blocks)
            return blueprint, choose_plan(blueprint, budget=allowed, rho=rho, plan=plan, least_blocks=least_blocks)

    precision = options.get("precision", DEFAULT_PRECISION)
    if not STEP_PRECISIONS[precision].candidates:
        return planned_in(precision)
    if plan is not None:
        return planned_in(precision_of(plan))
    device, is_bounded = named_device(options.get("device", "cpu")), budget is not None or rho is not None
    return choose_precision(precision, device, planned_in, is_bounded=is_bounded)
