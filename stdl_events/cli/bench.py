"""`stdl-events bench`: how long a step of exported files takes here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.live_options import ProviderOption, ThreadCountsOption
from stdl_events.cli.output import messages, print_json, results
from stdl_events.live.providers import CPU

if TYPE_CHECKING:
    from stdl_events.live.step_times import StepTimes

COLUMNS = ("model", "precision", "MB", "threads", "batch", "p50 ms", "p99 ms", "steps/s", "faster")
WIDTHS = (16, 9, 6, 7, 5, 7, 7, 9, 6)


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(bench)


def bench(
    models: Annotated[list[str], typer.Argument(metavar="MODEL.onnx", help="Exported files, or models:NAME.")],
    threads: ThreadCountsOption = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Clips at once; give it again.  [default: 1]")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each, in turns of five.")] = 100,
    provider: ProviderOption = CPU,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Time a step of exported files on this machine, on random frames of a busy scene. Needs no PyTorch.

    p50 is the median and p99 what 99 of 100 steps stay below; live is in time if p99 is below the time of a frame.
    "faster" compares medians with those of the first file at the same threads and batch. Files and settings take turns,
    so that what else the machine does slows all alike.

    Example: stdl-events bench float32.onnx int8.onnx --threads 1
    """
    from stdl_events.live.step_times import machine, time_steps

    with messages.status("timing") as status:
        times = time_steps(
            models, threads=threads, batches=batch or (1,), steps=steps, provider=provider,
            progress=lambda turn, turns: status.update(f"timing: turn {turn} of {turns}"),
        )  # fmt: skip
    ratios = _ratios(times)
    if as_json:
        measured = [each.summary() | {"faster": ratio} for each, ratio in zip(times, ratios, strict=True)]
        print_json({"machine": machine(), "provider": provider, "measured": measured})
        return
    results.print("\n".join(lines(times, ratios, machine(), provider)), markup=False)


def lines(times: "list[StepTimes]", ratios: list[float], machine: dict[str, Any], provider: str) -> list[str]:
    """Return the times as a table of 80 columns, and what they mean."""
    by = "" if provider == CPU else f", computed by {provider}"
    made = [f"{machine['processor']}, {machine['cores']} cores{by}", _row(COLUMNS)]
    for each, ratio in zip(times, ratios, strict=True):
        name = Path(each.path).name
        shown = name if len(name) <= WIDTHS[0] else "\N{HORIZONTAL ELLIPSIS}" + name[1 - WIDTHS[0] :]
        numbers = f"{each.p50_ms:.3g}", f"{each.p99_ms:.3g}", f"{each.steps_per_s:,.0f}", f"{ratio:.2f}x"
        made.append(
            _row((shown, each.precision, f"{each.bytes / 1e6:.2f}", str(each.threads), str(each.batch), *numbers))
        )
    return made + _verdicts(times, machine)


def _verdicts(times: "list[StepTimes]", machine: dict[str, Any]) -> list[str]:
    """Return whether a live run keeps up, which takes clips one by one, and what the processor lacks."""
    made = []
    for path, frame_ms in {each.path: each.frame_ms for each in times if each.frame_ms is not None}.items():
        alone = [each for each in times if each.path == path and each.batch == 1]
        if alone:
            late = [str(each.threads) for each in alone if not each.in_time]
            verdict = f"too slow with --threads {', '.join(late)}" if late else "in time"
            made.append(f"{path}: a frame comes every {frame_ms:g} ms: {verdict}")
    for path in dict.fromkeys(each.path for each in times):
        shares = [each.scattered for each in times if each.path == path and each.scattered is not None]
        if shares:
            made.append(f"{path}: {max(shares):.0%} of its convolutions were scattered, on frames of a busy scene")
    if machine["eight_bit_dot_product"] is False and any(each.precision == "int8" for each in times):
        made.append("this processor has no product of eight bits (VNNI): int8 gains less than on others")
    return made


def _ratios(times: "list[StepTimes]") -> list[float]:
    """Return how many times faster each is than the first file at the same setting."""
    first = {(each.threads, each.batch): each.p50_ms for each in times if each.path == times[0].path}
    return [round(first[each.threads, each.batch] / max(each.p50_ms, 1e-4), 3) for each in times]


def _row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    padded = (f"{cell:>{width}}" for cell, width in zip(others, WIDTHS[1:], strict=True))
    return " ".join((f"{first:{WIDTHS[0]}}", *padded)).rstrip()
