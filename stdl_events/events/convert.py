"""Conversion of a recording to another format, in bounded memory and atomically."""

import os
from pathlib import Path

from stdl_events.errors import RecordingError
from stdl_events.events.formats import WRITERS
from stdl_events.events.recording import Recording


def convert(recording: Recording, path: str | Path, *, format: str | None = None, replace: bool = False) -> str:
    """Write `recording` to `path` and return the name of the format.

    Args:
        format: a name of `WRITERS`; by default the suffix of `path` decides (.raw is EVT 3).
        replace: overwrite an existing file.

    Raises:
        RecordingError: no writer fits, the file exists, the sensor size or the times do not fit the format, the folder
            is not writable, or the recording is not readable.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    name = _choose(path, format)
    writer = WRITERS[name]
    if path.exists() and not replace:
        raise RecordingError(
            str(path), got="a file that is there already", expected="a new name", todo="delete it, or pass --force"
        )
    width, height = recording.sensor_size
    if max(width, height) > writer.max_pixels:
        raise RecordingError(
            str(path), got=f"a sensor of {width}x{height}",
            expected=f"at most {writer.max_pixels} pixels a side in the format {name}", todo="write it as .h5",
        )  # fmt: skip
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        writer.write(partial, recording)
        os.replace(partial, path)
    except OSError as error:
        raise RecordingError(
            str(path), got=str(error), expected="a folder that can be written", todo="check the path and the disk"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return name


def _choose(path: Path, format: str | None) -> str:
    """Return the requested format if it has the suffix of `path`, by default the first format of that suffix."""
    suffix = path.suffix.lower()
    for name in WRITERS if format is None else [WRITERS.check(format)]:
        if suffix in WRITERS[name].suffixes:
            return name
    known = ", ".join(f"{suffix} ({name})" for name, writer in WRITERS.items() for suffix in writer.suffixes)
    got = f"the name {path.name}" if format is None else f"the name {path.name} for the format {format}"
    raise RecordingError(str(path), got=got, expected=f"a name that ends in one of {known}", todo="rename it")
