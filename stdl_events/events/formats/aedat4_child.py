"""The only door to the package aedat: `python -m stdl_events.events.formats.aedat4_child FILE FOLDER NUMBERS`.

It decodes pictures, IMU samples and triggers of the AEDAT 4 file FILE into arrays in FOLDER. NUMBERS selects the
pictures with pixels, separated by commas, or "all". It runs in a process of its own, since aedat aborts on some damaged
files. Memory and disk are limited, so that damage cannot exhaust them.
"""

import errno
import json
import resource
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aedat
import numpy as np
import numpy.typing as npt

from stdl_events.events.other_streams import IMU_DTYPE, PICTURE_DTYPE, TRIGGER_DTYPE

MAX_MEMORY_BYTES = 4 << 30
MAX_FILE_BYTES = 1 << 30
_TABLES = {"imus": IMU_DTYPE, "triggers": TRIGGER_DTYPE}


def main() -> None:
    path, folder, numbers = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    _limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    wanted = None if numbers == "all" else {int(number) for number in numbers.split(",") if number}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            _decode(path, folder, wanted)
            error, too_large = None, False
        except BaseException as raised:  # a panic of the package is not an Exception
            error = f"{type(raised).__name__}: {raised}"
            too_large = isinstance(raised, OSError) and raised.errno == errno.EFBIG
    report = {"error": error, "too_large": too_large, "warnings": [str(warning.message) for warning in warned]}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def _limit(kind: int, most: int) -> None:
    """Lower a resource limit of this process permanently."""
    _, hard = resource.getrlimit(kind)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _decode(path: str, folder: Path, wanted: set[int] | None) -> None:
    tables: dict[str, list[npt.NDArray[Any]]] = {"imus": [], "triggers": []}
    with (folder / "pixels").open("wb") as file:
        pictures = np.fromiter(_pictures(path, file, wanted, tables), PICTURE_DTYPE)
    np.save(folder / "pictures.npy", pictures)
    for name, parts in tables.items():
        np.save(folder / f"{name}.npy", np.concatenate([np.empty(0, _TABLES[name]), *parts]))


def _pictures(path: str, file: Any, wanted: set[int] | None, tables: dict[str, list[Any]]) -> Iterator[tuple[int, ...]]:
    """Yield a row per picture; write the wanted pixels to `file` and add other packets to `tables`."""
    number = 0
    for packet in aedat.Decoder(path):
        for name, parts in tables.items():
            if name in packet:
                parts.append(_with_stream(packet[name], packet["stream_id"], _TABLES[name]))
        if "frame" in packet:
            frame = packet["frame"]
            pixels = frame["pixels"]
            times = [frame[name] for name in ("t", "begin_t", "end_t", "exposure_begin_t", "exposure_end_t")]
            shape = [*pixels.shape, 1][:3]
            if wanted is None or number in wanted:
                file.write(np.ascontiguousarray(pixels).data)
            number += 1
            yield (packet["stream_id"], *times, *shape, 8 * pixels.itemsize, frame["offset_x"], frame["offset_y"])


def _with_stream(stored: npt.NDArray[Any], stream: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    rows = np.empty(len(stored), dtype)
    rows["stream"] = stream
    for ours, theirs in zip(dtype.names[1:], stored.dtype.names, strict=True):  # type: ignore[index, arg-type]
        rows[ours] = stored[theirs]
    return rows


if __name__ == "__main__":
    main()
