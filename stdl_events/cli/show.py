"""`show`: a summary of a recording in the terminal, or a picture of it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
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
from stdl_events.cli.recording_facts import (
    defect_rows,
    describe,
    describe_filters,
    facts_table,
    filter_rows,
    stream_text,
    time_text,
)
from stdl_events.cli.show_clips import say_clips, show_clip, show_predictions

if TYPE_CHECKING:
    from stdl_events.analysis.camera_pictures import CameraPictures
    from stdl_events.analysis.recording_survey import Rate, Survey
    from stdl_events.events.recording import Recording
    from stdl_events.frames import FrameSpec

SPARKS = " ▁▂▃▄▅▆▇█"
SPARK_BINS = 60
# Defaults: the windows and clips of the recipe `folder`; bins for a recording shorter than ten of these.
WINDOW_US, BINS, STEPS = 20_000, 10, 10
HOT_PIXELS = 24


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(show)


def show(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A recording, in any supported format; with --predictions the folder of recordings."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The picture to write: an animation .gif, a sheet .png, or a report .html."),
    ] = None,
    start: FromOption = None,
    stop: ToOption = None,
    clip: Annotated[
        int | None, typer.Option("--clip", min=1, help="Show the frames of one clip alone, by its number from 1.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Windows in a clip, for --clip.")] = STEPS,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="The clips of a file that evaluate --predictions wrote, the worst first; with --clip the N-th.",
        ),
    ] = None,
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
    """Show a recording: event rate, heat map, and frames as the network's input.

    Without --out it prints a summary. If the sensor also took pictures, the nearest in time is drawn beside each frame.
    Predictions that live --record wrote beside the recording are shown at their times: in pictures, below each frame.
    Frames are cut like those of `frames`. The default is windows of 20 ms, or ten bins of equal time if the recording
    is shorter than ten such windows.

    Example: stdl-events show walk.aedat4 --out walk.html
    """
    if predictions is not None:
        show_predictions(file, predictions, clip, out, json)
        return
    from stdl_events.analysis.recording_survey import survey_recording
    from stdl_events.analysis.said_clips import clips_said, said_at
    from stdl_events.events.other_streams import read_other_streams
    from stdl_events.events.part import part_of

    geometry = geometry_settings(rotate, flip, crop, center_crop, scale, scale_by)
    cut = Cut(bins, by, remainder, frame_us, events_per_frame, downscale, cap, filters, geometry)
    shown, rate_bins = 0, SPARK_BINS
    if out is not None and clip is None:
        from stdl_events.analysis.camera_pictures import nearest_pictures
        from stdl_events.analysis.recording_pictures import RATE_BINS, frames_to_show

        shown, rate_bins = frames_to_show(out), RATE_BINS
    whole = open_from_options(file, format, sensor, stream, time_unit, repair, strict, take, columns)
    recording = part_of(whole, parse_position(start, "--from"), parse_position(stop, "--to"))
    if clip is not None:
        show_clip(whole, recording, _clip_spec(recording, cut, steps), clip, out, json)
        return
    others = read_other_streams(whole)
    facts = describe(whole, others, recording)
    if not facts["events"] and out is None:
        _print_empty(facts, json)
        return
    spec = _spec(recording, cut)
    with messages.status("looking"):
        survey = survey_recording(recording, spec, frames=shown, rate_bins=rate_bins)
        said = clips_said(file, survey.rate.t_first_us, survey.rate.t_last_us + 1)
        if out is not None:
            pictures = nearest_pictures(whole, others, survey.spec, survey.frame_middle_us_N)
            facts |= describe_filters(recording, filters, find_hot_pixels=True)
            _draw(out, file, facts, survey, pictures, said_at(said, survey.frame_middle_us_N) if said else ())
    if json:
        print_json(_document(facts, survey, out) | {"predictions": [asdict(clip) for clip in said]})
    elif out is None:
        results.print(facts_table(facts))
        _print_rate(survey.rate)
        say_clips(said, survey.rate.t_first_us)
        results.print(f"frames: {_frames_text(survey)}; --out FILE draws them")
    else:
        results.print(f"{out}: {_out_text(out, survey)}")


def _spec(recording: "Recording", cut: Cut) -> "FrameSpec":
    if all(value is None for value in cut.ways.values()):
        first_us, last_us = recording.t_first_us or 0, recording.t_last_us or 0
        if cut.by is not None or cut.remainder is not None or last_us - first_us < BINS * WINDOW_US:
            cut = replace(cut, bins=BINS, by=cut.by or "time")
        else:
            cut = replace(cut, frame_us=WINDOW_US)
    return spec_from_options(recording, cut)


def _clip_spec(recording: "Recording", cut: Cut, steps: int) -> "FrameSpec":
    if all(value is None for value in cut.ways.values()):
        cut = replace(cut, frame_us=WINDOW_US)
    spec = spec_from_options(recording, cut)
    return spec if spec.kind == "recording" else spec.model_copy(update={"steps": steps})


def _draw(
    out: Path,
    file: Path,
    facts: dict[str, Any],
    survey: "Survey",
    pictures: "CameraPictures | None",
    said: Sequence[str],
) -> None:
    from stdl_events.analysis.recording_pictures import draw_recording

    spec = survey.spec
    rows = {
        "file": file.name,
        "format": facts["format"],
        "sensor": f"{facts['width']} x {facts['height']}",
        "events": f"{facts['events']:,}, {facts['on_fraction']:.1%} brighter",
        "duration": f"{facts['duration_us'] / 1e6:.6f} s",
        "rate": "none" if facts["rate_hz"] is None else f"{facts['rate_hz']:,.0f} events/s",
        "pixels with events": f"{_active(survey):.1%}",
        "frames": _frames_text(survey),
        "time": time_text(facts),
    }
    rows |= {stream["kind"]: stream_text(stream) for stream in facts["other_streams"]}
    if facts["t_first_us"] is not None:
        rows["clock"] = f"{facts['t_first_us']:,} to {facts['t_last_us']:,} us"
    rows |= defect_rows(facts) | filter_rows(facts | {"hot_pixels": _hot_pixels_text(facts["hot_pixels"])})
    if spec.geometry:
        rows["picture"] = ", ".join(f"{name} {value}" for name, value in spec.geometry.words)
    draw_recording(out, survey, rows, pictures, said)


def _hot_pixels_text(pixels: str) -> str:
    found = pixels.split("+") if pixels else []
    more = (
        f" and {len(found) - HOT_PIXELS:,} more: info --find-hot-pixels lists them" if len(found) > HOT_PIXELS else ""
    )
    return f"{len(found)}: {'+'.join(found[:HOT_PIXELS])}{more}" if found else ""


def _print_empty(facts: dict[str, Any], json: bool) -> None:
    if json:
        print_json(facts | {"rate": None, "active_pixels": None, "frames": None, "out": None})
    else:
        results.print(facts_table(facts))


def _print_rate(rate: "Rate") -> None:
    total_hz_R = rate.rate_hz_CR.sum(axis=0)
    top_hz = float(total_hz_R.max())
    heights = np.ceil(total_hz_R / top_hz * (len(SPARKS) - 1)).astype(int)
    results.print(f"{''.join(SPARKS[height] for height in heights)}  up to {top_hz:,.0f} events/s")


def _frames_text(survey: "Survey") -> str:
    spec = survey.spec
    channels, height, width = spec.frame_shape_CHW
    if spec.kind == "recording":
        how = f"bins of equal {'event count' if spec.by == 'count' else 'time'}"
    else:
        how = f"windows of {spec.dt_us / 1000:g} ms" if spec.dt_us else f"windows of {spec.events_per_frame:,} events"
    cap = "" if spec.cap is None else f", counts up to {spec.cap}"
    kept = "".join(f", {word}" for word in spec.filters.words)
    return f"{survey.frame_count:,} {how}, {channels} x {height} x {width}{cap}{kept}"


def _out_text(out: Path, survey: "Survey") -> str:
    from stdl_events.analysis.recording_pictures import gif_speed

    text = f"{len(survey.frames_NCHW)} of {_frames_text(survey)}"
    return text + (f", at {gif_speed(survey):.2g} times its speed" if out.suffix.lower() == ".gif" else "")


def _active(survey: "Survey") -> float:
    """Return the share of pixels with events; of squares of pixels if the heat map is downsampled."""
    return float(survey.heat_CHW.any(axis=0).mean())


def _document(facts: dict[str, Any], survey: "Survey", out: Path | None) -> dict[str, Any]:
    off_hz, on_hz = survey.rate.rate_hz_CR.tolist()
    return facts | {
        "rate": {"bin_us": survey.rate.bin_us, "darker_hz": off_hz, "brighter_hz": on_hz},
        "active_pixels": _active(survey),
        "frames": {
            "count": survey.frame_count,
            "shown": survey.frame_indices_N.tolist() if out is not None else [],
            "spec": survey.spec.model_dump(mode="json"),
        },
        "out": None if out is None else str(out),
    }
