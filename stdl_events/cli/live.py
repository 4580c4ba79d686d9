"""`live`: run an exported model on a source."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stdl_events.cli.geometry_options import (
    CenterCropOption,
    CropOption,
    FlipOption,
    RotateOption,
    ScaleByOption,
    ScaleOption,
    geometry_settings,
    say_inferred,
)
from stdl_events.cli.options import FilterOption, address_of
from stdl_events.cli.recording_options import (
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
from stdl_events.errors import RecordingError
from stdl_events.events.sources import SOURCES


class Every(StrEnum):
    """Interval of `live`'s predictions."""

    clip = "clip"
    frame = "frame"


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(live)


def live(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported .onnx model.")],
    source: Annotated[
        str,
        address_of(SOURCES, "The source of events; a file, replayed in real time, also without file:.", "--source"),
    ],
    speed: Annotated[
        str, typer.Option("--speed", help="Recording time per wall time, or max: no frame is dropped.")
    ] = "1.0",
    start: FromOption = None,
    stop: ToOption = None,
    every: Annotated[Every, typer.Option("--every", help="Print after each clip or each frame.")] = Every.clip,
    frame_us: Annotated[
        int | None, typer.Option("--frame-us", help="Cut frames of this many microseconds instead of the model's.")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Print JSON lines, the summary last.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads within one step of the model.")] = 1,
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
    """Run a model on a source, then print a summary with latencies. Needs no PyTorch. Ctrl-C ends it.

    --filter and the options from --rotate to --scale-by change the source's events first, in addition to what the model
    was trained with: for a camera with other hot pixels, hung in another way, or of another size.
    """
    from stdl_events.events import open_source
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.events.geometry import Geometry
    from stdl_events.live import OnnxSession, Recogniser, run_live
    from stdl_events.live.recogniser import live_frame_spec
    from stdl_events.live.sinks import JsonLines, Lines

    session = OnnxSession(model, threads=threads)
    # A model that no source fits is refused before a camera is opened.
    live_frame_spec(session.card, frame_us=frame_us)
    pace = _speed(speed)
    geometry = Geometry.parse(geometry_settings(rotate, flip, crop, center_crop, scale, scale_by))
    opened = open_source(
        source, speed=pace, start=parse_position(start, "--from"), stop=parse_position(stop, "--to"), format=format,
        sensor_size=parse_sensor_size(sensor), stream=stream,
        default_sensor_size=geometry.size_before(session.card.frame.sensor_size),
        time_unit=time_unit, repair=repair, strict=strict, take=take, columns=columns,
    )  # fmt: skip
    say_inferred(opened, geometry)
    recogniser = Recogniser(
        session, opened.sensor_size, frame_us=frame_us, filters=FilterSpec.parse(filters or ()), geometry=geometry
    )
    sinks = [JsonLines() if json_lines else Lines()]
    with _termination_as_interrupt():
        run_live(opened, recogniser, sinks, every=every.value, overload="wait" if pace is None else "drop")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise RecordingError("--speed", got=repr(text), expected="a number, or max", todo="correct it") from None


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Make a service manager's SIGTERM end the run like Ctrl-C, with its summary."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
