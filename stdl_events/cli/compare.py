"""`stdl-events compare`: runs beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import messages, print_json, results
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.training.sweeps.compare import ComparedRun

MB = 10**6
# Key of a run's facts -> (head, decimals, unit).
COLUMNS: dict[str, tuple[str, int, int]] = {
    "accuracy": ("held out", 4, 1),
    "validation_accuracy": ("validation", 4, 1),
    "macro_f1": ("macro F1", 4, 1),
    "epochs_trained": ("epochs", 0, 1),
    "seconds": ("s", 1, 1),
    "blocks": ("blocks", 0, 1),
    "planned_step_bytes": ("plan MB", 2, MB),
    "peak_rss_bytes": ("RAM MB", 0, MB),
    "peak_cuda_bytes": ("CUDA MB", 0, MB),
}
PICTURES = {".png": 1, ".pdf": 1, ".svg": 1}


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(compare)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Folders of runs, or of sweeps, which stand for their finished runs."),
    ],
    out: Annotated[Path | None, typer.Option(help="Draw the learning curves: .png, .pdf or .svg.")] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Evaluate nothing; take the accuracies that the runs have recorded.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare runs: the settings that differ, accuracies, memory, and the same recordings in pairs.

    Each run is evaluated on the recordings that it held out. Where these are the same, as the lists of their splits
    say, runs are compared recording by recording: each with the first run of its seed, that one with the first of all.

    Example: stdl-events compare runs/stdl runs/sltt --out curves.png
    """
    from stdl_events.analysis.figures import number_to_show
    from stdl_events.training.sweeps.compare import compare_runs, comparison_document, run_folders
    from stdl_events.whole_file import require_place

    if out is not None:
        number_to_show(out, PICTURES)
        require_place(out, room_for="picture")
    compared = compare_runs(run_folders(runs), device=device, evaluated=not recorded, say=messages.print)
    document = comparison_document(compared)
    if out is not None:
        _draw(compared, out)
    if as_json:
        print_json(document)
        return
    _print(compared, document)
    if out is None:
        say_next("compare", *runs, "--out", "curves.png")
    else:
        say_next("evaluate", compared[0].folder)


def _draw(compared: Sequence["ComparedRun"], out: Path) -> None:
    from stdl_events.analysis.run_pictures import curves_picture

    drawn = {f"{number} {run.folder}": run.epochs for number, run in enumerate(compared, 1) if run.epochs}
    curves_picture(out, drawn)
    messages.print(f"{out}: the curves of {len(drawn)} of {count_of(len(compared), 'run')}")


def _print(compared: Sequence["ComparedRun"], document: dict[str, Any]) -> None:
    lines = [f"{number}  {run.folder}" for number, run in enumerate(compared, 1)]
    lines += ["", *table_lines(document["runs"]), ""]
    lines += settings_lines(document["settings"]) or ["no setting differs"]
    lines += ["", *pair_lines(document), *note_lines(document["runs"])]
    for line in lines:
        results.print(line, soft_wrap=False)


def table_lines(facts: Sequence[dict[str, Any]]) -> list[str]:
    """A row per run, without columns that no run has; recorded accuracies in place of those not evaluated."""
    shown = [{"accuracy": one.get("held_out_accuracy")} | one for one in facts]
    keys = [key for key in COLUMNS if any(one.get(key) is not None for one in shown)]
    rows = [["", *(COLUMNS[key][0] for key in keys)]]
    for number, one in enumerate(shown, 1):
        rows.append([str(number), *(_cell(one.get(key), *COLUMNS[key][1:]) for key in keys)])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]


def _cell(value: float | None, decimals: int, unit: int) -> str:
    return "-" if value is None else f"{value / unit:.{decimals}f}"


def settings_lines(settings: dict[str, list[Any]]) -> list[str]:
    """A line per setting that differs: each value with the numbers of its runs."""
    from stdl_events.training.overrides import shown_value

    lines = []
    for key, values in settings.items():
        runs: dict[str, list[str]] = {}
        for number, value in enumerate(values, 1):
            runs.setdefault(shown_value(value), []).append(str(number))
        lines.append(f"{key}: " + "; ".join(f"{value} ({' '.join(numbers)})" for value, numbers in runs.items()))
    return lines


def pair_lines(document: dict[str, Any]) -> list[str]:
    """Baselines, and a line per run beside the first: recordings that both, one or none of the two recognises."""
    from stdl_events.training.sweeps.sweep_table import baselines_text

    lines = []
    same = document["same_test_recordings"]
    lines.append("the same recordings are tested" if same else "the runs are not all tested on the same recordings")
    for one in document["runs"] if not same else document["runs"][:1]:
        if "baselines" in one:
            lines.append(baselines_text(one["baselines"]) + ("" if same else f": {one['run']}"))
    refused: dict[str, list[str]] = {}
    numbers = {one["run"]: number for number, one in enumerate(document["runs"], 1)}
    rows = [["", "difference", "both right", "right alone", "none", "of all"]]
    for pair in document["pairs"]:
        run, against = numbers[pair["run"]], numbers[pair["against"]]
        name = f"{run} against {against}"
        if pair["refused"]:
            refused.setdefault(pair["refused"], []).append(name)
        else:
            counts, found = pair["counts"], pair["difference"]
            error = "" if found["standard_error"] is None else f" ± {found['standard_error']:.4f}"
            alone = f"{run}: {counts['only_second']}, {against}: {counts['only_first']}"
            both, none = str(counts["both"]), str(counts["neither"])
            rows.append([name, f"{found['mean']:+.4f}{error}", both, alone, none, str(found["n"])])
    lines += [f"not compared in pairs: {', '.join(names)}: {why}" for why, names in refused.items()]
    return lines + (_aligned(rows) if len(rows) > 1 else [])


def note_lines(facts: Sequence[dict[str, Any]]) -> list[str]:
    """What is unfinished or old."""
    return [f"{number}: {note}" for number, one in enumerate(facts, 1) for note in one["notes"]]
