"""The options of every command that turns, cuts or scales the picture."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stdl_events.events.geometry import Geometry
    from stdl_events.events.stream import EventSource

RotateOption = Annotated[
    int | None, typer.Option("--rotate", metavar="0|90|180|270", help="Turn the picture clockwise by these degrees.")
]
FlipOption = Annotated[str | None, typer.Option("--flip", metavar="none|horizontal|vertical", help="Then mirror it.")]
CropOption = Annotated[
    str | None, typer.Option("--crop", metavar="X,Y,WxH", help="Then keep this window, from its left upper pixel on.")
]
CenterCropOption = Annotated[
    str | None, typer.Option("--center-crop", metavar="WxH", help="Or keep a window of this size in the middle.")
]
ScaleOption = Annotated[
    str | None, typer.Option("--scale", metavar="WxH", help="Then shrink the picture to this size.")
]
ScaleByOption = Annotated[
    str | None,
    typer.Option(
        "--scale-by",
        metavar="area|pick",
        help="Sum the events of pixels that become one, or keep those of the middle one alone.  [default: area]",
    ),
]


def geometry_settings(
    rotate: int | None = None,
    flip: str | None = None,
    crop: str | None = None,
    center_crop: str | None = None,
    scale: str | None = None,
    scale_by: str | None = None,
) -> dict[str, Any]:
    """Return the settings of `Geometry` that are given, as text or numbers."""
    given = {
        "rotate": rotate, "flip": flip, "crop": crop, "center_crop": center_crop, "scale": scale, "scale_by": scale_by,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def say_inferred(source: "EventSource", geometry: "Geometry") -> None:
    """Warn if `geometry` depends on a sensor size that is only inferred from the events of `source`."""
    from stdl_events.events.filtered import warn_if_inferred
    from stdl_events.events.recording import Recording

    recording = getattr(source, "recording", source)
    if isinstance(recording, Recording):
        warn_if_inferred(recording, geometry)
