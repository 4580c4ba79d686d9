"""The options of every command that opens a recording."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.options.registry_options import one_of
from stdl_events.errors import RecordingError
from stdl_events.events.formats import FORMATS
from stdl_events.events.time_units import TIME_UNITS

if TYPE_CHECKING:
    from stdl_events.events.recording import Recording

RecordingFile = Annotated[Path, typer.Argument(metavar="FILE", help="A recording, in any supported format.")]
FormatOption = Annotated[
    str | None, one_of(FORMATS, "The file's format, if content and suffix leave it open.", "--format")
]
SensorOption = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="Sensor size, if the file does not store it.")
]
StreamOption = Annotated[
    int | None, typer.Option("--stream", help="The number of the event stream, in a file with several.")
]
TimeUnitOption = Annotated[
    str | None,
    one_of(
        TIME_UNITS, "Unit of the file's times, in a table (text, NPY, NPZ, HDF5) that does not state it.", "--time-unit"
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="x,y,t,p",
        help="What the columns of a table (text, NPY, NPZ, HDF5) hold, in their order, whatever their names; - for a "
        "column of something else.",
    ),
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Use the events before the first damage instead of stopping with an error.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Make a backward time step an error instead of sorting, and an event outside the sensor or far from all "
        "others in time an error instead of skipping it.",
    ),
]
TakeOption = Annotated[
    int | None, typer.Option("--take", min=1, help="The number of one take, if the clock was reset while recording.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="70%, or microseconds of the recording's clock.  [default: its beginning]")
]
ToOption = Annotated[
    str | None, typer.Option("--to", help="100%, or microseconds of the recording's clock.  [default: its end]")
]
OrientationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--orientation",
        metavar="FOLDER:rotate=180,flip=...",
        help="Turn the recordings of a class or folder upright, repeatable: rotate=90, 180 or 270 clockwise, then "
        "flip=horizontal or vertical.",
    ),
]


def open_from_options(
    path: Path,
    format: str | None,
    sensor: str | None,
    stream: int | None,
    time_unit: str | None,
    repair: bool,
    strict: bool,
    take: int | None = None,
    columns: str | None = None,
) -> "Recording":
    """Open `path` with the options.

    Raises:
        RecordingError: see `open_recording`; or `sensor` is not WxH.
    """
    from stdl_events.events.files import open_recording

    return open_recording(
        path, format=format, sensor_size=parse_sensor_size(sensor), stream=stream, time_unit=time_unit, repair=repair,
        strict=strict, take=take, columns=columns,
    )  # fmt: skip


def parse_sensor_size(text: str | None) -> tuple[int, int] | None:
    """Parse "WxH", such as "346x260", to (width, height).

    Raises:
        RecordingError: the text has another form.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if match is None:
        raise RecordingError("--sensor", got=repr(text), expected="width x height, such as 346x260", todo="correct it")
    return int(match.group(1)), int(match.group(2))


def parse_position(text: str | None, option: str) -> str | int | None:
    """Parse "70%", or microseconds of the recording's clock.

    Raises:
        RecordingError: the text is neither.
    """
    if text is None or text.endswith("%"):
        return text
    try:
        return int(text)
    except ValueError:
        raise RecordingError(
            option, got=repr(text), expected="a share such as 70%, or whole microseconds", todo="correct it"
        ) from None
