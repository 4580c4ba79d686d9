"""`stdl-events plan`: cuts of a network for a memory budget, and their costs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.data_options import NO_OPTIONS, DataOptions, with_data_options
from stdl_events.cli.options.learner_options import (
    Asked,
    Auto,
    Batch,
    Budget,
    BudgetOf,
    Classes,
    Data,
    GivenPlan,
    Input,
    LeastBlocks,
    Network,
    NeuronKind,
    OptimizerKind,
    Precision,
    Rho,
    RuleName,
    RuleOptions,
    Steps,
    Target,
    memory_mode,
)
from stdl_events.cli.options.recipe_options import Assignments, ConfigFile, Variant
from stdl_events.cli.output import print_json, results
from stdl_events.cli.real_step import PLANNING
from stdl_events.cli.working import working

if TYPE_CHECKING:
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.learning.grid import Rule
    from stdl_events.memory.choose_mode import Choice
    from stdl_events.plan.plan import Plan

BAR_WIDTH = 40


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("plan")(with_data_options(plan))


def plan(
    recipe: Target = None,
    assignments: Assignments = None,
    variant: Variant = None,
    config: ConfigFile = None,
    data: Data = None,
    data_options: DataOptions = NO_OPTIONS,
    network: Network = None,
    input: Input = None,
    classes: Classes = None,
    batch: Batch = None,
    steps: Steps = None,
    rule: RuleName = None,
    option: RuleOptions = None,
    budget: Budget = None,
    budget_of: BudgetOf = None,
    rho: Rho = None,
    given: GivenPlan = None,
    neuron: NeuronKind = None,
    precision: Precision = None,
    optimizer: OptimizerKind = None,
    chart: Annotated[Path | None, typer.Option(help="Also draw the layers and the cuts into this PNG file.")] = None,
    least_blocks: LeastBlocks = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plan for ordinary autograd instead of lean mode.")] = False,
    auto: Auto = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Cut a network into blocks that each fit a memory budget, with the auxiliary networks they learn from.

    The network of a recipe or a run, whose settings the options change; or a network by itself, given by --network,
    --input and --classes. A recipe's frames and classes come from its dataset or from the recordings in --data.

    Fewest blocks first, but two wherever network and memory allow it; then the deepest and widest auxiliary networks
    that still fit. Without --budget, --rho or --plan, the smallest share from 0.7 up with a feasible plan is
    taken. Bytes are predicted from measured layers and then metered on the whole training step; GB is 10^9 bytes. No
    GPU is needed: tensors without data are counted. Shares are of the memory in plain mode.

    Costs are kept in the user's cache folder for the next time; STDL_EVENTS_CACHE=off keeps none.

    With --auto, the other modes that fit are listed too: fewest blocks first, then fewest multiply-accumulates.
    Convolution outputs that fit into the budget are saved instead of recomputed.

    Examples:

    stdl-events plan folder --data my_recordings --set learning.budget=2GB

    stdl-events plan --network resnet18 --input 3x32x32 --classes 10 --batch 512 --rho 0.7 --plain
    """
    from stdl_events.errors import RuleError

    if auto and (plain or given is not None):
        raise RuleError(
            "plan options",
            got="--auto with " + ("--plain" if plain else "--plan"),
            expected="--auto by itself or with --budget, --rho or --least-blocks",
            todo="leave out one of them",
        )
    wanted = Asked(recipe, assignments, data, network, input, classes, variant, config, data_options).options(
        option,
        rule=rule,
        batch_size=batch,
        steps=steps,
        memory=memory_mode(False if plain else None, auto),
        budget=budget,
        budget_of=budget_of,
        rho=rho,
        plan=given,
        least_blocks=least_blocks,
        neuron=neuron,
        precision=precision,
        optimizer=optimizer,
    )
    with working("metering layers", quiet=json):
        blueprint, chosen, choice = _planned(wanted)
        needs = [] if json and chart is None else _layer_bytes(blueprint)
    layers = list(map(str, blueprint.spec.layers))
    if chart is not None:
        from stdl_events.analysis.plan_picture import plan_picture

        plan_picture(chart, chosen, layers, needs)
    if json:
        from stdl_events.memory.describe import plan_document

        print_json(plan_document(chosen, blueprint.rule) | ({} if choice is None else _choice_document(choice)))
        return
    _print_plan(chosen, blueprint.rule)
    if choice is not None:
        _print_alternatives(choice)
    _print_layers(chosen, layers, needs)


def _planned(wanted: dict[str, Any]) -> "tuple[Blueprint, Plan, Choice | None]":
    """Return the blueprint and its metered plan; with mode auto, the alternatives too."""
    from stdl_events.build import plan_learner
    from stdl_events.errors import RuleError
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.learning.grid import Planned
    from stdl_events.learning.registries import DEFAULT_PRECISION, STEP_PRECISIONS
    from stdl_events.memory.allowance import step_budget_of
    from stdl_events.memory.choose_mode import choose_fastest

    if STEP_PRECISIONS[wanted.get("precision", DEFAULT_PRECISION)].candidates:
        wanted = wanted | {"precision": plan_learner(**wanted)[0].precision}
    ways_to_cut = {name: wanted.get(name) for name in ("budget", "rho", "least_blocks")}
    options = {name: value for name, value in wanted.items() if name not in PLANNING}
    blueprint = Blueprint.of(**options)
    if not isinstance(blueprint.rule.space, Planned):
        raise RuleError(
            f"rule {blueprint.rule.name}",
            got="a rule that makes no plan",
            expected="one that cuts the network for a budget, such as stdl",
            todo="use --rule stdl; stdl-events memory says what other rules need",
        )
    if wanted.get("memory") == "auto" and wanted.get("plan") is None:
        with step_budget_of(blueprint, ways_to_cut.pop("budget"), wanted.get("budget_of", "step")) as allowed:
            choice = choose_fastest(blueprint, budget=allowed, **ways_to_cut)
        return dataclasses.replace(blueprint, memory=choice.chosen.memory), choice.chosen.plan, choice
    blueprint, plan = plan_learner(**wanted)
    assert plan is not None, "the rule plans"
    return blueprint, plan, None


def _print_plan(plan: "Plan", rule: "Rule") -> None:
    from rich.table import Table

    from stdl_events.learning.registries import DEFAULT_PRECISION
    from stdl_events.memory.describe import plan_note
    from stdl_events.sizes import format_bytes

    table = Table(title=f"{plan.network}, batch {plan.batch_size}")
    for heading in ("block", "subnetwork", "auxiliary network"):
        table.add_column(heading, overflow="fold")
    for heading in ("predicted", "metered"):
        table.add_column(heading, justify="right")
    for number, block in enumerate(plan.blocks, 1):
        metered = format_bytes(block.metered_bytes) if block.metered_bytes is not None else "-"
        table.add_row(
            str(number), block.subnetwork, block.auxiliary or "-", format_bytes(block.predicted_bytes), metered
        )
    results.print(table)
    budget = f", budget {format_bytes(plan.budget_bytes)}" if plan.budget_bytes is not None else ""
    results.print(
        f"peak {format_bytes(plan.total_bytes)}, {plan.rho:.3f} of the {format_bytes(plan.whole_bytes)} that the uncut "
        f"network needs trained online{budget}"
    )
    if plan.setting is not None and plan.setting.precision != DEFAULT_PRECISION:
        results.print(f"precision {plan.setting.precision}")
    if note := plan_note(plan, rule):
        results.print(note)


def _choice_document(choice: "Choice") -> dict[str, Any]:
    rows = [
        {
            "memory": alternative.memory,
            "blocks": len(alternative.plan.blocks),
            "kept_layers": alternative.kept_layers,
            "total_bytes": alternative.plan.total_bytes,
            "macs_per_step": alternative.macs,
            "fits": alternative.fits,
            "chosen": alternative is choice.chosen,
        }
        for alternative in choice.alternatives
    ]
    return {"memory": choice.chosen.memory, "alternatives": rows}


def _print_alternatives(choice: "Choice") -> None:
    from rich.table import Table

    from stdl_events.sizes import format_bytes

    table = Table(title="ways to train, multiply-accumulates per time step of a batch")
    for heading in ("", "mode", "blocks", "layers kept", "peak", "GMAC", "fits"):
        table.add_column(heading, justify="left" if heading in ("", "mode", "fits") else "right")
    for alternative in choice.alternatives:
        table.add_row(
            "→" if alternative is choice.chosen else "",
            alternative.memory,
            str(len(alternative.plan.blocks)),
            str(alternative.kept_layers),
            format_bytes(alternative.plan.total_bytes),
            f"{alternative.macs / 1e9:.2f}",
            "yes" if alternative.fits else "no",
        )
    results.print(table)


def _layer_bytes(blueprint: "Blueprint") -> list[int]:
    """Return the memory of one step of each layer alone."""
    from stdl_events.memory.layer_costs import LayerMeter
    from stdl_events.plan.cost import working_bytes

    meter = LayerMeter.of(blueprint)
    return [working_bytes([meter(layer, True)]) for layer in blueprint.spec.layers]


def _print_layers(plan: "Plan", layers: Sequence[str], layer_bytes: Sequence[int]) -> None:
    """Print a bar per layer, with the cuts as rules between them."""
    from stdl_events.sizes import format_bytes

    largest = max(layer_bytes)
    width = max(map(len, layers))
    starts: dict[int, Any] = {block.start: number for number, block in enumerate(plan.blocks, 1)}
    results.print("\none step of each layer alone")
    for index, (name, need) in enumerate(zip(layers, layer_bytes, strict=True)):
        if index in starts:
            results.print(f"── block {starts[index]} " + "─" * (width + BAR_WIDTH))
        bar = "█" * max(1, round(BAR_WIDTH * need / largest))
        results.print(f"{name:<{width}}  {bar} {format_bytes(need)}")
