"""Writing a recording in another format, in bounded memory and atomically."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import MissingExtraError, RecordingError
from stdl_events.events.formats import hdf5, numpy_files
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray


@dataclass(frozen=True)
class Writer:
    """How a format is written.

    Attributes:
        suffix: what its files are called; the first writer of a suffix is its default.
        max_pixels: the largest width or height that it can store.
    """

    format: str
    suffix: str
    write: Callable[[Path, Recording], None]
    max_pixels: int = 65536


def _write_hdf5(path: Path, recording: Recording) -> None:
    hdf5.write_recording(path, recording.chunks(), recording.sensor_size, recording.attributes)


def _with_faery(file_type: str, version: str | None = None) -> Callable[[Path, Recording], None]:
    """A writer of a format that the package faery writes. It begins EVT files at 0 and notes the first time as `t0`."""

    def write(path: Path, recording: Recording) -> None:
        try:
            import faery
        except ImportError:
            raise MissingExtraError(
                str(path), got="no package that writes this format", expected="faery",
                todo="pip install 'stdl-events[formats]'",
            ) from None  # fmt: skip
        if (recording.t_first_us or 0) < 0:
            raise RecordingError(
                str(recording.path), got=f"an event at {recording.t_first_us} us", expected="times from 0",
                todo="write it as .h5 or .npz",
            )  # fmt: skip

        def chunks() -> Iterator[EventArray]:
            for events in recording.chunks():
                yield events.view(faery.EVENTS_DTYPE)

        faery.file_encoder.events_to_file(
            chunks(), path, recording.sensor_size, version=version, file_type=file_type, use_write_suffix=False
        )

    return write


WRITERS = (
    Writer("stdl-hdf5", ".h5", _write_hdf5),
    Writer("stdl-hdf5", ".hdf5", _write_hdf5),
    Writer("npz", ".npz", numpy_files.write_npz),
    Writer("aedat4", ".aedat4", _with_faery("aedat"), max_pixels=32768),
    Writer("evt3", ".raw", _with_faery("evt", "evt3"), max_pixels=2048),
    Writer("evt2", ".raw", _with_faery("evt", "evt2"), max_pixels=2048),
)


def convert(recording: Recording, path: str | Path, *, format: str | None = None, replace: bool = False) -> str:
    """Write `recording` to `path`; returns the format's name.

    Args:
        format: a name of `WRITERS`; without it, the suffix of `path` decides (.raw is EVT 3).
        replace: write over a file that is there.

    Raises:
        RecordingError: no writer fits, the file is there, the sensor or the times do not fit the format, the folder
            cannot be written, or the recording cannot be read.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    writer = _choose(path, format)
    if path.exists() and not replace:
        raise RecordingError(
            str(path), got="a file that is there already", expected="a new name", todo="delete it, or pass --force"
        )
    width, height = recording.sensor_size
    if max(width, height) > writer.max_pixels:
        raise RecordingError(
            str(path), got=f"a sensor of {width}x{height}",
            expected=f"at most {writer.max_pixels} pixels a side in the format {writer.format}", todo="write it as .h5",
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
    return writer.format


def _choose(path: Path, format: str | None) -> Writer:
    suffix = path.suffix.lower()
    for writer in WRITERS:
        if writer.suffix == suffix and format in (None, writer.format):
            return writer
    known = ", ".join(f"{writer.suffix} ({writer.format})" for writer in WRITERS)
    got = f"the name {path.name}" if format is None else f"the name {path.name} for the format {format}"
    raise RecordingError(str(path), got=got, expected=f"a name that ends in one of {known}", todo="rename it")
