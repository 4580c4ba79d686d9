"""`live`: run an exported model on a source."""

import time
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.live_check import check
from stdl_events.cli.live_end import ends_with_a_summary, finish, stopped_if_blocked
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
    say_inferred,
)
from stdl_events.cli.options.live_options import (
    BudgetOption,
    CheckOption,
    FollowIdleOption,
    FollowOption,
    LoopOption,
    MaxRateOption,
    ModelOption,
    Overload,
    OverloadOption,
    ProviderOption,
    ReconnectOption,
    RecordOption,
    SignatureOption,
    SinkOption,
    SourceOption,
    ThreadsOption,
    model_alone,
    model_and_source,
    parse_idle,
)
from stdl_events.cli.options.monitor_options import MonitorOption
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
from stdl_events.errors import RecordingError
from stdl_events.events.sources import followed, takes

if TYPE_CHECKING:
    from stdl_events.events.stream import EventSource
    from stdl_events.live import Controls, Sink
    from stdl_events.live.frame_queue import Overload as QueueOverload
    from stdl_events.live.monitor.address import Address


class Every(StrEnum):
    """Interval of `live`'s predictions."""

    clip = "clip"
    frame = "frame"


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(ends_with_a_summary(live))


def live(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL SOURCE", help="An exported .onnx model, and the source; or an option names one of them."
        ),
    ] = None,
    source: SourceOption = None,
    model: ModelOption = None,
    speed: Annotated[
        str | None,
        typer.Option("--speed", help="Recording time per wall time, or max: no frame is dropped.  [default: 1.0]"),
    ] = None,
    overload: OverloadOption = None,
    reconnect: ReconnectOption = None,
    follow: FollowOption = False,
    follow_idle: FollowIdleOption = None,
    loop: LoopOption = False,
    start: FromOption = None,
    stop: ToOption = None,
    every: Annotated[Every, typer.Option("--every", help="Print after each clip or each frame.")] = Every.clip,
    frame_us: Annotated[
        int | None, typer.Option("--frame-us", help="Cut frames of this many microseconds instead of the model's.")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Print JSON lines, the summary last.")] = False,
    sink: SinkOption = None,
    record: RecordOption = None,
    monitor: MonitorOption = None,
    unknown_below: UnknownBelowOption = None,
    still_below: StillBelowOption = None,
    hold: HoldOption = None,
    decide_at: DecideAtOption = None,
    budget_ms: BudgetOption = None,
    check_s: CheckOption = None,
    max_rate: MaxRateOption = None,
    threads: ThreadsOption = 1,
    provider: ProviderOption = "cpu",
    require_signature: SignatureOption = None,
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
    was trained with: for a camera with other hot pixels, hung in another way, or of another size. --follow takes a file
    in a format of appended events: AEDAT, EVT, DAT, .bin or text.

    Example: stdl-events live model.onnx eventcv:EVK4 --center-crop 480x480 --scale 128x128
    """
    from stdl_events.events import open_source
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.events.geometry import Geometry
    from stdl_events.live import LiveSummary, OnnxSession, Recogniser, run_live
    from stdl_events.live.model_identity import ModelIdentity
    from stdl_events.live.recogniser import live_frame_spec
    from stdl_events.live.sinks import open_sink
    from stdl_events.live.sinks.lines import tell
    from stdl_events.live.sinks.recorder import Recorder

    geometry = Geometry.parse(geometry_settings(rotate, flip, crop, center_crop, scale, scale_by))
    chosen = FilterSpec.parse(filters or ())
    if check_s is not None:
        model, source = model_alone(arguments or (), model, source), ""
    else:
        model, source = model_and_source(arguments or (), model, source)
    page = None if monitor is None else _page_address(monitor)
    session = OnnxSession(model, threads=threads, signed_by=require_signature, provider=provider)
    if session.provider_check is not None:
        tell(session.provider_check.to_text())
    if check_s is not None:
        size = parse_sensor_size(sensor)
        make = partial(Recogniser, session, frame_us=frame_us, filters=chosen, geometry=geometry)
        check(
            make, size or geometry.size_before(session.card.frame.sensor_size), check_s, budget_ms, in_json=json_lines
        )
        return
    # A model that no source fits is refused before a camera is opened.
    live_frame_spec(session.card, frame_us=frame_us)
    thresholds = thresholds_from(session.card.decision, unknown_below, still_below, hold, decide_at)
    options: dict[str, Any] = {
        "start": parse_position(start, "--from"), "stop": parse_position(stop, "--to"), "format": format,
        "sensor_size": parse_sensor_size(sensor), "stream": stream,
        "default_sensor_size": geometry.size_before(session.card.frame.sensor_size),
        "time_unit": time_unit, "repair": repair, "strict": strict, "take": take, "columns": columns,
        "loop": loop,
        "reconnect_s": reconnect, "idle_s": parse_idle(follow_idle),
    }  # fmt: skip
    if follow or follow_idle is not None:
        source = followed(source)
    options = {name: value for name, value in options.items() if value is not None and value is not False}
    if speed is not None:
        options["speed"] = _speed(speed)
    if overload is not None and takes(source, "overload"):
        options["overload"] = overload.value
    # Named twice, a sink would write each line twice.
    named = dict.fromkeys([*(["json-lines"] if json_lines else []), *(sink or [])] or ["terminal"])
    sinks = [open_sink(name) for name in named]
    started_s = time.monotonic()
    try:
        opened = open_source(source, **options)
    except KeyboardInterrupt:
        for each in sinks:
            each.ended(LiveSummary.before_the_start(time.monotonic() - started_s))
        return
    say_inferred(opened, geometry)
    recogniser = Recogniser(session, opened.sensor_size, frame_us=frame_us, filters=chosen, geometry=geometry)
    queue_overload = _overload(opened, overload, speed)
    if record is not None:
        sinks.append(Recorder(record, opened.sensor_size, overload=queue_overload))
    controls = None if page is None else _monitored(page, source, sinks, queue_overload)
    if not json_lines:  # its summary says it
        tell(ModelIdentity.of(session).to_text())
        if session.card.accuracy is not None:
            tell(session.card.accuracy.to_text())
    with stopped_if_blocked(session.stop):
        summary = run_live(
            opened, recogniser, sinks, every=every.value, overload=queue_overload, decision=thresholds,
            controls=controls, budget_ms=budget_ms, max_rate=max_rate,
        )  # fmt: skip
    finish(summary)


def _page_address(monitor: str) -> "Address":
    from stdl_events.live.monitor.address import Address

    return Address.parse(monitor)


def _monitored(address: "Address", source: str, sinks: "list[Sink]", overload: "QueueOverload") -> "Controls":
    """Add the page at `address` to the sinks of a run; return what the page controls."""
    from stdl_events.live.monitor import Monitor

    page = Monitor(address, source, overload=overload)
    sinks.append(page)
    return page.controls


def _overload(source: "EventSource", asked: Overload | None, speed: str | None) -> "QueueOverload":
    if asked is not None:
        return asked.value
    if (own := getattr(source, "overload", None)) is not None:
        return own
    return "complete" if speed == "max" else "fresh"


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise RecordingError("--speed", got=repr(text), expected="a number, or max", todo="correct it") from None
