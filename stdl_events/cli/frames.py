"""`frames`: a recording as an array of event counts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.options.frame_options import (
    BinsOption,
    ByOption,
    CapOption,
    Cut,
    DownscaleOption,
    EventsPerFrameOption,
    FrameUsOption,
    RemainderOption,
    spec_from_options,
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
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    FromOption,
    RecordingFile,
    RepairOption,
    SensorOption,
    StreamOption,
    StrictOption,
    TakeOption,
    TimeUnitOption,
    ToOption,
    open_from_options,
    parse_position,
)
from stdl_events.cli.options.registry_options import FilterOption
from stdl_events.cli.output import messages, print_json, results

if TYPE_CHECKING:
    from stdl_events.events.stream import EventArray


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(frames)


def frames(
    file: RecordingFile,
    out: Annotated[Path, typer.Option("--out", help="The .npy file to write: [T, 2, H, W] uint16.")],
    start: FromOption = None,
    stop: ToOption = None,
    bins: BinsOption = None,
    by: ByOption = None,
    remainder: RemainderOption = None,
    frame_us: FrameUsOption = None,
    events_per_frame: EventsPerFrameOption = None,
    rotate: RotateOption = None,
    flip: FlipOption = None,
    crop: CropOption = None,
    center_crop: CenterCropOption = None,
    scale: ScaleOption = None,
    scale_by: ScaleByOption = None,
    downscale: DownscaleOption = 1,
    cap: CapOption = None,
    filters: FilterOption = None,
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
    """Count a recording's events per pixel and polarity, in bins of the whole or in fixed windows.

    --from and --to cut a part of the recording first.
    """
    from rich.progress import Progress

    from stdl_events.events.hot_pixels import PixelCounts, say_hot_pixels
    from stdl_events.events.part import part_of
    from stdl_events.frames.cut import cut_recording
    from stdl_events.frames.npy import write_frames
    from stdl_events.whole_file import require_other

    require_other(out, [file])
    whole = open_from_options(file, format, sensor, stream, time_unit, repair, strict, take, columns)
    recording = part_of(whole, parse_position(start, "--from"), parse_position(stop, "--to"))
    geometry = geometry_settings(rotate, flip, crop, center_crop, scale, scale_by)
    cut = Cut(bins, by, remainder, frame_us, events_per_frame, downscale, cap, filters, geometry)
    spec = spec_from_options(recording, cut)
    with Progress(console=messages, transient=True) as bar:
        task = bar.add_task("frames", total=recording.summary.events)
        pixels = PixelCounts(spec.sensor_size)

        def watch(events: "EventArray") -> None:
            pixels.add(events)
            bar.advance(task, len(events))

        count = write_frames(out, cut_recording(recording, spec, watch), spec.frame_shape_CHW)
    say_hot_pixels([pixels.hot()], spec.filters.hot_pixels)
    shape = [count, *spec.frame_shape_CHW]
    if json:
        print_json({"out": str(out), "shape": shape, "dtype": "uint16", "events": recording.summary.events})
    else:
        results.print(f"{out}: {' x '.join(map(str, shape))} uint16 from {recording.summary.events:,} events")
