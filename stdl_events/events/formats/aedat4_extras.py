"""Pictures, IMU samples and triggers of an AEDAT 4 file, decoded by the package aedat in a process of its own.

aedat aborts the calling process on some damaged files. The process starts only for files with such packets. It returns
arrays in a temporary folder, which are checked here before use.
"""

import json
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from stdl_events import child_process
from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events.formats.aedat4_layout import Layout, read_layout, walk_packets
from stdl_events.events.other_streams import IMU_DTYPE, PICTURE_DTYPE, TRIGGER_DTYPE, OtherStreams, Rows
from stdl_events.events.stream import RecordingWarning

READABLE = frozenset({"FRME", "IMUS", "TRIG"})
PROGRAM = "stdl_events.events.formats.aedat4_child"
_MAX_REPORT_BYTES = 1 << 16
# A slow device decodes about 20 MB of a file per second.
_START_S, _BYTES_PER_S = 30.0, 5e6


def read_streams(
    path: Path, pixels: Collection[int] | None = None, *, timeout_s: float | None = None
) -> OtherStreams | None:
    """Read the pictures, IMU samples and triggers of an AEDAT 4 file; None if it has no packets of these.

    Args:
        pixels: numbers of the pictures to decode, counted from the file's start; None for all.
        timeout_s: limit of the decoding time; None for the time that a slow device needs for a file of this size.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the file is damaged.
        UnknownFormatError: the file declares a stream of an unknown type, with which aedat reads none.
        RecordingError: the pixels take more than 1 GiB.
    """
    with path.open("rb") as file:
        layout = read_layout(file, path)
        if not _has_packets(file, path, layout):
            return None
    unknown = sorted(set(layout.other_streams.values()) - READABLE)
    if unknown:
        raise UnknownFormatError(
            str(path), got=f"a stream of the type {unknown[0]!r}, with which the package aedat reads none",
            expected="streams of the types EVTS, FRME, IMUS and TRIG", todo="write the others to a file of their own",
        )  # fmt: skip
    numbers = "all" if pixels is None else ",".join(map(str, sorted(pixels)))
    with tempfile.TemporaryDirectory(prefix="stdl-events-") as name:
        folder = Path(name)
        _run(path, folder, numbers, timeout_s or _START_S + path.stat().st_size / _BYTES_PER_S)
        pictures = _table(path, folder, "pictures", PICTURE_DTYPE)
        wanted = range(len(pictures)) if pixels is None else sorted(set(pixels) & set(range(len(pictures))))
        return OtherStreams(
            pictures,
            _pixels(path, folder / "pixels", pictures, wanted),
            _table(path, folder, "imus", IMU_DTYPE),
            _table(path, folder, "triggers", TRIGGER_DTYPE),
        )


def _has_packets(file: BinaryIO, path: Path, layout: Layout) -> bool:
    """True if a packet holds something else than events; damage is left for the reader of the events to report."""
    found = False
    try:
        for stream, _, _ in walk_packets(file, path, layout):
            found = found or layout.other_streams.get(stream) in READABLE
    except (TruncatedRecordingError, CorruptRecordingError):
        if found:
            raise
    return found


def _run(path: Path, folder: Path, numbers: str, timeout_s: float) -> None:
    """Decode into `folder`; every failure of the process becomes one of our errors."""
    command = [*child_process.command(PROGRAM), str(path.absolute()), str(folder), numbers]
    environment = {**child_process.environment(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        with (folder / "messages").open("wb") as messages:
            child = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages,
                timeout=timeout_s, check=False,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _undecodable(path, f"the package aedat took more than {timeout_s:.0f} s") from None
    if child.returncode < 0:
        raise _undecodable(path, f"the package aedat ended with {signal.Signals(-child.returncode).name}")
    report_path = folder / "report.json"
    if child.returncode or not report_path.is_file():
        raise _undecodable(path, f"the package aedat ended: {_last_line(folder / 'messages')}")
    with report_path.open("rb") as file:
        report = json.loads(file.read(_MAX_REPORT_BYTES))
    if report["error"] is not None:
        if report["too_large"]:
            raise RecordingError(
                str(path), got="pixels of more than 1 GiB", expected="fewer pictures at a time",
                todo="ask for some of them (pixels=)",
            )  # fmt: skip
        raise _undecodable(path, report["error"])
    for text in report["warnings"]:
        warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=3)


def _undecodable(path: Path, why: str) -> CorruptRecordingError:
    return CorruptRecordingError(
        str(path), got=f"pictures, IMU samples or triggers that do not decode ({' '.join(why.split())[:200]})",
        expected="whole packets of them",
        todo="copy the file again, or use its events alone with --repair (repair=True)",
    )  # fmt: skip


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "without a message")


def _table(path: Path, folder: Path, name: str, dtype: np.dtype[Any]) -> Rows:
    table: Rows = np.load(folder / f"{name}.npy", allow_pickle=False)
    if table.dtype != dtype or table.ndim != 1:
        raise _undecodable(path, f"a table {name} of {table.dtype}, {table.shape}")
    return table


def _pixels(path: Path, file: Path, pictures: Rows, wanted: Collection[int]) -> dict[int, npt.NDArray[Any]]:
    """Return the pixels of the pictures `wanted`, which `file` holds one after the other."""
    data, offset, found = file.read_bytes(), 0, {}
    for number in wanted:
        row = pictures[number]
        height, width, channels = (int(row[name]) for name in ("height", "width", "channels"))
        dtype = np.dtype("<u2" if row["bits"] == 16 else "u1")
        count = height * width * channels
        if count < 0 or offset + count * dtype.itemsize > len(data):
            raise _undecodable(path, f"{len(data) - offset} bytes of the picture {number}")
        pixels = np.frombuffer(data, dtype, count, offset)
        found[number] = pixels.reshape((height, width) if channels == 1 else (height, width, channels))
        offset += count * dtype.itemsize
    return found
