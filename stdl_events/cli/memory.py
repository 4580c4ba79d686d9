"""`stdl-events memory`: peak memory of one training step and its breakdown, without a GPU."""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options import one_of, parse_assignments, parse_shape
from stdl_events.cli.output import messages, print_json, results
from stdl_events.errors import PlanError, UserError
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, LOSSES, OPTIMIZERS
from stdl_events.learning.rules import RULES
from stdl_events.network.registries import NEURONS

if TYPE_CHECKING:
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.memory.largest_batch import Fit
    from stdl_events.memory.report import StepMemory

DEFAULT_BATCH = 100


class Device(StrEnum):
    """Device of the measurement: none (fake tensors only), or a GPU in addition."""

    cpu = "cpu"
    cuda = "cuda"


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("memory")(memory)


def memory(
    network: Annotated[str, typer.Option(help="A name such as vgg11, or notation such as 64C3-AP2-128R(s2).")],
    input: Annotated[str, typer.Option(help="One frame, CHANNELSxHEIGHTxWIDTH, such as 2x128x128.")],
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")],
    batch: Annotated[
        int | None, typer.Option(min=1, help=f"Sequences per batch; {DEFAULT_BATCH} unless --fit searches for it.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="T, time steps per sequence.")] = 10,
    rule: Annotated[str, one_of(RULES, "The learning rule.")] = "stdl",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the rule, such as k=10; repeatable.")
    ] = None,
    loss: Annotated[str | None, one_of(LOSSES, "The local loss of each block; the rule's own by default.")] = None,
    lean: Annotated[bool, typer.Option("--lean/--plain", help="Lean mode, or ordinary autograd.")] = True,
    auto: Annotated[
        bool, typer.Option("--auto", help="The fastest mode that fits: lean, with as many saved outputs as fit.")
    ] = False,
    budget: Annotated[str | None, typer.Option(help="Cut for this much memory, such as 8GB or 8GiB.")] = None,
    rho: Annotated[
        float | None, typer.Option(help="The budget as a share of the uncut network's memory, trained online.")
    ] = None,
    given: Annotated[str | None, typer.Option("--plan", metavar="paper|FILE", help="Cut as in this plan.")] = None,
    least_blocks: Annotated[int, typer.Option(min=1, help="Cut into at least this many blocks.")] = 1,
    neuron: Annotated[str, one_of(NEURONS, "Kind of neuron.")] = "lif",
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 for membrane potentials, currents and convolutions.")
    ] = "fp32",
    device: Annotated[Device, typer.Option(help="cuda: run the step on a GPU as well.")] = Device.cpu,
    optimizer: Annotated[str, one_of(OPTIMIZERS, "Its states are counted.")] = DEFAULT_OPTIMIZER,
    fit: Annotated[
        str | None, typer.Option(help="Find the largest batch that fits into this memory, or the plan for --batch.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Draw memory over layers and time steps into this PNG.")] = None,
    against: Annotated[str | None, one_of(RULES, "The second rule in that plot; bptt by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the peak memory of one training step, its breakdown, and its moment.

    The whole step runs on tensors without data, so no GPU is needed. Bytes are exact for what torch's operations
    return; workspaces inside convolution libraries come on top. GB is 10^9 bytes. The clip (uint8) is listed
    separately: it may stay on the host. The floor is a lower bound for any training of the network: its parameters with
    gradients and optimiser states, its membrane states, and one layer's working set.

    Without --budget, --rho or --plan, rules that cut the network choose the plan like `stdl-events plan`.

    Example: stdl-events memory --network vgg11 --input 2x128x128 --classes 10 --batch 100 --steps 10 --rule stdl
    """
    from stdl_events.memory.choose_mode import resolve_fastest
    from stdl_events.memory.choose_plan import choose_plan
    from stdl_events.memory.report import measure_on_cuda, meter_step, require_cuda
    from stdl_events.network.zoo import parse_network

    _check(trace, against)
    options = {"--budget": budget, "--rho": rho, "--auto": auto, "--trace": trace, "--device": device is Device.cuda}
    _check_alone("--fit", fit is not None, options)
    _check_alone("--auto", auto, {"--plain": not lean, "--plan": given})
    if device is Device.cuda:
        require_cuda()
    spec = parse_network(network, input_shape=parse_shape(input), classes=classes)
    setting = _Setting(spec, batch or DEFAULT_BATCH, steps, loss, lean, neuron, optimizer, precision)
    blueprint = setting.blueprint(rule, parse_assignments(option or []))
    if fit is not None:
        _fit(blueprint, fit, batch, given, least_blocks, json=json)
        return
    other = setting.blueprint(against or ("stdl" if rule == "bptt" else "bptt"), {})
    with messages.status("metering"):
        wanted: dict[str, Any] = {"budget": budget, "rho": rho, "least_blocks": least_blocks}
        if auto:
            blueprint, plan = resolve_fastest(blueprint, **wanted)
        else:
            plan = choose_plan(blueprint, plan=given, **wanted)
        step = meter_step(blueprint, plan, every_step=trace is not None)
        cuda = measure_on_cuda(blueprint, plan, step.footprint.peak_bytes) if device is Device.cuda else None
        if trace is not None:
            from stdl_events.analysis.memory_trace import draw_memory_trace

            draw_memory_trace(trace, [meter_step(other, choose_plan(other), every_step=True), step])
    if json:
        print_json(step.to_dict() | {"cuda": None if cuda is None else cuda.to_dict()})
        return
    _print(step)
    if cuda is not None:
        _print_cuda(cuda.to_dict())


@dataclasses.dataclass(frozen=True)
class _Setting:
    """The common setting of compared rules."""

    spec: Any
    batch_size: int
    steps: int
    loss: str | None
    lean: bool
    neuron: Any
    optimizer: Any
    precision: Any

    def blueprint(self, rule: str, options: dict[str, Any]) -> "Blueprint":
        from stdl_events.learning.blueprint import Blueprint
        from stdl_events.learning.losses import make_loss, spec_for
        from stdl_events.learning.optimizers import OptimizerSpec
        from stdl_events.learning.rules import get_rule

        chosen = get_rule(rule, **options)
        loss = make_loss(self.loss or chosen.loss, threshold=self.spec.neuron.threshold)
        return Blueprint(
            spec=spec_for(loss, self.spec.with_settings({"kind": self.neuron})),
            rule=chosen,
            batch_size=self.batch_size,
            steps=self.steps,
            loss=loss,
            optimizer=OptimizerSpec(self.optimizer),
            memory="lean" if self.lean else "plain",
            precision=self.precision,
        )


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


def _fit(
    blueprint: "Blueprint", limit: str, batch: int | None, given: str | None, least_blocks: int, *, json: bool
) -> None:
    from stdl_events.learning.grid import Planned
    from stdl_events.memory.choose_plan import choose_plan
    from stdl_events.memory.largest_batch import fit_rows
    from stdl_events.memory.meter import format_bytes
    from stdl_events.memory.report import meter_step
    from stdl_events.sizes import parse_bytes

    limit_bytes = parse_bytes(limit)
    step: StepMemory | None = None
    with messages.status("metering"):
        if batch is not None:
            planned = given is None and isinstance(blueprint.rule.space, Planned)
            try:
                plan = choose_plan(
                    blueprint, budget=limit_bytes if planned else None, plan=given, least_blocks=least_blocks
                )
            except PlanError:
                pass
            else:
                step = meter_step(blueprint, plan)
        fits = step is not None and step.footprint.peak_bytes <= limit_bytes
        rows = [] if fits else fit_rows(blueprint, given, limit_bytes, least_blocks=least_blocks)
    if json:
        document = step.to_dict() if step is not None and fits else None
        largest = [{"blocks": blocks} | found.to_dict() for blocks, found in rows]
        print_json({"limit_bytes": limit_bytes, "rule": blueprint.rule.name, "step": document, "largest": largest})
        return
    if step is not None and fits:
        results.print(f"batch {batch} fits into {format_bytes(limit_bytes)}")
        _print(step)
        return
    if batch is not None:
        results.print(f"batch {batch} does not fit into {format_bytes(limit_bytes)}")
    _print_fits(rows, blueprint, limit_bytes)


def _print_fits(rows: "list[tuple[list[str], Fit]]", blueprint: "Blueprint", limit_bytes: int) -> None:
    from rich.table import Table

    from stdl_events.memory.meter import format_bytes

    mode = "lean" if blueprint.is_lean else "plain"
    table = Table(title=f"the largest batch within {format_bytes(limit_bytes)}: {blueprint.rule.name}, {mode}")
    for heading in ("blocks", "batch", "peak"):
        table.add_column(heading, overflow="fold")
    for blocks, found in rows:
        table.add_row("\n".join(blocks), str(found.largest or "none"), str(found))
    results.print(table)


def _print(step: "StepMemory") -> None:
    from rich.table import Table

    from stdl_events.memory.meter import format_bytes

    document = step.to_dict()
    peak, breakdown = document["peak_bytes"], document["breakdown"]
    title = f"{document['rule']}, {document['mode']}, batch {document['batch']}, {document['steps']} steps"
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
    for number, block in enumerate(document["blocks"], 1):
        auxiliary = "" if block["auxiliary"] is None else f", auxiliary {block['auxiliary']}"
        if block["kept"]:
            auxiliary += f", outputs kept of {len(block['kept'])} layers"
        results.print(f"block {number}: {block['subnetwork']}{auxiliary}: {format_bytes(block['peak_bytes'])}")


def _print_cuda(found: dict[str, Any]) -> None:
    from stdl_events.memory.meter import format_bytes

    results.print(
        f"on {found['device']}: {format_bytes(found['allocated_bytes'])} allocated, of which "
        f"{format_bytes(found['workspace_bytes'])} workspaces of libraries; {format_bytes(found['reserved_bytes'])} "
        f"reserved; metered / allocated {found['metered_over_allocated']:.3f}"
    )
