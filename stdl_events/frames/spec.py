"""`FrameSpec`: the cut of events into frames, as data; a frame is one step's input, a clip is T frames.

Frames of static pictures have a spec too, so that a model's card says what it takes.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stdl_events.errors import FrameSpecError
from stdl_events.events.filter_spec import FilterSpec, require_pixels
from stdl_events.events.geometry import Flip, Geometry, RotationSetting, ScaleBy, SizeSetting, WindowSetting
from stdl_events.frames.picture import MAX_PIXEL, PictureSpec
from stdl_events.validation import first_problem

MAX_COUNT = 65535
# Clips and windows beyond these are mistakes, or attacks: arrays are made of this length, and times are int64.
MAX_STEPS = 1 << 20
MAX_DT_US = 10**12

Positive = Annotated[int, Field(strict=True, ge=1)]
Side = Annotated[int, Field(strict=True, ge=1, le=65536)]


def as_stored(mapping: Any) -> Any:
    """Return a stored frame spec as this version reads it.

    Before specs stated a grid it was that of the clock; then all stated it, those without windows of fixed time too.
    """
    if not isinstance(mapping, Mapping) or mapping.get("grid", "clock") != "clock":
        return mapping
    others = {name: value for name, value in mapping.items() if name != "grid"}
    return others if mapping.get("dt_us") is None else {**others, "grid": "clock"}


@lru_cache
def _geometry(*settings: Any) -> Geometry:
    """Checked once: framing a short recording takes less time than the check."""
    return Geometry(*settings)


class FrameSpec(BaseModel):
    """The cut of events into frames. Part of the model card, so that live frames equal the training frames.

    Attributes:
        kind: "stream" cuts windows of fixed `dt_us`, or windows of `events_per_frame` events; "recording" cuts one
            whole recording into `steps` bins; "picture" repeats one static picture `steps` times.
        steps: T, frames per clip; stream clips start at multiples of T windows.
        grid: zero of the windows of fixed `dt_us`: the first event (after the filters) of the "recording", of the take
            or of the live stream, so that its first clip is whole wherever its clock begins; or that of the "clock".
            Parts of a recording stay on the grid of the whole.
        sensor_size: (W, H) of the source, before any change of geometry.
        by: bins of equal event count or equal duration (recording only).
        remainder: events that do not fill a bin go into the last bin, or are dropped (recording only).
        filters: applied first, on the sensor's own pixels, see `FilterSpec`. Their state starts with the stream.
        rotate, flip, crop, center_crop, scale, scale_by: then the picture is turned, cut and scaled, see `Geometry`.
        downscale: d x d pixels are summed into one; frames are ceil(H/d) x ceil(W/d) of that picture.
        cap: counts saturate at this value; 1 makes binary frames; None means 65535.
        picture: scale and size of pictures (picture only, which takes `center_crop` beside it, and nothing else).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["stream", "recording", "picture"]
    steps: Annotated[Positive, Field(le=MAX_STEPS)]
    sensor_size: tuple[Side, Side]
    dt_us: Annotated[Positive, Field(le=MAX_DT_US)] | None = None
    events_per_frame: Positive | None = None
    grid: Literal["clock", "recording"] = "recording"
    by: Literal["count", "time"] | None = None
    remainder: Literal["last", "drop"] = "last"
    downscale: Positive = 1
    filters: FilterSpec = FilterSpec()
    rotate: RotationSetting = 0
    flip: Flip = "none"
    crop: WindowSetting | None = None
    center_crop: SizeSetting | None = None
    scale: SizeSetting | None = None
    scale_by: ScaleBy = "area"
    cap: Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)] | None = None
    picture: PictureSpec = PictureSpec()

    @model_validator(mode="after")
    def _pixels_are_there(self) -> Self:
        require_pixels(self.filters.hot_pixels, self.sensor_size)
        return self

    @model_validator(mode="after")
    def _window_is_there(self) -> Self:
        if self.picture.resize is not None:
            if self.center_crop is None or max(self.center_crop) > self.picture.resize:
                crop = "none" if self.center_crop is None else "{}x{}".format(*self.center_crop)
                raise FrameSpecError(
                    "center_crop", got=f"{crop}, of pictures whose shorter side has {self.picture.resize} pixels",
                    expected="a window inside them, so that all frames have one size",
                    todo="set frames.center_crop, such as 224x224 of pictures resized to 256",
                )  # fmt: skip
            return self
        self.geometry.size(self.sensor_size)
        return self

    @model_validator(mode="after")
    def _kind_has_its_settings(self) -> Self:
        if self.kind == "picture":
            self._require_none(self._of_events)
            return self
        if self.picture != PictureSpec():
            self._require_none(["picture"])
        given: list[str] = [name for name in ("dt_us", "events_per_frame") if getattr(self, name) is not None]
        if self.kind == "stream":
            if len(given) != 1:
                raise FrameSpecError(
                    "kind stream",
                    got=" and ".join(given) or "neither dt_us nor events_per_frame",
                    expected="exactly one of dt_us and events_per_frame",
                    todo="say how a stream is cut into windows",
                )
            foreign = ["by"] * (self.by is not None) + ["remainder"] * (self.remainder != "last")
        else:
            if self.by is None:
                raise FrameSpecError(
                    "kind recording", got="no `by`", expected="by count or time", todo="say how a recording is cut"
                )
            foreign = given
        if self.grid != "recording" and self.dt_us is None:
            foreign = [*foreign, "grid"]
        self._require_none(foreign)
        return self

    @property
    def _of_events(self) -> list[str]:
        """Names of the settings that are given and have no meaning for pictures."""
        ours = {"kind", "steps", "sensor_size", "center_crop", "picture"}
        names = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        return [name for name in names if name not in ours and (name, self.cap) != ("cap", MAX_PIXEL)]

    def _require_none(self, foreign: list[str]) -> None:
        if foreign:
            raise FrameSpecError(
                f"kind {self.kind}",
                got=" and ".join(foreign),
                expected=f"only settings of kind {self.kind}",
                todo="remove it or choose the other kind",
            )

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> "FrameSpec":
        """Parse `mapping`, written by `model_dump(mode="json")` or by the user.

        Raises:
            FrameSpecError: a key is unknown or missing, or its value is invalid; the message names it.
        """
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            problem = first_problem(error)
            raise FrameSpecError(
                f"frame spec: {problem.where}",
                got=problem.got,
                expected=problem.expected,
                todo=problem.todo or "correct this setting",
            ) from None

    @property
    def geometry(self) -> Geometry:
        """The changes of geometry between the filters and `downscale`."""
        return _geometry(self.rotate, self.flip, self.crop, self.center_crop, self.scale, self.scale_by)

    @property
    def frame_shape_CHW(self) -> tuple[int, int, int]:
        if self.kind == "picture":
            width, height = self.center_crop or self.sensor_size
            return (3, height, width)
        width, height = self.sensor_size
        if self.rotate or self.crop or self.center_crop or self.scale:
            width, height = self.geometry.size(self.sensor_size)
        return (2, -(-height // self.downscale), -(-width // self.downscale))

    @property
    def unfiltered(self) -> "FrameSpec":
        """The same spec for events that are filtered already."""
        return self.model_copy(update={"filters": FilterSpec()})

    @property
    def plain(self) -> "FrameSpec":
        """The same spec for events that have passed its filters and its geometry: what is left is counting."""
        if not self.filters and not self.geometry:
            return self
        left = {field.name: field.default for field in fields(Geometry)}
        size = self.geometry.size(self.sensor_size)
        return self.model_copy(update={**left, "filters": FilterSpec(), "sensor_size": size})


StoredFrameSpec: TypeAlias = Annotated[FrameSpec, BeforeValidator(as_stored)]
"""A frame spec in a file, maybe of an older version."""
