"""`stdin`: a recording that another program writes to the standard input, in a format of appended events.

The pipe is followed like a file that is still written. Its beginning goes to a temporary file, which tells the format
and the header; the rest is decoded as it comes. The program waits for the model.
"""

import os
import select
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stdl_events.errors import RecordingError
from stdl_events.events.sources.beginning import Waiting, open_beginning
from stdl_events.events.sources.follow import FollowSource
from stdl_events.events.stream import EventArray

_READ_BYTES = 1 << 16
_POLL_S = 0.2


def open_stdin(
    address: str,
    *,
    format: str | None = None,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    stream: int | None = None,
    time_unit: str | None = None,
    columns: str | None = None,
    repair: bool = False,
    strict: bool = False,
    descriptor: int = 0,
) -> "PipedSource":
    """Read the beginning of the recording.

    Args:
        address: empty.
        descriptor: of the open file that is read.
        format, sensor_size, default_sensor_size, stream, time_unit, columns, repair, strict: as for `open_followed`.

    Raises:
        RecordingError: see `open_followed`.
    """
    if address:
        raise RecordingError(f"source stdin:{address}", got=address, expected="stdin alone", todo="correct it")
    return PipedSource(
        descriptor, format=format, sensor_size=sensor_size, default_sensor_size=default_sensor_size, stream=stream,
        time_unit=time_unit, columns=columns, repair=repair, strict=strict,
    )  # fmt: skip


class PipedSource(FollowSource):
    """An `EventSource` of a recording that arrives through a pipe; it ends where the pipe does."""

    def __init__(self, descriptor: int, *, repair: bool = False, strict: bool = False, **beginning: Any) -> None:
        folder = tempfile.mkdtemp(prefix="stdl-events-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._descriptor, self._ended = descriptor, False
        self._begin = path = Path(folder) / "stdin"
        path.touch()
        # Nothing more comes once the pipe has ended: the clock stands still until then.
        waiting = Waiting(idle_s=1.0, clock_s=lambda: float(self._ended), sleep_s=self._read_more)
        try:
            pieces, header, size = open_beginning(path, waiting, **beginning)
        except RecordingError as error:
            raise _of_stdin(error) from None
        super().__init__(path, pieces, header, size, waiting=waiting, repair=repair, strict=strict)
        self.name = "stdin"

    def chunks(self) -> Iterator[EventArray]:
        try:
            yield from super().chunks()
        except RecordingError as error:
            raise _of_stdin(error) from None

    def _read_more(self, seconds: float) -> None:
        del seconds  # a pipe wakes its reader
        data = os.read(self._descriptor, _READ_BYTES)
        self._ended = not data
        with self._begin.open("ab") as file:
            file.write(data)

    def _appended(self) -> Iterator[bytes]:
        with self._begin.open("rb") as file:
            file.seek(self._pieces.next_byte)
            yield file.read()
        while not self._ended:
            if select.select([self._descriptor], [], [], _POLL_S)[0]:
                data = os.read(self._descriptor, _READ_BYTES)
                self._ended = not data
                yield data
            else:
                yield b""


def _of_stdin(error: RecordingError) -> RecordingError:
    todo = "write it to a file first" if "--follow" in error.todo else error.todo
    return type(error)("stdin", got=error.got, expected=error.expected, todo=todo)
