"""The options of every command that cuts a recording into frames."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.errors import FrameSpecError

if TYPE_CHECKING:
    from stdl_events.events.recording import Recording
    from stdl_events.frames import FrameSpec

BinsOption = Annotated[int | None, typer.Option("--bins", help="Cut the whole recording into so many bins.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Bins of equal event count or equal time: count, time.")]
RemainderOption = Annotated[
    str | None, typer.Option("--remainder", help="Events that fill no bin: into the last, or drop.")
]
FrameUsOption = Annotated[int | None, typer.Option("--frame-us", help="Cut windows of so many microseconds.")]
EventsPerFrameOption = Annotated[int | None, typer.Option("--events-per-frame", help="Cut windows of so many events.")]
DownscaleOption = Annotated[int, typer.Option("--downscale", help="Sum squares of so many pixels a side.")]
CapOption = Annotated[
    int | None,
    typer.Option("--cap", help="Greatest count of a pixel; 1 makes binary frames."),
]


@dataclass(frozen=True)
class Cut:
    """What the options say about frames; None is an option that was not given."""

    bins: int | None = None
    by: str | None = None
    remainder: str | None = None
    frame_us: int | None = None
    events_per_frame: int | None = None
    downscale: int = 1
    cap: int | None = None
    filters: list[str] | None = None

    @property
    def ways(self) -> dict[str, int | None]:
        """The options of which one says how to cut."""
        return {"--bins": self.bins, "--frame-us": self.frame_us, "--events-per-frame": self.events_per_frame}


def spec_from_options(recording: "Recording", cut: Cut) -> "FrameSpec":
    """How to cut `recording`.

    Raises:
        FrameSpecError: no way to cut was given, or several, or one with options of another.
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
        "filters": FilterSpec.parse(cut.filters or ()),
    }  # fmt: skip
    if cut.remainder is not None:
        settings["remainder"] = cut.remainder
    if cut.bins is not None:
        return FrameSpec.parse({**settings, "kind": "recording", "steps": cut.bins, "by": cut.by or "count"})
    windows = {"dt_us": cut.frame_us, "events_per_frame": cut.events_per_frame}
    return FrameSpec.parse({**settings, "kind": "stream", "steps": 1, **windows})
