"""Sensor sizes as writers of tables state them: two numbers, or a text such as "640x480"."""

import re
import warnings
from pathlib import Path
from typing import Any

from stdl_events.events.stream import RecordingWarning

SENSOR_SIZE = "sensor_size"
# Width first; some writers of the others put the height first.
SIZE_NAMES = (SENSOR_SIZE, "sensor_resolution", "resolution")
_TEXT = re.compile(r"\D?(\d{1,5})\s*[xX, ]\s*(\d{1,5})\D?")


def numbers_of(values: list[Any]) -> list[float]:
    """Return `values` if they are numbers, (width, height) of one text "WxH", nothing of others."""
    if len(values) == 1 and isinstance(values[0], (str, bytes)):
        text = values[0].decode("latin-1") if isinstance(values[0], bytes) else values[0]
        found = _TEXT.fullmatch(text.strip())
        return [] if found is None else [float(found[1]), float(found[2])]
    return [] if any(isinstance(value, (str, bytes)) for value in values) else values


def width_first(path: Path, name: str, numbers: list[float]) -> tuple[float, float]:
    """Return (width, height) of the first two numbers of `name`.

    A resolution that begins with the smaller number is read as height, width, and a warning says it.
    """
    if name not in SIZE_NAMES[1:] or numbers[0] >= numbers[1]:
        return numbers[0], numbers[1]
    text = f"its {name} {numbers[0]:g}, {numbers[1]:g} is read as height, width"
    warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=7)
    return numbers[1], numbers[0]
