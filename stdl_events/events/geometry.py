"""`Geometry`: quarter turns, mirroring, a window and a scale of events, as data.

Every step moves columns and rows independently, after an exchange of the two. A geometry is therefore one table per
axis, and costs two look-ups per event.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from stdl_events.errors import FrameSpecError
from stdl_events.events.filters import take
from stdl_events.events.stream import EventArray, copied
from stdl_events.validation import first_problem

Rotation: TypeAlias = Literal[0, 90, 180, 270]
Flip: TypeAlias = Literal["none", "horizontal", "vertical"]
ScaleBy: TypeAlias = Literal["area", "pick"]
Size: TypeAlias = tuple[int, int]
Table: TypeAlias = npt.NDArray[np.int32]

_DROPPED = -1


def _read_rotation(value: object) -> object:
    """Parse `90`."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _read_size(value: object) -> object:
    """Parse `346x260` to (346, 260)."""
    return _read(value, r"(\d{1,5})[xX](\d{1,5})", "width x height, such as 128x96")


def _read_window(value: object) -> object:
    """Parse `40,0,260x260` to (40, 0, 260, 260)."""
    return _read(value, r"(\d{1,5}),(\d{1,5}),(\d{1,5})[xX](\d{1,5})", "x,y,width x height, such as 40,0,260x260")


def _read(value: object, form: str, expected: str) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(form, value.replace(" ", ""))
    if found is None:
        raise FrameSpecError("geometry", got=repr(value), expected=expected, todo="correct it")
    return tuple(map(int, found.groups()))


def _text(value: object) -> str:
    """The inverse of the three above."""
    if not isinstance(value, tuple):
        return str(value)
    return ",".join([*map(str, value[:-2]), "{}x{}".format(*value[-2:])])


_Side = Annotated[int, Field(ge=1, le=65536)]
_Coordinate = Annotated[int, Field(ge=0, le=65535)]
# The types of settings and of stored specs, which may be written as text.
RotationSetting = Annotated[Rotation, BeforeValidator(_read_rotation)]
SizeSetting = Annotated[tuple[_Side, _Side], BeforeValidator(_read_size)]
WindowSetting = Annotated[tuple[_Coordinate, _Coordinate, _Side, _Side], BeforeValidator(_read_window)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Geometry:
    """Changes of a picture's geometry, applied in the order of the attributes; the default changes nothing.

    Attributes:
        rotate: degrees clockwise, as seen in the picture.
        flip: mirror left to right ("horizontal") or top to bottom ("vertical").
        crop: (x, y, width, height) of the window that is kept; its top left pixel becomes the origin.
        center_crop: (width, height) of a window in the middle, instead of `crop`; of an odd margin, the larger half is
            at the right and at the bottom.
        scale: (width, height) of the picture in the end, at most that of the window.
        scale_by: pixel x of w goes to x * W // w. "area" keeps all events of the pixels that share a target, so that
            counts are sums; "pick" keeps those of the middle one alone, so that rates per pixel stay.
    """

    rotate: RotationSetting = 0
    flip: Flip = "none"
    crop: WindowSetting | None = None
    center_crop: SizeSetting | None = None
    scale: SizeSetting | None = None
    scale_by: ScaleBy = "area"

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "Geometry":
        """Parse settings whose values may be text, such as {"rotate": "90", "scale": "128x128"}.

        Raises:
            FrameSpecError: a setting is unknown, or its value is invalid.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            problem = first_problem(error)
            raise FrameSpecError(
                problem.where, got=problem.got, expected=problem.expected, todo=problem.todo or "correct it"
            ) from None

    def __bool__(self) -> bool:
        """True if anything changes."""
        return (self.rotate, self.flip, self.crop, self.center_crop, self.scale) != (0, "none", None, None, None)

    @property
    def words(self) -> list[tuple[str, str]]:
        """The settings that differ from their defaults, each with its name and as text."""
        changed = ((field.name, getattr(self, field.name)) for field in fields(self))
        usual = Geometry()
        return [(name, _text(value)) for name, value in changed if value != getattr(usual, name)]

    @property
    def keeps_all(self) -> bool:
        """True if no event is dropped, whatever the sensor."""
        return self.crop is None and self.center_crop is None and (self.scale is None or self.scale_by == "area")

    def size(self, sensor_size: Size) -> Size:
        """Return (width, height) of the picture of a sensor of `sensor_size`.

        Raises:
            FrameSpecError: the window is not inside the picture, or the scale is larger than the window, or a setting
                has nothing to apply to.
        """
        _, _, width, height = self._window(self.turned(sensor_size))
        if self.scale is None:
            if self.scale_by != "area":
                raise FrameSpecError("scale_by", got=self.scale_by, expected="a scale as well", todo="add the scale")
            return width, height
        if not (1 <= self.scale[0] <= width and 1 <= self.scale[1] <= height):
            raise FrameSpecError(
                "scale", got="{}x{}".format(*self.scale), expected=f"at most {width}x{height}, the size before it",
                todo="scale to a smaller picture: events cannot be enlarged",
            )  # fmt: skip
        return self.scale

    def size_before(self, size: Size) -> Size | None:
        """Return the sensor size of a picture of `size`; None if more than one gives it."""
        cuts = self.crop is not None or self.center_crop is not None or self.scale is not None
        return None if cuts else self.turned(size)

    def turned(self, size: Size) -> Size:
        """Return `size` after the rotation."""
        return size if self.rotate in (0, 180) else (size[1], size[0])

    def start(self, sensor_size: Size) -> "Movement":
        """Return the function of events of a sensor of `sensor_size`.

        Raises:
            FrameSpecError: see `size`.
        """
        return Movement(self, sensor_size)

    def tables(self, sensor_size: Size) -> tuple[Table, Table]:
        """Return the new column and the new row by the old coordinate along the same axis, -1 where it is dropped.

        The old coordinates are those after the exchange of columns and rows by a rotation of 90 or 270 degrees.

        Raises:
            FrameSpecError: see `size`.
        """
        turned = self.turned(sensor_size)
        left, top, *window = self._window(turned)
        target = self.size(sensor_size)
        # Clockwise by 90 degrees the new column is H - 1 - y, the new row is x; 270 is its mirror image in both.
        reversed_x = (self.rotate in (90, 180)) != (self.flip == "horizontal")
        reversed_y = (self.rotate in (180, 270)) != (self.flip == "vertical")
        table_x = self._table(turned[0], reversed_x, left, window[0], target[0])
        table_y = self._table(turned[1], reversed_y, top, window[1], target[1])
        return table_x, table_y

    def _table(self, side: int, is_reversed: bool, first: int, length: int, target: int) -> Table:
        position = np.arange(side, dtype=np.int32)
        if is_reversed:
            position = side - 1 - position
        position = position - first
        inside = (position >= 0) & (position < length)
        cell = np.arange(length, dtype=np.int64) * target // length
        if self.scale is not None and self.scale_by == "pick":
            first_N, last_N = (
                np.searchsorted(cell, np.arange(target)),
                np.searchsorted(cell, np.arange(target), "right"),
            )
            picked = np.full(length, _DROPPED)
            picked[(first_N + last_N - 1) // 2] = np.arange(target)
            cell = picked
        moved: Table = np.where(inside, cell[position.clip(0, length - 1)], _DROPPED).astype(np.int32)
        return moved

    def _window(self, size: Size) -> tuple[int, int, int, int]:
        """Return (x, y, width, height) of the window in a turned picture of `size`."""
        if self.crop is not None and self.center_crop is not None:
            raise FrameSpecError(
                "crop", got="crop and center_crop", expected="one of them", todo="leave one out (center_crop=none)"
            )
        if self.center_crop is not None:
            name, (width, height) = "center_crop", self.center_crop
            x, y = (size[0] - width) // 2, (size[1] - height) // 2
        else:
            name, (x, y, width, height) = "crop", self.crop or (0, 0, *size)
        if min(x, y) < 0 or min(width, height) < 1 or x + width > size[0] or y + height > size[1]:
            raise FrameSpecError(
                name, got=f"{width}x{height} pixels from {x},{y}",
                expected="a window inside the {}x{} pixels of the turned picture".format(*size),
                todo="choose a smaller window, or move it",
            )  # fmt: skip
        return x, y, width, height


class Movement:
    """A geometry's function of the events of one sensor."""

    def __init__(self, geometry: Geometry, sensor_size: Size) -> None:
        self._exchanges = geometry.rotate in (90, 270)
        self._table_x, self._table_y = geometry.tables(sensor_size)

    def __call__(self, events: EventArray) -> EventArray:
        """Return the moved events, in a new array; all of them must be on the sensor."""
        x_N, y_N = (events["y"], events["x"]) if self._exchanges else (events["x"], events["y"])
        new_x_N, new_y_N = self._table_x.take(x_N), self._table_y.take(y_N)
        kept_N = (new_x_N | new_y_N) >= 0
        moved: EventArray = copied(events)
        moved["x"], moved["y"] = new_x_N, new_y_N
        return moved if kept_N.all() else take(moved, kept_N)
