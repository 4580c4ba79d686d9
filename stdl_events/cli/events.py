"""`info` and `convert`: the facts of a recording, and its conversion to another format."""

from pathlib import Path
from typing import Annotated

import typer

from stdl_events.cli.model_facts import describe_model, is_model, model_table
from stdl_events.cli.options.geometry_options import (
    CenterCropOption,
    CropOption,
    FlipOption,
    RotateOption,
    ScaleByOption,
    ScaleOption,
    geometry_settings,
    say_inferred,
)
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    RecordingFile,
    RepairOption,
    SensorOption,
    StreamOption,
    StrictOption,
    TakeOption,
    TimeUnitOption,
    open_from_options,
)
from stdl_events.cli.options.registry_options import FilterOption, TransformOption, one_of, parse_transforms
from stdl_events.cli.output import print_json, results
from stdl_events.cli.recording_facts import describe, describe_filters, facts_table
from stdl_events.events.formats import WRITERS


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(info)
    app.command()(convert)


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording in any supported format, or a model.")],
    filters: FilterOption = None,
    find_hot_pixels: Annotated[
        bool, typer.Option("--find-hot-pixels", help="List the hot pixels in the form that --filter takes.")
    ] = False,
    format: FormatOption = None,
    sensor: SensorOption = None,
    stream: StreamOption = None,
    time_unit: TimeUnitOption = None,
    columns: ColumnsOption = None,
    repair: RepairOption = False,
    strict: StrictOption = False,
    take: TakeOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the facts of a recording: format, sensor, events, times, rate, pictures, IMU samples and triggers.

    With --filter it also prints the number of events that each filter would drop. Of an exported model (.onnx, or
    models:NAME) it prints classes, frames, thresholds, origin and checksums.
    """
    if is_model(file):
        if any((filters, find_hot_pixels, format, sensor, stream, time_unit, columns, repair, strict, take)):
            raise typer.BadParameter("options of recordings do not go with a model", param_hint=str(file))
        facts = describe_model(file)
        print_json(facts) if json else results.print(model_table(facts))
        return
    from stdl_events.events.other_streams import read_other_streams

    recording = open_from_options(file, format, sensor, stream, time_unit, repair, strict, take, columns)
    facts = describe(recording, read_other_streams(recording))
    facts |= describe_filters(recording, filters, find_hot_pixels)
    if json:
        print_json(facts)
    else:
        results.print(facts_table(facts))


def convert(
    file: RecordingFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write; its suffix selects the format.")],
    to: Annotated[str | None, one_of(WRITERS, "The format, if several share the suffix.", "--to")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    filters: FilterOption = None,
    rotate: RotateOption = None,
    flip: FlipOption = None,
    crop: CropOption = None,
    center_crop: CenterCropOption = None,
    scale: ScaleOption = None,
    scale_by: ScaleByOption = None,
    transforms: TransformOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random transforms.")] = 0,
    format: FormatOption = None,
    sensor: SensorOption = None,
    stream: StreamOption = None,
    time_unit: TimeUnitOption = None,
    columns: ColumnsOption = None,
    repair: RepairOption = False,
    strict: StrictOption = False,
    take: TakeOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a recording in another format."""
    from stdl_events.events.convert import convert as convert_recording
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.events.filtered import filtered, transformed
    from stdl_events.events.geometry import Geometry

    recording = open_from_options(file, format, sensor, stream, time_unit, repair, strict, take, columns)
    geometry = Geometry.parse(geometry_settings(rotate, flip, crop, center_crop, scale, scale_by))
    say_inferred(recording, geometry)
    recording = filtered(recording, FilterSpec.parse(filters or ()), geometry)
    recording = transformed(recording, parse_transforms(transforms or []), seed)
    written = convert_recording(recording, out, format=to, replace=force)
    facts = {"path": str(out), "format": written, "events": recording.summary.events, "bytes": out.stat().st_size}
    if json:
        print_json(facts)
    else:
        results.print(f"{out}: {facts['events']:,} events as {written}, {facts['bytes']:,} bytes", soft_wrap=True)
