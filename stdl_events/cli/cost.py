"""`stdl-events cost`: hardware costs of learning rules, relative to BPTT."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.data_options import NO_OPTIONS, DataOptions, with_data_options
from stdl_events.cli.options.learner_options import (
    Asked,
    Batch,
    Classes,
    Data,
    Input,
    Network,
    OptimizerKind,
    RuleOptions,
    Steps,
    Target,
    shared_options,
)
from stdl_events.cli.options.recipe_options import Assignments, ConfigFile, Variant
from stdl_events.cli.options.registry_options import one_of, parse_assignments
from stdl_events.cli.output import print_json, results
from stdl_events.cli.working import working
from stdl_events.errors import UserError
from stdl_events.learning.rules import RULES

if TYPE_CHECKING:
    from stdl_events.analysis.rule_costs import RuleCost


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("cost")(with_data_options(cost))


def cost(
    recipe: Target = None,
    assignments: Assignments = None,
    variant: Variant = None,
    config: ConfigFile = None,
    data: Data = None,
    data_options: DataOptions = NO_OPTIONS,
    network: Network = None,
    input: Input = None,
    classes: Classes = None,
    steps: Steps = None,
    batch: Batch = None,
    rule: Annotated[str | None, one_of(RULES, "One learning rule; all of them by default.")] = None,
    option: RuleOptions = None,
    rho: Annotated[
        float | None, typer.Option(help="For rules that plan: a share of the uncut network's memory.")
    ] = None,
    activity: Annotated[float, typer.Option(min=0, max=1, help="Share of inputs that spike in a step.")] = 1.0,
    accuracy_loss: Annotated[float, typer.Option(help="Accuracy lost against BPTT, for the figure of merit.")] = 0.0,
    optimizer: OptimizerKind = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print memory, accesses, additions and multiply-accumulates (MACs) of one training batch, and the figure of merit.

    Of the network of a recipe or a run, whose settings the options change; or of a network by itself, given by
    --network, --input and --classes. All rules are compared, not only the recipe's.

    Accesses and operations follow truncated local BPTT's model of hardware (its equations 11 to 16). Memory is metered
    on the whole training step in plain mode. The figure of merit (equation 17) is the accuracy lost plus the mean of
    the four costs, each relative to BPTT; less is better. Without --activity every input counts as a spike.

    Examples:

    stdl-events cost folder --data my_recordings --activity 0.1

    stdl-events cost --network lenet-1 --input 1x28x28 --classes 47 --steps 20 --rule tbptt --option k=1
    """
    from stdl_events.analysis.rule_costs import RuleMeter
    from stdl_events.learning.rules import get_rule, list_rules

    if option and rule is None:
        raise UserError("--option", got="no --rule", expected="the rule that has the option", todo="add --rule")
    rules = list_rules() if rule is None else [get_rule(rule, **parse_assignments(option or []))]
    asked = Asked(recipe, assignments, data, network, input, classes, variant, config, data_options)
    wanted = asked.options(steps=steps, batch_size=batch, optimizer=optimizer)
    meter = RuleMeter(activity=activity, rho=rho, **shared_options(wanted, but=("precision",)))
    with working("metering", quiet=json):
        measured = [meter(each) for each in rules]
    setting = {
        "network": wanted["spec"].notation,
        "batch": wanted["batch_size"],
        "steps": wanted["steps"],
        "activity": activity,
    }
    if json:
        print_json(setting | {"rules": [_document(each, accuracy_loss) for each in measured]})
        return
    _print(measured, accuracy_loss, ", ".join(f"{name} {value}" for name, value in setting.items()))


def _document(measured: "RuleCost", accuracy_loss: float) -> dict[str, Any]:
    return {
        "rule": measured.rule.name,
        "blocks": measured.blocks,
        **dataclasses.asdict(measured.cost),
        "memory_by_equation": measured.memory_by_equation,
        "relative_to_bptt": dataclasses.asdict(measured.share),
        "figure_of_merit": measured.figure_of_merit(accuracy_loss),
    }


def _print(measured: "list[RuleCost]", accuracy_loss: float, title: str) -> None:
    from rich.table import Table

    from stdl_events.sizes import format_bytes

    table = Table(title=title)
    table.add_column("rule")
    for heading in ("blocks", "memory", "accesses", "additions", "MACs", "merit"):
        table.add_column(heading, justify="right")
    for each in measured:
        cost, share = each.cost, each.share
        table.add_row(
            each.rule.name,
            str(each.blocks),
            f"{format_bytes(cost.memory_bytes)} ({share.memory_bytes:.3f})",
            f"{cost.accesses:.3g} ({share.accesses:.3f})",
            f"{cost.additions:.3g} ({share.additions:.3f})",
            f"{cost.macs:.3g} ({share.macs:.3f})",
            f"{each.figure_of_merit(accuracy_loss):.3f}",
        )
    results.print(table)
    results.print("in brackets: share of what bptt needs on the same network")
