"""`stdl-events sweep`: a recipe trained with several seeds and settings, and the table of what they give."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.data_options import NO_OPTIONS, DataOptions, with_data_options
from stdl_events.cli.options.recipe_options import (
    Assignments,
    ConfigFile,
    DataFolder,
    Device,
    Freeze,
    Init,
    SkipBad,
    Variant,
    option_assignments,
)
from stdl_events.cli.options.recording_options import RepairOption
from stdl_events.cli.options.run_argument import require_no_folder
from stdl_events.cli.options.split_options import SplitOption, ValidationOption
from stdl_events.cli.output import messages, print_json, results
from stdl_events.cli.report import report_of_training
from stdl_events.events.defects import count_of
from stdl_events.recipes import RECIPES

if TYPE_CHECKING:
    from stdl_events.recipes.resolve import Resolved
    from stdl_events.training.sweeps.sweep_folder import SweepRecord
    from stdl_events.training.sweeps.sweep_grid import Sweep

SEEDS = "0,1,2"
SOME_FAILED = 1


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(with_data_options(sweep))


def sweep(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|SWEEP",
            help="A recipe's name (see train --list), a .py file that defines recipe(), or the folder of a sweep, to "
            "go on with it.",
        ),
    ],
    seeds: Annotated[
        str | None, typer.Option(metavar="N,N,...", help=f"Seeds of the runs.  [default: {SEEDS}]")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE,VALUE,...", help="Values of a setting, repeatable: every combination is run."),
    ] = None,
    assignments: Assignments = None,
    variant: Variant = None,
    config_file: ConfigFile = None,
    data: DataFolder = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep.  [default: runs/<recipe's name>-sweep]")
    ] = None,
    init: Init = None,
    freeze: Freeze = None,
    device: Device = None,
    data_options: DataOptions = NO_OPTIONS,
    skip_bad: SkipBad = False,
    repair: RepairOption = False,
    split: SplitOption = None,
    validation: ValidationOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Train again what has failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Train a recipe with several seeds and settings, one run after another, and compare them.

    The table has mean and standard deviation over the seeds, differences between runs of the same seed, a ridge and
    chance. All seeds share the split. The best combination is named by the validation part, never by the held-out one.

    The same sweep started again goes on, and so does its folder in place of a recipe; further seeds may be added.
    A run that fails is said and counted, and the others go on; the exit code is then 1.

    Example: stdl-events sweep folder --data recordings/ --vary learning.rule=stdl,sltt --validation 0.1
    """
    from stdl_events.training.run_folder import CONFIG_FILE
    from stdl_events.training.sweeps.sweep_folder import SWEEP_FILE, is_sweep, read_sweep
    from stdl_events.training.sweeps.sweep_grid import Sweep, parse_seeds, parse_vary
    from stdl_events.training.unused_settings import say_unused_in_sweep

    options = option_assignments(
        data=data, init=init, freeze=freeze, device=device, skip_bad=skip_bad, repair=repair, split=split,
        validation=validation, data_options=data_options,
    )  # fmt: skip
    if recipe not in RECIPES and is_sweep(Path(recipe)):
        if any((vary, assignments, variant, config_file, options, out)):
            raise typer.BadParameter(
                "the sweep in this folder has its settings; give none besides --seeds", param_hint="RECIPE"
            )
        folder, old = Path(recipe), read_sweep(Path(recipe)).sweep
        asked = Sweep(old.base, old.vary, old.seeds if seeds is None else parse_seeds(seeds))
    else:
        if recipe not in RECIPES and not (Path(recipe) / CONFIG_FILE).is_file():
            require_no_folder(recipe, SWEEP_FILE, "a sweep")
        varied = parse_vary(vary or ())
        base = _base(recipe, variant, config_file, assignments or [], options, list(varied))
        asked = Sweep(base.config, varied, parse_seeds(SEEDS if seeds is None else seeds))
        combined = [combination.config for combination in asked.combinations]
        say_unused_in_sweep(combined, base.given, varied)
        folder = out or Path("runs") / f"{asked.base.name}-sweep"
    record = _run(asked, folder, retry=retry)
    _report(record, as_json)


def _base(
    recipe: str,
    variant: str | None,
    file: Path | None,
    assignments: list[str],
    options: list[str],
    varied: list[str],
) -> "Resolved":
    """The settings that all runs share.

    Raises:
        RecipeError: there is no such recipe, a setting is impossible, or one is given and varies too.
    """
    from stdl_events.errors import RecipeError
    from stdl_events.recipes.resolve import resolve
    from stdl_events.training.overrides import parse_assignments
    from stdl_events.training.run_folder import CONFIG_FILE

    if recipe not in RECIPES and (Path(recipe) / CONFIG_FILE).is_file():
        raise RecipeError(
            recipe, got="the folder of a run", expected="a recipe, or the folder of a sweep",
            todo=f"name the run's recipe, with --config {Path(recipe) / CONFIG_FILE}",
        )  # fmt: skip
    for key in parse_assignments([*assignments, *options]):
        if key in varied:
            raise RecipeError(f"--vary {key}", got="a value of it as well", expected="it once", todo="leave one out")
        if key == "seed":
            raise RecipeError("--set seed", got="a seed", expected="--seeds", todo="write for example --seeds 0,1,2")
    return resolve(recipe, variant=variant, file=file, assignments=assignments, options=options)


def _run(asked: "Sweep", folder: Path, *, retry: bool) -> "SweepRecord":
    from stdl_events.training.sweeps.sweep import run_sweep

    runs = len(asked.trials)
    messages.print(
        f"{folder}: {count_of(runs, 'run')}: {count_of(len(asked.combinations), 'combination')} with "
        f"{count_of(len(asked.seeds), 'seed')} each"
    )
    try:
        return run_sweep(
            asked,
            folder,
            retry=retry,
            say=lambda text: messages.print(text),
            finished=lambda result: report_of_training(result.folder, result.evaluation),
        )
    except (KeyboardInterrupt, SystemExit):
        messages.print(f"{folder}: the finished runs are kept, and the current one as far as it was trained")
        say_next("sweep", folder)
        raise


def _report(record: "SweepRecord", as_json: bool) -> None:
    """Write and print the table; exit with code 1 if a run has failed."""
    from stdl_events.training.sweeps.sweep_report import write_report
    from stdl_events.training.sweeps.sweep_table import table_lines, table_notes, table_rows

    rows = table_rows(record)
    files = write_report(record, rows)
    failed = sum(row["failed"] for row in rows)
    if as_json:
        print_json({"sweep": str(record.folder), "failed": failed} | record.document(rows))
    else:
        results.print("\n".join(table_lines(rows, results.width)))
        for note in table_notes(record, rows):
            results.print(note, soft_wrap=False)
        messages.print(f"{record.folder}: {', '.join(path.name for path in files)}")
        if failed:
            say_next("sweep", record.folder, "--retry")
        else:
            say_next("compare", record.folder)
    if failed:
        raise typer.Exit(SOME_FAILED)
