"""`predict`: what a model recognises in recordings that it has never seen."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.decision_options import (
    DecideAtOption,
    HoldOption,
    StillBelowOption,
    UnknownBelowOption,
    thresholds_from,
)
from stdl_events.cli.options.geometry_options import (
    CenterCropOption,
    CropOption,
    FlipOption,
    RotateOption,
    ScaleByOption,
    ScaleOption,
    geometry_settings,
)
from stdl_events.cli.options.live_options import ProviderOption, ThreadsOption
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    FromOption,
    RepairOption,
    SensorOption,
    StreamOption,
    StrictOption,
    TakeOption,
    TimeUnitOption,
    ToOption,
    parse_position,
    parse_sensor_size,
)
from stdl_events.cli.options.registry_options import FilterOption
from stdl_events.cli.options.weights_option import WeightsOption, parse_weights
from stdl_events.cli.output import INTERRUPTED, messages, results
from stdl_events.cli.predict_output import CsvRows, JsonDocument, JsonLines, Output, Table, Tally
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.live.predict import RecordingPrediction
    from stdl_events.live.session import StepSession

PROGRESS_EVERY_S = 10.0


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(predict)


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An exported .onnx model, or the folder of a run or bundle.")
    ],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, and folders of them.")],
    clips: Annotated[bool, typer.Option("--clips", help="Show every clip too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Print a JSON object per recording, as it is made; the summary last.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for every clip to this CSV file.")
    ] = None,
    weights: WeightsOption = None,
    device: Annotated[str, typer.Option(help="Of a run: auto, cpu or cuda.")] = "auto",
    threads: ThreadsOption = 1,
    provider: ProviderOption = "cpu",
    unknown_below: UnknownBelowOption = None,
    still_below: StillBelowOption = None,
    hold: HoldOption = None,
    decide_at: DecideAtOption = None,
    start: FromOption = None,
    stop: ToOption = None,
    filters: FilterOption = None,
    rotate: RotateOption = None,
    flip: FlipOption = None,
    crop: CropOption = None,
    center_crop: CenterCropOption = None,
    scale: ScaleOption = None,
    scale_by: ScaleByOption = None,
    format: FormatOption = None,
    sensor: SensorOption = None,
    stream: StreamOption = None,
    time_unit: TimeUnitOption = None,
    columns: ColumnsOption = None,
    repair: RepairOption = False,
    strict: StrictOption = False,
    take: TakeOption = None,
) -> None:
    """Predict the class of recordings: of each clip, and of the whole by the mean of its clips.

    Clips are cut as evaluate and live cut them, and decided by the thresholds of the model's card; an exported model
    needs no PyTorch. Of a folder, hidden files and those that are no recordings are left out and counted. A recording
    that is unreadable, or of another size than the model's, is named and the others follow; the exit code is then 2. A
    recording without a complete clip is named too. Ctrl-C keeps what was predicted.

    Example: stdl-events predict model.onnx new_recordings/ --csv predictions.csv
    """
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.events.geometry import Geometry
    from stdl_events.live.predict import Reading, predict_recordings
    from stdl_events.recordings.given_files import given_files
    from stdl_events.training.evaluation.predict import open_session
    from stdl_events.whole_file import require_other

    if as_json and json_lines:
        raise typer.BadParameter("one of --json and --json-lines", param_hint="--json")
    reading = Reading(
        start=parse_position(start, "--from"), stop=parse_position(stop, "--to"),
        filters=FilterSpec.parse(filters or ()),
        geometry=Geometry.parse(geometry_settings(rotate, flip, crop, center_crop, scale, scale_by)),
        format=format, sensor_size=parse_sensor_size(sensor), stream=stream, time_unit=time_unit, columns=columns,
        take=take, repair=repair, strict=strict,
    )  # fmt: skip
    session = open_session(model, weights=parse_weights(weights), threads=threads, device=device, provider=provider)
    thresholds = thresholds_from(session.card.decision, unknown_below, still_below, hold, decide_at)
    given = given_files(files, format)
    if csv is not None:
        require_other(csv, [Path(model), *given.files])
    if given.repeated:
        messages.print(f"given twice and predicted once: {count_of(len(given.repeated), 'file')}")
    tally, labels = Tally(len(given.files) + len(given.unusable)), session.card.labels
    with ExitStack() as open_outputs:
        outputs: list[Output] = []
        if as_json:
            outputs.append(JsonDocument(model, labels))
        elif json_lines:
            outputs.append(JsonLines())
        else:
            outputs.append(Table(labels, [str(path) for path in given.files], thresholds, clips=clips))
        if csv is not None:
            outputs.append(open_outputs.enter_context(CsvRows.open(csv, labels)))
        _write(predict_recordings(session, given, reading, thresholds), outputs, tally, quiet=as_json or json_lines)
    if not (as_json or json_lines):
        messages.print(tally.text())
        given_words = {
            "--format": format, "--sensor": sensor, "--stream": stream, "--time-unit": time_unit, "--columns": columns,
            "--take": take, "--from": start, "--to": stop, "--rotate": rotate, "--flip": flip, "--crop": crop,
            "--center-crop": center_crop, "--scale": scale, "--scale-by": scale_by,
        }  # fmt: skip
        words = [*((name, value) for name, value in given_words.items() if value is not None)]
        words += [("--filter", word) for word in filters or ()]
        _say_next(session, tally, [str(word) for pair in words for word in pair])
    if tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    if tally.unreadable:
        raise typer.Exit(2)


def _write(
    predictions: "Iterable[RecordingPrediction]", outputs: Sequence[Output], tally: Tally, *, quiet: bool
) -> None:
    """Give each prediction to the outputs as soon as it is made; Ctrl-C ends the predictions and not the outputs."""
    from stdl_events.training.progress import Heartbeat

    shown = not quiet and results.is_terminal
    beat = Heartbeat(lambda: messages.print(tally.progress()), PROGRESS_EVERY_S)
    beat.start()
    try:
        for prediction in predictions:
            tally.add(prediction)
            for output in outputs:
                output.add(prediction)
            if shown:
                beat.restart()
    except KeyboardInterrupt:
        tally.interrupted = True
    finally:
        beat.stop()
    for output in outputs:
        output.end(tally)


def _say_next(session: "StepSession", tally: Tally, words: Sequence[str]) -> None:
    """Print the command that runs the model on a recording as a camera, or exports a run."""
    if session.path.is_dir():
        say_next("export", session.path, "--out", "model.onnx")
    elif tally.example is not None and session.card.frame.kind == "stream":
        say_next("live", session.path, "--source", tally.example, *words)
