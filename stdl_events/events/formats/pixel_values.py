"""Values of the columns x and y: what can be a pixel of a sensor."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError

_PIXELS = 65536
_ALWAYS_PIXELS = (np.dtype("u2"), np.dtype("u1"), np.dtype("?"))
_FEW = 16


def can_be_pixels(column: npt.NDArray[Any]) -> bool:
    """True if all values are coordinates of a possible sensor."""
    if column.dtype in _ALWAYS_PIXELS or not len(column):
        return True
    return bool(column.min() >= 0 and column.max() < _PIXELS)


def require_no_shares(path: Path, name: str, column: npt.NDArray[Any], fractional: int) -> None:
    """Check that coordinates are no shares of the sensor's size; `fractional` of them have fractions.

    Raises:
        UnknownFormatError: they are.
    """
    if 2 * fractional > len(column) > _FEW and column.max() <= 1:
        raise UnknownFormatError(
            str(path), got=f"values of {name} from 0 to 1", expected="pixels",
            todo="multiply x and y by the width and height of the sensor, and save whole numbers",
        )  # fmt: skip
