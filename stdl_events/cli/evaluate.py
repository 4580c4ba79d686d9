"""`stdl-events evaluate`: how a run's network, or an exported file, does on recordings that it was not trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.evaluate_file import DatasetOption, ProviderOfFileOption, SkipBadOption, show_file
from stdl_events.cli.evaluate_robustness import PictureOption, RobustnessOption, SeedOption, show_robustness
from stdl_events.cli.evaluate_whole import WholeOption, show_whole
from stdl_events.cli.evaluation_text import print_evaluation
from stdl_events.cli.model_facts import is_model
from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.decision_options import (
    DecideAtOption,
    HoldOption,
    StillBelowOption,
    UnknownBelowOption,
    thresholds_from,
)
from stdl_events.cli.options.evaluate_options import Kind, refuse_unused
from stdl_events.cli.options.label_options import LabelsOption, LabelTimesOption, LayoutOption
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    RepairOption,
    SensorOption,
    StreamOption,
    TimeUnitOption,
    parse_sensor_size,
)
from stdl_events.cli.options.weights_option import WeightsOption, parse_weights
from stdl_events.cli.output import messages, print_json
from stdl_events.errors import UserError
from stdl_events.live.providers import CPU

if TYPE_CHECKING:
    from stdl_events.recordings.splits.sides import Side
    from stdl_events.training.evaluation.evaluate_run import Through


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or an exported .onnx model, with --data.")
    ],
    weights: WeightsOption = None,
    model: Annotated[
        Path | None, typer.Option(help="Evaluate this exported .onnx file instead of the run's own network.")
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(metavar="onnx", help="Export the network to a temporary file, check it and evaluate through it."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings: of a run, if it has moved.")] = None,
    dataset: DatasetOption = None,
    labels: LabelsOption = None,
    label_times: LabelTimesOption = None,
    layout: LayoutOption = None,
    format: FormatOption = None,
    sensor: SensorOption = None,
    stream: StreamOption = None,
    time_unit: TimeUnitOption = None,
    columns: ColumnsOption = None,
    skip_bad: SkipBadOption = False,
    repair: RepairOption = False,
    provider: ProviderOfFileOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    side: Annotated[
        str | None,
        typer.Option(
            metavar="test|validation",
            help="The held-out recordings, or those that chose the weights.  [default: test; of a model without its "
            "run and a folder without a given split, all recordings]",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check that the recordings of the other sides have not changed.")
    ] = False,
    baseline: Annotated[
        bool | None,
        typer.Option(
            "--baseline/--no-baseline",
            help="Put a ridge on summed events beside the accuracy.  [default: the one that the training kept, or if "
            "it takes seconds]",
        ),
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write every clip's prediction to this JSON file.")] = None,
    robustness: RobustnessOption = None,
    picture: PictureOption = None,
    seed: SeedOption = 0,
    whole: WholeOption = False,
    unknown_below: UnknownBelowOption = None,
    still_below: StillBelowOption = None,
    hold: HoldOption = None,
    decide_at: DecideAtOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Test a run's network on its held-out recordings: accuracy, its spread, by class, person and time step.

    The recordings are those that the run's split.json lists, each compared with its SHA-256; others are not used. The
    95 % interval is that over recordings, since clips of one recording are alike. The table of the layers says how many
    neurons fire, and how sparse the inputs of convolutions are; an exported file cannot be asked for it.

    An exported model without its run is tested on labelled recordings in --data, with the same numbers and without
    PyTorch. Its classes must be among the model's. The options from --dataset to --repair say how they are labelled
    and read.

    Example: stdl-events evaluate model.onnx --data new_recordings --predictions predictions.json
    """
    chosen, parsed = parse_weights(weights), parse_side(side or "test")
    if chosen is not None and model is not None:
        raise typer.BadParameter(
            "an exported file has its own weights; leave one of the two out", param_hint="--weights"
        )
    rules = (unknown_below, still_below, hold, decide_at)
    of_file = {
        "--dataset": dataset, "--labels": labels, "--label-times": label_times, "--layout": layout, "--format": format,
        "--sensor": sensor, "--stream": stream, "--time-unit": time_unit, "--columns": columns,
        "--skip-bad": skip_bad, "--repair": repair,
    }  # fmt: skip
    given: dict[str, object] = of_file | {
        "--provider": provider, "--weights": weights, "--model": model, "--through": through, "--verify": verify,
        "--baseline": baseline, "--device": None if device in ("auto", "cpu") else device, "--predictions": predictions,
        "--robustness": robustness, "--out": picture, "--whole": whole,
    }  # fmt: skip
    given |= dict(zip(("--unknown-below", "--still-below", "--hold", "--decide-at"), rules, strict=True))
    kind: Kind = "file" if is_model(run) else "whole" if whole else "clips" if robustness is None else "robustness"
    refuse_unused(kind, given)
    if is_model(run):
        settings: dict[str, Any] = {
            flag[2:].replace("-", "_"): value for flag, value in of_file.items() if flag != "--sensor"
        }
        settings["sensor_size"] = parse_sensor_size(sensor)
        show_file(
            run, data, settings, side=None if side is None else parsed, provider=provider or CPU,
            predictions=predictions, as_json=as_json,
        )  # fmt: skip
        return
    from stdl_events.recordings.predicted_clips import predictions_of
    from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
    from stdl_events.training.evaluation import evaluate_run
    from stdl_events.training.run_folder import load_config, write_json
    from stdl_events.training.run_weights import weights_text
    from stdl_events.whole_file import require_place

    if whole:
        show_whole(
            run, weights=chosen, model=model, data=data, side=parsed, as_json=as_json,
            rules=lambda card: thresholds_from(card, *rules),
        )  # fmt: skip
        return
    if robustness is not None:
        show_robustness(
            run, robustness, weights=chosen, model=model, data=data, device=device, side=parsed, seed=seed,
            picture=picture, as_json=as_json,
        )  # fmt: skip
        return
    if predictions is not None:
        require_place(predictions, room_for="predictions")
    evaluation = evaluate_run.evaluate(
        run, weights=chosen, model=model, data=data, device=device, verify=verify, side=parsed, over_time=True,
        through=parse_through(through), baseline=baseline,
    )  # fmt: skip
    if predictions is not None:
        assert evaluation.frame_spec is not None
        listed = read_split_list(run / SPLIT_FILE)
        root = data if listed is None or data is not None else Path(listed.root)
        clips = evaluation.predictions()
        settings = load_config(run).data.model_dump(mode="json")
        write_json(predictions, predictions_of(clips, evaluation.recordings, evaluation.frame_spec, root, settings))
    if as_json:
        facts = {"run": str(run), "model": None if model is None else str(model), "side": parsed}
        print_json(facts | evaluation.summary())
        return
    if model is None:
        messages.print(f"{run}: {weights_text(run, chosen)}")
    print_evaluation(evaluation, parsed)
    if model is None:
        say_next("export", run, "--out", "model.onnx")


def parse_side(text: str) -> "Side":
    """Return the option's value.

    Raises:
        UserError: it is another word.
    """
    if text in ("test", "validation"):
        return "test" if text == "test" else "validation"
    raise UserError("--side", got=repr(text), expected="test or validation", todo="correct the option")


def parse_through(text: str | None) -> "Through | None":
    """Return the option's value.

    Raises:
        UserError: it is another word.
    """
    if text in (None, "onnx"):
        return None if text is None else "onnx"
    raise UserError("--through", got=repr(text), expected="onnx", todo="correct the option")
