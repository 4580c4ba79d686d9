"""`stdl-events plan`: cuts of a network for a memory budget, and their costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options import one_of, parse_shape
from stdl_events.cli.output import messages, print_json, results
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, OPTIMIZERS

if TYPE_CHECKING:
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.memory.choose_mode import Choice
    from stdl_events.plan.plan import Plan

BAR_WIDTH = 40


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("plan")(plan)


def plan(
    network: Annotated[str, typer.Option(help="A name such as resnet18, or notation such as 64C3-AP2-128R(s2).")],
    input: Annotated[str, typer.Option(help="One frame, CHANNELSxHEIGHTxWIDTH, such as 2x128x128.")],
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences per batch.")] = 100,
    budget: Annotated[str | None, typer.Option(help="Memory that training may use, such as 8GB or 8GiB.")] = None,
    rho: Annotated[
        float | None, typer.Option(help="The budget as a share of the uncut network's memory, trained online.")
    ] = None,
    given: Annotated[
        str | None, typer.Option("--plan", metavar="paper|FILE", help="Show the paper's plan, or that of a JSON file.")
    ] = None,
    optimizer: Annotated[str, one_of(OPTIMIZERS, "Its state is counted.")] = DEFAULT_OPTIMIZER,
    chart: Annotated[Path | None, typer.Option(help="Also draw the layers and the cuts into this PNG file.")] = None,
    least_blocks: Annotated[int, typer.Option(min=1, help="Cut into at least this many blocks.")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Plan for ordinary autograd instead of lean mode.")] = False,
    auto: Annotated[
        bool, typer.Option("--auto", help="Choose the fastest mode that fits: lean, with as many saved outputs as fit.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Cut a network into blocks that each fit a memory budget, with the auxiliary networks they learn from.

    Fewest blocks first, then the deepest and widest auxiliary networks that still fit. Without --budget, --rho or
    --plan, the smallest share from 0.7 up with a feasible plan is taken. Bytes are predicted from measured
    layers and then metered on the whole training step; GB is 10^9 bytes. No GPU is needed: tensors without data are
    counted. Shares are of the memory in plain mode. In lean mode, the default, many networks fit without a cut.

    With --auto, the other modes that fit are listed too: fewest blocks first, then fewest multiply-accumulates.
    Convolution outputs that fit into the budget are saved instead of recomputed.

    Example: stdl-events plan --network resnet18 --input 3x32x32 --classes 10 --batch 512 --rho 0.7 --plain
    """
    from stdl_events.errors import RuleError
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.learning.losses import InstantaneousLoss
    from stdl_events.learning.optimizers import OptimizerSpec
    from stdl_events.learning.rules import get_rule
    from stdl_events.memory.choose_mode import choose_fastest
    from stdl_events.memory.choose_plan import PAPER, choose_plan, metered_plan
    from stdl_events.network.zoo import parse_network

    if auto and (plain or given is not None):
        raise RuleError(
            "plan options",
            got="--auto with " + ("--plain" if plain else "--plan"),
            expected="--auto by itself or with --budget, --rho or --least-blocks",
            todo="leave out one of them",
        )
    spec = parse_network(network, input_shape=parse_shape(input), classes=classes)
    blueprint = Blueprint(
        spec=spec,
        rule=get_rule("stdl"),
        batch_size=batch,
        steps=2,
        loss=InstantaneousLoss(),
        optimizer=OptimizerSpec(optimizer),
        memory="plain" if plain else "lean",
    )
    choice = None
    with messages.status("metering layers"):
        if auto:
            choice = choose_fastest(blueprint, budget=budget, rho=rho, least_blocks=least_blocks)
        chosen = (
            choice.chosen.plan
            if choice is not None
            else choose_plan(blueprint, budget=budget, rho=rho, plan=given, least_blocks=least_blocks)
        )
        assert chosen is not None, "stdl is a planned rule"
        if given not in (None, PAPER):
            chosen = metered_plan(blueprint, chosen)
        needs = [] if json and chart is None else _layer_bytes(blueprint)
    if chart is not None:
        from stdl_events.analysis.plan_picture import plan_picture

        plan_picture(chart, chosen, list(map(str, spec.layers)), needs)
    if json:
        print_json(chosen.to_dict() | ({} if choice is None else _choice_document(choice)))
        return
    _print_plan(chosen)
    if choice is not None:
        _print_alternatives(choice)
    _print_layers(chosen, list(map(str, spec.layers)), needs)


def _print_plan(plan: "Plan") -> None:
    from rich.table import Table

    from stdl_events.memory.meter import format_bytes

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

    from stdl_events.memory.meter import format_bytes

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
    from stdl_events.memory.meter import format_bytes

    largest = max(layer_bytes)
    width = max(map(len, layers))
    starts: dict[int, Any] = {block.start: number for number, block in enumerate(plan.blocks, 1)}
    results.print("\none step of each layer alone")
    for index, (name, need) in enumerate(zip(layers, layer_bytes, strict=True)):
        if index in starts:
            results.print(f"── block {starts[index]} " + "─" * (width + BAR_WIDTH))
        bar = "█" * max(1, round(BAR_WIDTH * need / largest))
        results.print(f"{name:<{width}}  {bar} {format_bytes(need)}")
