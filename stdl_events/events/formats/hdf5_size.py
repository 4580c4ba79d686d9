"""The sensor size in HDF5 files of other software."""

from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.events.decoder import corrupt
from stdl_events.events.formats.hdf5 import is_dataset
from stdl_events.events.formats.stated_size import SIZE_NAMES, numbers_of, width_first


def find_sensor_size(path: Path, file: Any, place: str) -> tuple[int, int] | None:
    """Return (width, height) for the events at `place`, a group or dataset; None if the file does not store it.

    It is looked for at `place`, in the groups around it and in their groups `calib` (M3ED): attributes or datasets
    `geometry` ("WxH"), `width` and `height`, `sensor_size`, `sensor_resolution` or `resolution`. Some writers of
    `sensor_resolution` put the height first. A resolution that begins with the smaller number is read so, and a warning
    says it.

    Raises:
        CorruptRecordingError: the size is not of 1 to 65536 pixels.
    """
    found = None
    parts = [part for part in place.split("/") if part]
    for depth in range(len(parts), -1, -1):
        where = "/".join(parts[:depth]) or "/"
        for name in (where, f"{where}/calib"):
            if found is None and name in file:
                found = _size_at(path, file[name])
    if found is not None and not all(0 < pixels <= 65536 and pixels == int(pixels) for pixels in found):
        raise corrupt(path, 0, f"the sensor size {found[0]:g}x{found[1]:g}", "1 to 65536 pixels")
    return None if found is None else (int(found[0]), int(found[1]))


def _size_at(path: Path, item: Any) -> tuple[float, float] | None:
    width, height = _numbers(item, "width"), _numbers(item, "height")
    if len(width) == 1 and len(height) == 1:
        return width[0], height[0]
    for name in ("geometry", *SIZE_NAMES):
        numbers = _numbers(item, name)
        if len(numbers) in (2, 3):
            return width_first(path, name, numbers)
    return None


def _numbers(item: Any, name: str) -> list[float]:
    """Return the numbers of an attribute or a small dataset, or of its text "WxH"; none if there is no such one."""
    if name in item.attrs:
        value = item.attrs[name]
    elif not is_dataset(item) and name in item and is_dataset(item[name]) and item[name].size <= 3:
        value = item[name][()]
    else:
        return []
    array = np.asarray(value).ravel()
    return numbers_of(array.tolist()) if array.dtype.kind in "iufSUO" else []
