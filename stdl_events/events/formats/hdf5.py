"""Our HDF5 file of one recording; the only door to h5py, imported when a file is opened since that takes 0.1 s.

Layout, schema version 1: root attributes `stdl_events_schema`, `width`, `height`, `events`; a dataset per field,
`events/t` (int64 us), `events/x`, `events/y` (uint16), `events/p` (uint8), chunked, compressed and checksummed;
further attributes on the group `attributes`. Files are written to a temporary name and renamed.
"""

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stdl_events.errors import CorruptRecordingError, RecordingError, StdlEventsError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt
from stdl_events.events.formats.format import Format, Signature, Writer
from stdl_events.events.formats.hdf5_attributes import read_attribute
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EVENT_DTYPE, EventArray, empty_events
from stdl_events.whole_file import whole_file

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
SCHEMA_VERSION = 1
_FIELD_TYPES = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
_SUFFIXES = (".h5", ".hdf5")
_CHUNK_EVENTS = 1 << 15
_BAD_HDF5 = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


def write_recording(
    path: str | Path,
    events: EventArray | Iterable[EventArray],
    sensor_size: tuple[int, int],
    attributes: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write `events` (one array, or chunks in order) to our HDF5 file at `path`, atomically.

    Raises:
        RecordingError: times step back, an event is outside `sensor_size`, or `path` has another suffix than .h5 and
            .hdf5, or is not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise RecordingError(
            str(path), got=f"the suffix {path.suffix}", expected=" or ".join(_SUFFIXES),
            todo="write such a file, and convert it with stdl-events convert",
        )  # fmt: skip
    with whole_file(path, room_for="events", error=RecordingError) as file:
        fill(file, path, [events] if isinstance(events, np.ndarray) else events, sensor_size, attributes or {})


def fill(
    file: BinaryIO,
    path: Path,
    chunks: Iterable[EventArray],
    sensor_size: tuple[int, int],
    attributes: Mapping[str, str | int | float],
) -> None:
    """Write `chunks` to an empty open file.

    Args:
        path: for errors.

    Raises:
        OSError: the file cannot be written.
        RecordingError: see `write_recording`.
    """
    import h5py

    steady = _Steady(file)
    try:
        with h5py.File(steady, "w", libver="latest") as document:
            _fill(document, path, steady.checked(chunks), sensor_size, attributes)
    finally:
        steady.check()  # before what HDF5 makes of a file that misses parts


class _Steady(io.RawIOBase):
    """A file that seems to take everything, and remembers the first error instead of raising it.

    HDF5 crashes the process when a write fails while it closes a file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error

    def checked(self, chunks: Iterable[EventArray]) -> Iterator[EventArray]:
        """`chunks`, until something has gone wrong."""
        for chunk in chunks:
            self.check()
            yield chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place = self._try(lambda: self._file.seek(offset, whence))
        return offset if place is None else place

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        count = self._try(lambda: self._file.readinto(buffer))  # type: ignore[attr-defined]
        return len(buffer) if count is None else count

    def write(self, data: Any) -> int:
        self._try(lambda: self._file.write(data))
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        self._try(lambda: self._file.truncate(size))
        return size or 0

    def flush(self) -> None:
        self._try(self._file.flush)

    def _try(self, work: Callable[[], int | None]) -> int | None:
        """What `work` returns; None from the first error on."""
        try:
            return None if self._error is not None else work()
        except OSError as error:
            self._error = error
            return None


def _fill(
    file: "h5py.File",
    path: Path,
    chunks: Iterable[EventArray],
    sensor_size: tuple[int, int],
    attributes: Mapping[str, str | int | float],
) -> None:
    chunks = iter(chunks)
    begun = list(itertools.islice(chunks, 2))
    # HDF5 stores and reads whole chunks, so that a short recording has one of its own length.
    most = max(1, len(begun[0])) if len(begun) == 1 else _CHUNK_EVENTS
    _make_fields(file, min(most, _CHUNK_EVENTS), compression="gzip", compression_opts=1, shuffle=True)
    count, t_last_us = 0, None
    for chunk in itertools.chain(begun, chunks):
        _check_chunk(chunk, path, sensor_size, t_last_us)
        if not len(chunk):
            continue
        count = add_events(file, chunk, count)
        t_last_us = int(chunk["t"][-1])
    file.create_group("attributes").attrs.update(attributes)
    file.attrs["width"], file.attrs["height"] = sensor_size
    file.attrs["events"] = count
    # Written last: a file without it is incomplete.
    file.attrs["stdl_events_schema"] = SCHEMA_VERSION


def _make_fields(file: "h5py.File", chunk_events: int, **storage: Any) -> None:
    for name, dtype in _FIELD_TYPES.items():
        file.create_dataset(
            f"events/{name}", (0,), dtype, maxshape=(None,), chunks=(chunk_events,), fletcher32=True, **storage
        )


def add_events(file: "h5py.File", events: EventArray, count: int) -> int:
    """Write `events` behind the `count` that the file has, and return their new number."""
    for name in _FIELD_TYPES:
        dataset = file["events"][name]
        dataset.resize((count + len(events),))
        dataset[count:] = events[name]
    return count + len(events)


def new_document(file: io.RawIOBase, sensor_size: tuple[int, int]) -> "h5py.File":
    """Return a document without events, which is whole whenever it was flushed and its attribute `events` is right.

    Its chunks are not compressed, so that they stay where they are while they fill, and its format is that of HDF5 1.8:
    later ones mark an open file, and refuse it if the program that wrote it was killed.
    """
    import h5py

    document = h5py.File(file, "w", libver=("v108", "v108"))
    _make_fields(document, _CHUNK_EVENTS)
    document.create_group("attributes")
    document.attrs["width"], document.attrs["height"] = sensor_size
    document.attrs["events"] = 0
    document.attrs["stdl_events_schema"] = SCHEMA_VERSION
    return document


def _check_chunk(chunk: EventArray, path: Path, sensor_size: tuple[int, int], t_last_us: int | None) -> None:
    assert chunk.dtype == EVENT_DTYPE, f"chunks of {EVENT_DTYPE}, not of {chunk.dtype}"
    if not len(chunk):
        return
    width, height = sensor_size
    if chunk["x"].max() >= width or chunk["y"].max() >= height:
        got = f"an event at x={chunk['x'].max()} or y={chunk['y'].max()}"
        raise RecordingError(str(path), got=got, expected=f"pixels of {width}x{height}", todo="correct the size")
    if (chunk["t"][1:] < chunk["t"][:-1]).any() or (t_last_us is not None and chunk["t"][0] < t_last_us):
        raise RecordingError(
            str(path), got="times that step back", expected="events in order of time", todo="sort them, stably"
        )


@dataclass(frozen=True)
class OwnDecoder:
    """Decoder of our HDF5 file."""

    path: Path
    count: int
    header: Header

    def blocks(self) -> Iterator[Block]:
        with hdf5_file(self.path) as file:
            fields = {name: file[f"events/{name}"] for name in _FIELD_TYPES}
            for start in range(0, self.count, BLOCK_EVENTS):
                events = empty_events(min(BLOCK_EVENTS, self.count - start))
                for name, field in fields.items():
                    events[name] = field[start : start + len(events)]
                yield Block(events, 0)


def is_own(path: Path) -> bool:
    """True if the HDF5 file at `path` was written by `write_recording`, as far as it is readable."""
    try:
        with hdf5_file(path) as file:
            return "stdl_events_schema" in file.attrs
    except CorruptRecordingError:
        return True


def open_own(path: Path) -> OwnDecoder:
    """Read the header of our HDF5 file.

    Raises:
        CorruptRecordingError: it is damaged, incomplete, or not ours.
        UnknownFormatError: its schema is newer.
    """
    with hdf5_file(path) as file:
        version = int(attribute(file, "stdl_events_schema"))
        if version > SCHEMA_VERSION:
            raise UnknownFormatError(
                str(path), got=f"schema version {version}", expected=f"at most {SCHEMA_VERSION}",
                todo="install a newer stdl-events",
            )  # fmt: skip
        size = (int(attribute(file, "width")), int(attribute(file, "height")))
        count = int(attribute(file, "events"))
        for name, dtype in _FIELD_TYPES.items():
            dataset = file[f"events/{name}"]
            if dataset.shape != (count,) or dataset.dtype != np.dtype(dtype):
                got = f"events/{name} of shape {dataset.shape} and type {dataset.dtype}"
                raise corrupt(path, 0, got, f"shape ({count},) and type {dtype}")
        further = file["attributes"]
        attributes = {key: _plain(attribute(further, key)) for key in further.attrs}
        return OwnDecoder(path, count, Header(size, "header", attributes=attributes))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def hdf5_file(path: Path) -> "Iterator[h5py.File]":
    """Open the HDF5 file at `path` for reading; h5py's errors on damage become ours."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except StdlEventsError:
        raise
    except _BAD_HDF5 as error:
        raise corrupt(path, 0, f"an unreadable HDF5 file ({error})", "a whole one") from None


def attribute(item: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of a group or dataset, see `read_attribute`."""
    import h5py

    return read_attribute(item, name, default, lambda: int(h5py.h5o.get_info(item.id).addr))


def missing_filters(dataset: "h5py.Dataset") -> list[int]:
    """Return the numbers of the compression filters that `dataset` needs and that are not installed."""
    import h5py

    properties = dataset.id.get_create_plist()
    needed = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    return [number for number in needed if not h5py.h5z.filter_avail(number)]


def is_dataset(item: object) -> bool:
    """True if an item of a file is a dataset, not a group."""
    import h5py

    return isinstance(item, h5py.Dataset)


def _write(path: Path, recording: Recording) -> None:
    with path.open("r+b") as file:
        fill(file, path, recording.chunks(), recording.sensor_size, recording.attributes)


FORMAT = Format("HDF5, as stdl-events writes it", open_own, _SUFFIXES, (Signature(MAGIC, is_own),))
WRITER = Writer(_write, _SUFFIXES)
