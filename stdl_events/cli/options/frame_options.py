"""The options of every command that cuts a recording into frames."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.geometry_options import say_inferred
from stdl_events.errors import FrameSpecError

if TYPE_CHECKING:
    from stdl_events.events.recording import Recording
    from stdl_events.frames import FrameSpec

BinsOption = Annotated[int | None, typer.Option("--bins", help="Cut the whole recording into this number of bins.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Bins of equal event count or equal time: count, time.")]
RemainderOption = Annotated[
    str | None, typer.Option("--remainder", help="Events beyond the last full bin: last (into the last bin) or drop.")
]
FrameUsOption = Annotated[int | None, typer.Option("--frame-us", help="Cut windows of this many microseconds.")]
EventsPerFrameOption = Annotated[
    int | None, typer.Option("--events-per-frame", help="Cut windows of this many events.")
]
DownscaleOption = Annotated[int, typer.Option("--downscale", help="Sum squares of this many pixels a side.")]
CapOption = Annotated[
    int | None,
    typer.Option("--cap", help="Largest count of a pixel; 1 makes binary frames."),
]


@dataclass(frozen=True)
class Cut:
    """The options for frames; None if not given."""

    bins: int | None = None
    by: str | None = None
    remainder: str | None = None
    frame_us: int | None = None
    events_per_frame: int | None = None
    downscale: int = 1
    cap: int | None = None
    filters: list[str] | None = None
    geometry: dict[str, Any] = field(default_factory=dict)

    @property
    def ways(self) -> dict[str, int | None]:
        """The options of which exactly one is required."""
        return {"--bins": self.bins, "--frame-us": self.frame_us, "--events-per-frame": self.events_per_frame}


def spec_from_options(recording: "Recording", cut: Cut) -> "FrameSpec":
    """Return the frame spec for `recording`.

    Raises:
        FrameSpecError: no such option is given, or several, or options that do not belong together.
    """
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.frames import FrameSpec

    given = [name for name, value in cut.ways.items() if value is not None]
    if len(given) != 1:
        raise FrameSpecError(
            "frames", got=" and ".join(given) or "no way to cut", expected="exactly one of " + ", ".join(cut.ways),
            todo="say how to cut the recording",
        )  # fmt: skip
    settings: dict[str, Any] = {
        "sensor_size": recording.sensor_size, "downscale": cut.downscale, "by": cut.by, "cap": cut.cap,
        "filters": FilterSpec.parse(cut.filters or ()), **cut.geometry,
    }  # fmt: skip
    if cut.remainder is not None:
        settings["remainder"] = cut.remainder
    if cut.bins is not None:
        spec = FrameSpec.parse({**settings, "kind": "recording", "steps": cut.bins, "by": cut.by or "count"})
    else:
        windows = {"dt_us": cut.frame_us, "events_per_frame": cut.events_per_frame}
        spec = FrameSpec.parse({**settings, "kind": "stream", "steps": 1, **windows})
    say_inferred(recording, spec.geometry)
    return spec
