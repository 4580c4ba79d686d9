"""The beginning of a file that is still written: its header, as soon as it is there."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.errors import (
    CorruptRecordingError,
    RecordingError,
    TruncatedRecordingError,
    UnknownFormatError,
)
from stdl_events.events.compressed import is_compressed
from stdl_events.events.decoder import Header, SizeFrom
from stdl_events.events.files import open_decoder, read_head
from stdl_events.events.formats import FORMATS
from stdl_events.events.formats.columns import parse_columns
from stdl_events.events.formats.pieces import Pieces
from stdl_events.events.formats.recognise import HEAD_BYTES, recognise
from stdl_events.events.stream import RecordingWarning
from stdl_events.events.time_units import TIME_UNITS

Size = tuple[int, int]


@dataclass(frozen=True)
class Waiting:
    """How to wait for what is written next.

    Attributes:
        idle_s: nothing more is expected when nothing came for so long; None waits forever.
        poll_s: interval of looking.
        clock_s, sleep_s: the wall clock; for tests.
    """

    idle_s: float | None = None
    poll_s: float = 0.01
    clock_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.idle_s is not None and not 0 < self.idle_s < float("inf"):
            raise RecordingError(
                "--follow-idle", got=f"{self.idle_s:g} s", expected="a time above 0, such as 10s", todo="correct it"
            )


def open_beginning(
    path: Path,
    waiting: Waiting,
    *,
    format: str | None = None,
    sensor_size: Size | None = None,
    default_sensor_size: Size | None = None,
    stream: int | None = None,
    time_unit: str | None = None,
    columns: str | None = None,
) -> tuple[Pieces, Header, Size]:
    """Return the decoder, the header and the sensor size of a file as soon as its beginning is there.

    Raises:
        RecordingError: see `open_followed`, which explains the arguments.
    """
    if time_unit is not None:
        TIME_UNITS.check(time_unit)
    asked = None if columns is None else parse_columns(columns)
    header, pieces = _open_when_written(path, waiting, format, stream, asked, time_unit)
    size, size_from = header.sensor_size, header.sensor_size_from
    chosen: tuple[Size | None, SizeFrom | None] = (size, size_from) if size else (sensor_size, "argument")
    if chosen[0] is None:
        chosen = default_sensor_size, "argument"
    if chosen[0] is None:
        raise RecordingError(
            str(path), got="a file that is still written and does not store the sensor size", expected="a size",
            todo="pass --sensor WxH (sensor_size=(W, H))",
        )  # fmt: skip
    if sensor_size not in (None, chosen[0]):
        text = "its {} says {}x{}, so the sensor size {}x{} is not used".format(size_from, *chosen[0], *sensor_size)
        warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=2)
    return pieces, header, chosen[0]


def _open_when_written(
    path: Path, waiting: Waiting, format: str | None, stream: int | None, asked: Any, time_unit: str | None
) -> tuple[Header, Pieces]:
    """Return the header and the decoder of the file at `path`, once as much of it is written as they need."""
    seen, since_s, is_said = -1, waiting.clock_s(), False
    while True:
        file_bytes = path.stat().st_size if path.is_file() else 0
        if file_bytes != seen:
            seen, since_s = file_bytes, waiting.clock_s()
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    found = _open(path, format, stream, asked, time_unit)
                for each in said:
                    warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
                return found
            except (TruncatedRecordingError, CorruptRecordingError, UnknownFormatError) as error:
                # Anything may be missing from the first bytes, so nothing is said of them; later only what says so.
                if file_bytes >= HEAD_BYTES and not isinstance(error, TruncatedRecordingError):
                    raise
                reason = error
        idle_s = waiting.clock_s() - since_s
        if waiting.idle_s is not None and idle_s >= waiting.idle_s:
            raise reason
        if idle_s > 1 and not is_said:
            is_said = True
            warnings.warn(f"{path}: waiting for its beginning: {reason.got}", RecordingWarning, stacklevel=3)
        waiting.sleep_s(waiting.poll_s)


def _open(
    path: Path, format: str | None, stream: int | None, asked: Any, time_unit: str | None
) -> tuple[Header, Pieces]:
    head = read_head(path)
    if is_compressed(path, head):
        raise RecordingError(
            str(path), got="a compressed file, of which nothing can be read before it is complete",
            expected="a file to which events are appended", todo="write it without compression, or leave --follow out",
        )  # fmt: skip
    if format is None:
        _refuse_guess(path)
    name = recognise(path, head) if format is None else FORMATS.check(format)
    follow = FORMATS[name].follow  # before it is opened, since formats without it have to be whole
    if follow is None:
        names = [name for name, format in FORMATS.items() if format.follow is not None]
        raise RecordingError(
            str(path), got=f"a file in the format {name}, to which events are not appended one by one",
            expected=f"one of {', '.join(names)}", todo="record in one of these, or leave --follow out",
        )  # fmt: skip
    _, decoder = open_decoder(path, head, name, stream, asked)
    interpretation = decoder.header.interpretation
    text = interpretation.use_time_unit(time_unit) if interpretation is not None and time_unit is not None else None
    pieces = follow(decoder, stream)
    if text is not None:
        warnings.warn(f"{path}: {text}", RecordingWarning, stacklevel=4)
    return decoder.header, pieces


def _refuse_guess(path: Path) -> None:
    """Refuse a suffix of several formats that only their events tell apart."""
    names = [
        name
        for name, format in FORMATS.items()
        if path.suffix.lower() in format.suffixes
        and format.follow
        and not any(signature.magic for signature in format.signatures)
    ]
    if len(names) > 1:
        raise RecordingError(
            str(path), got=f"{path.suffix}, which a whole file alone tells to be {' or '.join(names)}",
            expected="a named format", todo=f"say --format {names[0]} or --format {names[1]}",
        )  # fmt: skip
