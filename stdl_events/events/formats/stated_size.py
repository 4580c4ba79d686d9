"""Sensor sizes as writers state them: two numbers under one of several names, or a text such as "640x480".

A statement that is no size, such as 0 or "unknown", is not used, with a warning: the size is then given by the caller
or inferred, as where none is stated.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stdl_events.events.stream import RecordingWarning

SENSOR_SIZE = "sensor_size"
MAX_PIXELS = 65536
# In lower case, without separators. Width first; some writers of resolutions and shapes put the height first.
_SIZES = ("sensorsize", "geometry", "sensorresolution", "resolution", "sensorshape")
_HEIGHT_MAY_BE_FIRST = _SIZES[2:]
# A resolution of time, or a geometry of something else, is passed over.
_OF_OTHER_THINGS = ("geometry", "resolution")
_SIDES = (("width", "height"), ("sensorwidth", "sensorheight"), ("sizex", "sizey"))
_NAMES = tuple((name,) for name in _SIZES) + _SIDES
_NUMBER = r"(\d{1,6})(?:\.0*)?"
_TEXT = re.compile(rf"\D?{_NUMBER}\s*(?:[xX×*,; ]|by)\s*{_NUMBER}(?:\s*[xX×*,; ]\s*\d)?\s*(?:px|pixels?)?\D?")
_ONE_SIDE = re.compile(rf"{_NUMBER}\s*(?:px|pixels?)?")


def plain_name(name: str) -> str:
    """Return a name of a size in lower case, without separators."""
    return re.sub(r"[\W_]", "", name).lower()


def is_size(name: str) -> bool:
    """True for a name that states a size or one side of it."""
    return any(plain_name(name) in names for names in _NAMES)


def find_size(path: Path, names: Iterable[str], values: Callable[[str], list[Any]]) -> tuple[int, int] | None:
    """Return the (width, height) that a file states; None if it states none that can be used.

    Args:
        names: under which the file may state it.
        values: the numbers or texts that are stated under a name; none where they are something else.
    """
    by_name = {plain_name(name): name for name in names}
    for wanted in _NAMES:
        if not all(name in by_name for name in wanted):
            continue
        stated = [value for name in wanted for value in values(by_name[name])]
        numbers = [number for value in stated for number in _numbers_of(value, len(wanted) > 1)]
        if len(numbers) in (2, 3) or wanted[0] not in _OF_OTHER_THINGS:
            name = " and ".join(by_name[name] for name in wanted)
            size = usable_size(path, name, numbers, stated)
            if size is not None:
                return size
    return None


def usable_size(path: Path, name: str, numbers: Sequence[float], stated: object = None) -> tuple[int, int] | None:
    """Return (width, height) of the first two of `numbers`, which may be followed by that of channels.

    None, with a warning, if they are no size. A resolution that begins with the smaller number is read as height,
    width, and a warning says it.

    Args:
        name: under which they are stated.
        stated: what the file says, for the warning, if it is something else than the numbers.
    """
    shown = list(numbers) or stated or ""
    sides = numbers[:2]
    if len(numbers) not in (2, 3) or not all(0 < side <= MAX_PIXELS and side == int(side) for side in sides):
        said = f"its {name}{f' {shown}'[:60].rstrip()}"
        _warn(path, f"{said}: not used, since a width and a height are expected, from 1 to {MAX_PIXELS}")
        return None
    width, height = int(sides[0]), int(sides[1])
    if plain_name(name) in _HEIGHT_MAY_BE_FIRST and width < height:
        _warn(path, f"its {name} {width}, {height} is read as height, width")
        return height, width
    return width, height


def _numbers_of(value: object, is_side: bool) -> list[float]:
    """Return the number, or the numbers of a text; nothing of something else."""
    if not isinstance(value, (str, bytes)):
        return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else value).strip()
    found = _ONE_SIDE.fullmatch(text) or (None if is_side else _TEXT.fullmatch(text))
    return [] if found is None else [float(number) for number in found.groups()]


def _warn(path: Path, text: str) -> None:
    warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=7)
