"""`stdl-events memory`: peak memory of one training step and its breakdown, without a GPU."""

from collections.abc import Mapping
from enum import StrEnum
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
    Loss,
    Mode,
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
    shared_options,
)
from stdl_events.cli.options.recipe_options import Assignments, ConfigFile, Variant
from stdl_events.cli.options.registry_options import one_of
from stdl_events.cli.output import print_json, results
from stdl_events.cli.real_step import PLANNING, print_cuda, print_real, request, run_shown
from stdl_events.cli.working import working
from stdl_events.errors import UserError
from stdl_events.events.defects import count_of
from stdl_events.learning.rules import RULES

if TYPE_CHECKING:
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.memory.largest_batch import Fit, FitReport
    from stdl_events.memory.report import StepMemory


class Device(StrEnum):
    """Device of the measurement: none (fake tensors only), or a GPU in addition."""

    cpu = "cpu"
    cuda = "cuda"


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("memory")(with_data_options(memory))


def memory(
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
    loss: Loss = None,
    lean: Mode = None,
    auto: Auto = False,
    budget: Budget = None,
    budget_of: BudgetOf = None,
    rho: Rho = None,
    given: GivenPlan = None,
    least_blocks: LeastBlocks = None,
    neuron: NeuronKind = None,
    precision: Precision = None,
    device: Annotated[Device, typer.Option(help="cuda: run the step on a GPU as well.")] = Device.cpu,
    optimizer: OptimizerKind = None,
    real: Annotated[
        bool, typer.Option("--real", help="Train two batches for real as well, in a process of their own.")
    ] = False,
    fit: Annotated[
        str | None, typer.Option(help="Find the largest batch that fits into this memory, or the plan for --batch.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Draw memory over layers and time steps into this PNG.")] = None,
    against: Annotated[str | None, one_of(RULES, "The second rule in that plot; bptt by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the peak memory of one training step, its breakdown, and its moment.

    Of a recipe or a run, whose settings the options change; or of a network by itself, given by --network, --input and
    --classes. A recipe's frames and classes come from its dataset or from the recordings in --data.

    The whole step runs on tensors without data, so no GPU is needed. Bytes are exact for what torch's operations
    return; workspaces inside convolution libraries come on top. GB is 10^9 bytes. The clip (uint8) is listed
    separately: it may stay on the host. The floor is a lower bound for any training of the network: its parameters with
    gradients and optimiser states, its membrane states, and one layer's working set.

    --real trains two batches of sparse random frames in a child process and prints the peak of its resident memory
    above what it held before it built the learner, beside the metered one. This needs the memory, and minutes for a
    large network: --steps 2 takes the fewest time steps with the peak of an online rule.

    Without --budget, --rho or --plan, rules that cut the network choose the plan like `stdl-events plan`.

    Costs are kept in the user's cache folder for the next time; STDL_EVENTS_CACHE=off keeps none.

    Examples:

    stdl-events memory folder --data my_recordings --set learning.budget=2GB

    stdl-events memory runs/folder --fit 8GiB

    stdl-events memory folder --data my_recordings --set batch_size=8 --real

    stdl-events memory --network vgg11 --input 2x128x128 --classes 10 --batch 100 --steps 10 --rule stdl
    """
    from stdl_events.build import plan_learner
    from stdl_events.memory.report import measure_on_cuda, meter_step, require_cuda

    _check(trace, against)
    options = {
        "--budget": budget,
        "--budget-of": budget_of,
        "--rho": rho,
        "--auto": auto,
        "--trace": trace,
        "--device": device is Device.cuda,
    }
    options |= {"--real": real}
    _check_alone("--fit", fit is not None, options)
    _check_alone("--auto", auto, {"--plain": lean is False, "--plan": given})
    if device is Device.cuda:
        require_cuda()
    asked = Asked(recipe, assignments, data, network, input, classes, variant, config, data_options)
    chosen = {
        "rule": rule, "batch_size": batch, "steps": steps, "loss": loss, "memory": memory_mode(lean, auto),
        "budget": budget, "budget_of": budget_of, "rho": rho, "plan": given, "least_blocks": least_blocks,
        "neuron": neuron, "precision": precision, "optimizer": optimizer,
    }  # fmt: skip
    wanted = asked.options(option, **chosen)
    if device is Device.cuda:
        wanted["device"] = device.value  # its number formats are those of the plan
    with working("metering", quiet=json) as status:
        if fit is not None:
            report = _fit(wanted, fit, search=batch is None)
        else:
            blueprint, plan = plan_learner(**wanted)
            step = meter_step(blueprint, plan, every_step=trace is not None)
            measured = None
            if real:
                measured = run_shown(step, request(asked, option, chosen, step, device), status)
            elif device is Device.cuda:
                measured = measure_on_cuda(blueprint, plan, step.footprint.peak_bytes).to_dict()
            if trace is not None:
                _draw(trace, step, wanted, against)
    if fit is not None:
        _print_report(report, json=json)
        return
    kind = "cuda" if device is Device.cuda else "real"
    if json:
        print_json(step.to_dict() | {"cuda": None, "real": None} | ({} if measured is None else {kind: measured}))
        return
    _print(step)
    if measured is not None:
        (print_cuda if kind == "cuda" else print_real)(measured)


def _check(trace: Path | None, against: str | None) -> None:
    if against is not None and trace is None:
        raise UserError(
            "--against", got="no --trace", expected="a picture to draw it into", todo="add --trace FILE.png"
        )
    if trace is not None and not trace.parent.is_dir():
        raise UserError(
            str(trace), got="a folder that does not exist", expected="an existing folder", todo="make it first"
        )


def _check_alone(option: str, wanted: bool, others: Mapping[str, object]) -> None:
    """Raise for `option` together with options that it makes meaningless."""
    given = [name for name, value in others.items() if value]
    if wanted and given:
        raise UserError(
            option, got=f"{' and '.join(given)} as well", expected=f"{option} alone", todo="leave out one of them"
        )


def _draw(path: Path, step: "StepMemory", wanted: Mapping[str, Any], against: str | None) -> None:
    """The step beside that of another rule on the same network."""
    from stdl_events.analysis.memory_trace import draw_memory_trace
    from stdl_events.build import plan_learner
    from stdl_events.memory.report import meter_step

    other = against or ("stdl" if step.blueprint.rule.name == "bptt" else "bptt")
    shared = shared_options(wanted) | {"memory": step.blueprint.memory, "precision": step.blueprint.precision}
    draw_memory_trace(path, [meter_step(*plan_learner(**shared, rule=other), every_step=True), step])


def _fit(wanted: Mapping[str, Any], limit: str, *, search: bool) -> "FitReport":
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.memory.largest_batch import fit_limit
    from stdl_events.sizes import parse_bytes

    options = {name: value for name, value in wanted.items() if name not in PLANNING}
    mode = wanted.get("memory", "lean")
    return fit_limit(
        Blueprint.of(**options, memory="lean" if mode == "auto" else mode),
        parse_bytes(limit),
        search=search,
        plan=wanted.get("plan"),
        least_blocks=wanted.get("least_blocks"),
    )


def _print_report(report: "FitReport", *, json: bool) -> None:
    from stdl_events.sizes import format_bytes

    if json:
        print_json(report.to_dict())
        return
    batch, limit = report.blueprint.batch_size, format_bytes(report.limit_bytes)
    if report.step is not None:
        results.print(f"batch {batch} fits into {limit}")
        _print(report.step)
        return
    if not report.searched:
        results.print(f"batch {batch} does not fit into {limit}")
    _print_fits(report.rows, report.blueprint, report.limit_bytes)


def _print_fits(rows: "list[tuple[list[str], Fit]]", blueprint: "Blueprint", limit_bytes: int) -> None:
    from rich.table import Table

    from stdl_events.sizes import format_bytes

    mode = "lean" if blueprint.is_lean else "plain"
    table = Table(title=f"the largest batch within {format_bytes(limit_bytes)}: {blueprint.rule.name}, {mode}")
    for heading in ("blocks", "batch", "peak"):
        table.add_column(heading, overflow="fold")
    for blocks, found in rows:
        table.add_row("\n".join(blocks), str(found.largest or "none"), str(found))
    results.print(table)


def _print(step: "StepMemory") -> None:
    from rich.table import Table

    from stdl_events.sizes import format_bytes

    document = step.to_dict()
    peak, breakdown = document["peak_bytes"], document["breakdown"]
    title = f"{document['rule']}, {document['mode']}, batch {document['batch']}, {count_of(document['steps'], 'step')}"
    table = Table(title=f"one training step: {title}")
    table.add_column("at the peak")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    for kind, count in breakdown.items():
        if kind != "input":
            table.add_row(kind, format_bytes(count), f"{count / peak:.1%}")
    table.add_section()
    table.add_row("peak", format_bytes(peak), "")
    results.print(table)
    results.print(f"peak in the {document['moment']['words']}")
    floor = format_bytes(document["floor_bytes"])
    results.print(f"floor {floor}, peak / floor {document['peak_over_floor']:.2f}")
    results.print(f"input clip {format_bytes(breakdown['input'])}, not counted")
    allowance, total = (format_bytes(document[f"cpu_{name}_bytes"]) for name in ("allowance", "process"))
    results.print(
        f"a process on the CPU: {format_bytes(peak)} planned, up to {allowance} for buffers of libraries and what the "
        f"heap keeps, and the clip: up to {total}"
    )
    if document["note"] is not None:
        results.print(document["note"])
    for number, block in enumerate(document["blocks"], 1):
        auxiliary = "" if block["auxiliary"] is None else f", auxiliary {block['auxiliary']}"
        if block["kept"]:
            auxiliary += f", outputs kept of {count_of(len(block['kept']), 'layer')}"
        results.print(f"block {number}: {block['subnetwork']}{auxiliary}: {format_bytes(block['peak_bytes'])}")
