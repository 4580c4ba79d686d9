"""`stdl-events train` and `stdl-events evaluate`: from recordings to a network and its accuracy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.confusion import confusion_lines
from stdl_events.cli.data_options import NO_OPTIONS, DataOptions, with_data_options
from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import messages, print_json, results
from stdl_events.cli.recipe_options import Assignments, ConfigFile, Variant
from stdl_events.cli.recipe_tables import print_recipes, print_settings
from stdl_events.cli.recording_options import RepairOption
from stdl_events.cli.run_argument import folder_of, list_of, other_epochs, run_named
from stdl_events.cli.split_options import SplitOption, ValidationOption, split_assignments
from stdl_events.cli.weights_option import WeightsOption, parse_weights

if TYPE_CHECKING:
    from stdl_events.training.evaluate import Evaluation

MAX_CLASSES_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(with_data_options(train))
    app.command()(evaluate)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe's name (see --list), a .py file that defines recipe(), or a run's folder: to train it again "
            "into another folder, or to --resume it."
        ),
    ] = None,
    assignments: Assignments = None,
    variant: Variant = None,
    config_file: ConfigFile = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/<recipe's name>]")] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Start with the weights of this finished run of the same network."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    data_options: DataOptions = NO_OPTIONS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a run, also for more epochs (--set epochs=N).")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out unreadable recordings, and name them.")
    ] = False,
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
    TensorBoard), a checkpoint for --resume, the last weights and, with a validation part, the best ones by it. A
    non-empty folder is never overwritten. Ctrl-C keeps what was trained.

    Settings are the recipe's, changed by --variant, then by the file of --config, then by --set and other options;
    --show lists them all.

    Example: stdl-events train folder --data recordings/ --set epochs=30 --set learning.budget=2GiB
    """
    from stdl_events.recipes.resolve import resolve, resolve_run

    if list_recipes:
        print_recipes(as_json)
        return
    if recipe is None:
        raise typer.BadParameter("give a recipe's name or a .py file, or --list", param_hint="RECIPE")
    flags: dict[str, object] = {"data.path": None if data is None else data.resolve(), "init": init, "device": device}
    flags |= {f"data.split.{name}": value for name, value in split_assignments(split, validation).items()}
    if skip_bad:
        flags["data.skip_bad"] = "true"
    if repair:
        flags["data.repair"] = "true"
    options = [f"{key}={value}" for key, value in flags.items() if value is not None] + [*data_options.assignments]
    run, changes = run_named(recipe), assignments or ()
    if run is None:
        resolved = resolve(recipe, variant=variant, file=config_file, assignments=changes, options=options)
    elif variant is None:
        resolved = resolve_run(run, file=config_file, assignments=changes, options=options)
    else:
        raise typer.BadParameter(f"{run} is a run, not a recipe", param_hint="--variant")
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

    result = fit(config, folder, resume=resume, like=like)
    facts = {"run": str(folder), "recipe": config.name, "rule": config.learning.rule, "seconds": result.seconds}
    if as_json:
        print_json(facts | {"plan": result.plan} | result.evaluation.summary() | result.memory)
        return
    print_evaluation(result.evaluation)
    messages.print(f"{folder}: trained in {result.seconds:.0f} s")
    say_next("export", folder, "--out", "model.onnx")


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    weights: WeightsOption = None,
    model: Annotated[
        Path | None, typer.Option(help="Evaluate this exported .onnx file instead of the run's own network.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings, if it has moved.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check that the recordings that it trained on have not changed.")
    ] = False,
    predictions: Annotated[Path | None, typer.Option(help="Write every clip's prediction to this JSON file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Test a run's network on its held-out recordings: accuracy, chance, confusion matrix.

    The recordings are those that the run's split.json lists, each compared with its SHA-256; others are not used.

    Example: stdl-events evaluate runs/folder --model model.onnx --predictions predictions.json
    """
    from stdl_events.recordings.predicted_clips import predictions_of
    from stdl_events.recordings.split_list import SPLIT_FILE, read_split_list
    from stdl_events.training import held_out
    from stdl_events.training.keeping import weights_text
    from stdl_events.training.run_folder import load_config, write_json
    from stdl_events.whole_file import require_place

    chosen = parse_weights(weights)
    if chosen is not None and model is not None:
        raise typer.BadParameter(
            "an exported file has its own weights; leave one of the two out", param_hint="--weights"
        )
    if predictions is not None:
        require_place(predictions, room_for="predictions")
    evaluation = held_out.evaluate(run, weights=chosen, model=model, data=data, device=device, verify=verify)
    if predictions is not None:
        assert evaluation.frame_spec is not None
        listed = read_split_list(run / SPLIT_FILE)
        root = data if listed is None or data is not None else Path(listed.root)
        clips = evaluation.predictions()
        settings = load_config(run).data.model_dump(mode="json")
        write_json(predictions, predictions_of(clips, evaluation.recordings, evaluation.frame_spec, root, settings))
    if as_json:
        print_json({"run": str(run), "model": None if model is None else str(model)} | evaluation.summary())
        return
    if model is None:
        messages.print(f"{run}: {weights_text(run, chosen)}")
    print_evaluation(evaluation)
    if model is None:
        say_next("export", run, "--out", "model.onnx")


def print_evaluation(evaluation: "Evaluation") -> None:
    """Print the confusion matrix and the accuracy."""
    summary: dict[str, Any] = evaluation.summary()
    if len(evaluation.labels) <= MAX_CLASSES_SHOWN:
        lines = confusion_lines(evaluation.labels, summary["confusion"], results.width)
        results.print("\n".join(lines), markup=False)
    results.print(
        f"accuracy {summary['accuracy']:.4f} on {summary['n']} held-out clips (chance {summary['chance']:.3f})\n"
        f"accuracy {summary['mean_class_accuracy']:.4f} as the mean over the classes\n"
        f"accuracy {summary['recording_accuracy']:.4f} on {summary['recordings']} whole recordings"
    )
    if summary["too_short"]:
        messages.print(f"{summary['too_short']} held-out recordings hold no clip and are not counted")
