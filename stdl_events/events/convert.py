"""Conversion of a recording to another format, in bounded memory and atomically."""

import errno
import os
from pathlib import Path

from stdl_events.errors import RecordingError, StdlEventsError
from stdl_events.events.files import open_recording
from stdl_events.events.formats import FORMATS, WRITERS
from stdl_events.events.recording import Recording
from stdl_events.whole_file import whole_path


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
    if os.path.exists(path) and not replace:  # False for names that are too long, which Path raises for
        raise RecordingError(
            str(path), got="a file that is there already", expected="a new name", todo="delete it, or pass --force"
        )
    width, height = recording.sensor_size
    if max(width, height) > writer.max_pixels:
        raise RecordingError(
            str(path), got=f"a sensor of {width}x{height}",
            expected=f"at most {writer.max_pixels} pixels a side in the format {name}", todo="write it as .h5",
        )  # fmt: skip
    with whole_path(path, room_for="events", error=RecordingError) as partial:
        try:
            writer.write(partial, recording)
        except StdlEventsError as error:
            error.subject = str(path) if error.subject == str(partial) else error.subject
            raise
        if name in FORMATS:
            _check_whole(partial, name, recording.summary.events)
    return name


def _check_whole(path: Path, format: str, count: int) -> None:
    """Read the file at `path` again: a package that writes through a buffer need not say that the last one was lost.

    Raises:
        OSError: it does not hold `count` events.
    """
    try:
        whole = open_recording(path, format=format).summary.events == count
    except RecordingError:
        whole = False
    if not whole:
        raise OSError(errno.ENOSPC, "a file that was cut short")


def _choose(path: Path, format: str | None) -> str:
    """Return the requested format if it has the suffix of `path`, by default the first format of that suffix."""
    suffix = path.suffix.lower()
    for name in WRITERS if format is None else [WRITERS.check(format)]:
        if suffix in WRITERS[name].suffixes:
            return name
    known = ", ".join(f"{suffix} ({name})" for name, writer in WRITERS.items() for suffix in writer.suffixes)
    got = f"the name {path.name}" if format is None else f"the name {path.name} for the format {format}"
    raise RecordingError(str(path), got=got, expected=f"a name that ends in one of {known}", todo="rename it")
