"""Writing our HDF5 file while events come: once a second the file on the disk is whole.

HDF5 writes a file in many places, in an order of its own. Its writes are therefore held in memory and written at once,
after the room for them was reserved: on a full disk the file stays as it was a second before.
"""

import io
import os
import time
from pathlib import Path
from typing import Any

from stdl_events.errors import RecordingError
from stdl_events.events.formats.format import require_sides
from stdl_events.events.formats.hdf5 import add_events, new_document
from stdl_events.events.stream import EventArray
from stdl_events.whole_file import appending

MAX_PIXELS = 65536
FLUSH_S = 1.0
_HELD_BYTES = 32 << 20


class Hdf5Appender:
    """A new HDF5 file of ours.

    Attributes:
        events: number of events in the file on the disk.

    Raises:
        RecordingError: the file exists, cannot be made, or the sensor is larger than the format can store.
    """

    def __init__(self, path: Path, sensor_size: tuple[int, int]) -> None:
        require_sides(path, sensor_size, MAX_PIXELS)
        with appending(path, room_for="events", error=RecordingError):
            self._file = _Held(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        self.events = self._count = 0
        self._flushed_s = time.monotonic()
        self._document = new_document(self._file, sensor_size)
        self._flush()

    def append(self, events: EventArray) -> None:
        """Add `events`, in order, behind the others.

        Raises:
            OSError: they cannot be written; the file holds `events` of those before.
        """
        self._count = add_events(self._document, events, self._count)
        if time.monotonic() >= self._flushed_s + FLUSH_S or self._file.held_bytes > _HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the rest.

        Raises:
            OSError: see `append`.
        """
        try:
            if not self._file.is_full:
                self._flush()
        finally:
            self._document.close()
            self._file.close()

    def _flush(self) -> None:
        self._document.attrs.modify("events", self._count)
        self._document.flush()
        self._file.commit()
        self.events, self._flushed_s = self._count, time.monotonic()


class _Held(io.RawIOBase):
    """A file for HDF5 whose writes are held until `commit`.

    HDF5 crashes the process when a write fails while it closes a file, so none seems to fail here.

    Attributes:
        held_bytes: of all writes since the last `commit`.
        is_full: there was no room.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writes: list[tuple[int, bytes]] = []
        self._place = self._size = self.held_bytes = 0
        self.is_full = False

    def commit(self) -> None:
        """Write what is held.

        Raises:
            OSError: there is no room; the file is as it was before.
        """
        before = os.fstat(self._descriptor).st_size
        try:
            if self._size > before:
                os.posix_fallocate(self._descriptor, before, self._size - before)
            for place, data in self._writes:
                _write_all(self._descriptor, data, place)
        except OSError:
            self.is_full = True
            os.ftruncate(self._descriptor, before)
            raise
        os.ftruncate(self._descriptor, self._size)
        self._writes.clear()
        self.held_bytes = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = os.pread(self._descriptor, len(view), self._place).ljust(len(view), b"\0")
        for place, data in self._writes:
            start, stop = max(place, self._place), min(place + len(data), self._place + len(view))
            if start < stop:
                view[start - self._place : stop - self._place] = data[start - place : stop - place]
        self._place += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        count = len(data)
        self._writes.append((self._place, bytes(data)))
        self.held_bytes += count
        self._place += count
        self._size = max(self._size, self._place)
        return count

    def truncate(self, size: int | None = None) -> int:
        self._size = self._place if size is None else size
        return self._size

    def flush(self) -> None:
        """Hold on: `commit` writes."""

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _write_all(descriptor: int, data: bytes, place: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], place + written)
