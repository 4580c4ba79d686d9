"""`stdl-events train`: from recordings to a network and its accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from stdl_events.cli.evaluation_text import print_evaluation
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
from stdl_events.cli.options.run_argument import folder_of, list_of, other_epochs, run_named
from stdl_events.cli.options.split_options import SplitOption, ValidationOption
from stdl_events.cli.output import messages, print_json
from stdl_events.cli.recipe_tables import print_recipes, print_settings
from stdl_events.cli.report import report_if_interrupted, report_of_training


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(with_data_options(train))


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|RUN",
            help="A recipe's name (see --list), a .py file that defines recipe(), or a run's folder: to train it again "
            "into another folder, or to --resume it.",
        ),
    ] = None,
    assignments: Assignments = None,
    variant: Variant = None,
    config_file: ConfigFile = None,
    data: DataFolder = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/<recipe's name>]")] = None,
    init: Init = None,
    freeze: Freeze = None,
    device: Device = None,
    data_options: DataOptions = NO_OPTIONS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a run, also for more epochs (--set epochs=N).")
    ] = False,
    skip_bad: SkipBad = False,
    repair: RepairOption = False,
    split: SplitOption = None,
    validation: ValidationOption = None,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes and their variants.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show every setting and where it is from; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Train a recogniser by a recipe, and test it on the held-out recordings.

    The run's folder gets the configuration, the list of the recordings on all sides, the plan, metrics (JSON lines and
    TensorBoard), a checkpoint for --resume, the last weights and, with a validation part, the best ones by it,
    and report.html. A non-empty folder is never overwritten. Ctrl-C keeps what was trained.

    Settings are the recipe's, changed by --variant, then by the file of --config, then by --set and other options;
    --show lists them all.

    Example: stdl-events train folder --data recordings/ --set epochs=30 --set learning.budget=2GiB
    """
    from stdl_events.recipes.resolve import resolve, resolve_run
    from stdl_events.training.unused_settings import say_unused

    if list_recipes:
        print_recipes(as_json)
        return
    if recipe is None:
        raise typer.BadParameter("give a recipe's name or a .py file, or --list", param_hint="RECIPE")
    options = option_assignments(
        data=data, init=init, freeze=freeze, device=device, skip_bad=skip_bad, repair=repair, split=split,
        validation=validation, data_options=data_options,
    )  # fmt: skip
    run, changes = run_named(recipe, resume=resume), assignments or ()
    if run is None:
        resolved = resolve(recipe, variant=variant, file=config_file, assignments=changes, options=options)
    elif variant is None:
        resolved = resolve_run(run, file=config_file, assignments=changes, options=options)
    else:
        raise typer.BadParameter(f"{run} is a run, not a recipe", param_hint="--variant")
    say_unused(resolved.config, resolved.given)
    if show:
        print_settings(resolved, as_json)
        return
    config = resolved.config
    folder = out or Path("runs") / config.name
    like = None
    if run is not None:
        folder, like = folder_of(run, out, resume=resume), list_of(run, config)
        if not resume and (said := other_epochs(run)):
            messages.print(said)

    from stdl_events.training.fit import fit

    with report_if_interrupted(folder):
        result = fit(config, folder, resume=resume, like=like)
    if not as_json:
        print_evaluation(result.evaluation)
        messages.print(f"{folder}: trained in {result.seconds:.0f} s")
    written = report_of_training(folder, result.evaluation)
    facts = {"run": str(folder), "recipe": config.name, "rule": config.learning.rule, "seconds": result.seconds}
    if as_json:
        facts |= {"report": None if written is None else str(written), "plan": result.plan}
        print_json(facts | result.evaluation.summary() | result.memory)
        return
    say_next("export", folder, "--out", "model.onnx")
