"""NPZ: arrays t, x, y and p, or one array of all; with `sensor_size` and `time_unit` where the writer knew them.

The headers of the arrays are parsed by `npy`. Nothing is unpickled.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt, truncated
from stdl_events.events.formats import columns
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format, Signature, Writer
from stdl_events.events.formats.npy import ArrayHeader, pick_columns, read_array_header
from stdl_events.events.formats.stated_size import SENSOR_SIZE, find_size, is_size
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EVENT_DTYPE

NPZ_MAGIC = b"PK\x03\x04"
TIME_UNIT_ARRAY = "time_unit"
_MOST_SIDES = 64
_BAD_ZIP = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, struct.error, ValueError,
    IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class NpzMember:
    """Events, or one column of them, in a member of an archive: `skip` bytes after the header of its array."""

    name: str
    array: ArrayHeader
    width: int = 1
    skip: int = 0

    def open(self, archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
        """Open the member at its first event."""
        with _zip_damage(path):
            file = archive.open(self.name)
            read_array_header(file, path)
            left = self.skip
            while left and (data := file.read(min(left, 1 << 20))):
                left -= len(data)
            return file

    def read(self, file: IO[bytes], count: int, path: Path) -> npt.NDArray[Any]:
        """Return the next events, at most `count`: [n], or [n, width] of a table."""
        per_event = self.array.dtype.itemsize * self.width
        with _zip_damage(path):
            data = file.read(count * per_event)
        whole = len(data) // per_event
        part = np.frombuffer(data, self.array.dtype, whole * self.width)
        return part.reshape(whole, self.width) if self.width > 1 else part


@dataclass(frozen=True)
class NpzDecoder:
    """Decoder of one .npz file; its arrays are unpacked in parallel, one block of each at a time.

    Attributes:
        members: by column, or under "" if one holds all columns.
        order: for t, x, y and p the key in `members`, or the name or index within the only one.
    """

    path: Path
    members: dict[Any, NpzMember]
    order: dict[str, Any]
    count: int
    header: Header
    reading: ColumnReading

    def blocks(self) -> Iterator[Block]:
        self.reading.restart()
        with ExitStack() as stack:
            with _zip_damage(self.path):
                archive = stack.enter_context(zipfile.ZipFile(self.path))
            files = {key: stack.enter_context(part.open(archive, self.path)) for key, part in self.members.items()}
            done = 0
            while done < self.count:
                wanted = min(BLOCK_EVENTS, self.count - done)
                parts = {key: part.read(files[key], wanted, self.path) for key, part in self.members.items()}
                whole = min(len(part) for part in parts.values())
                yield self.reading.to_block(0, self._named(parts, whole))
                done += whole
                if whole < wanted:
                    raise truncated(self.path, self.path.stat().st_size, f"{done} of {self.count} events")

    def _named(self, parts: dict[Any, npt.NDArray[Any]], count: int) -> dict[str, npt.NDArray[Any]]:
        if "" not in parts:
            return {field: parts[key][:count] for field, key in self.order.items()}
        part = parts[""]
        return {field: part[key] if part.dtype.names else part[:, key] for field, key in self.order.items()}


@contextmanager
def _zip_damage(path: Path) -> Iterator[None]:
    """Turn `zipfile`'s errors on a damaged archive into ours."""
    try:
        yield
    except RecordingError:
        raise
    except _BAD_ZIP as error:
        raise corrupt(path, 0, f"an archive that does not unpack ({error})", "a whole NPZ file") from None


def open_npz(path: Path, asked: tuple[str, ...] | None = None) -> NpzDecoder:
    """Read the directory of an NPZ file and the headers of its arrays.

    Args:
        asked: the fields of the columns, by their place: in one array of all, or of the arrays in the archive.

    Raises:
        CorruptRecordingError: the archive is incomplete.
        UnknownFormatError: it holds neither arrays t, x, y and p nor one array of all.
    """
    with _zip_damage(path), zipfile.ZipFile(path) as archive:
        arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        size = _sensor_size(path, archive, arrays)
        unit = _time_unit(path, archive, arrays)
        names = [name for name in arrays if name != TIME_UNIT_ARRAY and not is_size(name)]
        is_by_column = columns.has_all_names(names) if asked is None else len(names) == len(asked)
        if is_by_column:
            order: dict[str, Any] = columns.match(path, names, asked)
            members: dict[Any, NpzMember] = {
                name: NpzMember(arrays[name], _one_column(path, name, _array_header(path, archive, arrays[name])))
                for name in order.values()
            }
        else:
            name, array = _array_of_all(path, archive, {name: arrays[name] for name in names}, asked)
            members = _members_of(arrays[name], array)
            order = _order_in(path, archive, members, array, asked)
        counts = {name or "events": member.array.count for name, member in members.items()}
        if len(set(counts.values())) > 1:
            raise corrupt(path, 0, f"arrays of different lengths ({counts})", "arrays of one length")
        if is_by_column or isinstance(order.get("t"), str):
            t_dtype = members[order["t"]].array.dtype if is_by_column else members[""].array.dtype[order["t"]]
            unit = columns.unit_of_dates(path, t_dtype) or unit or columns.unit_of_times(order)
        reading = ColumnReading(path, unit)
    header = Header(size, "header" if size else None, interpretation=reading)
    return NpzDecoder(path, members, order, next(iter(counts.values())), header, reading)


def _array_header(path: Path, archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    with archive.open(name) as file:
        return read_array_header(file, path)


def _one_column(path: Path, name: str, array: ArrayHeader) -> ArrayHeader:
    lengths = [length for length in array.shape if length != 1] or [1]
    if len(lengths) > 1 or array.dtype.names or not array.shape:
        raise UnknownFormatError(
            str(path), got=f"the array {name} of {array.dtype} of shape {list(array.shape)}",
            expected="one number per event", todo="save t, x, y and p as arrays of one dimension",
        )  # fmt: skip
    return replace(array, shape=(lengths[0],))


def _array_of_all(
    path: Path, archive: zipfile.ZipFile, arrays: dict[str, str], asked: tuple[str, ...] | None
) -> tuple[str, ArrayHeader]:
    """Return (name, header) of the one structured array or table among `arrays`; "events" if there are several."""
    found: dict[str, ArrayHeader] = {}
    refused: UnknownFormatError | None = None
    for name, member in arrays.items():
        try:
            array = _array_header(path, archive, member).of(path, asked)
            array.check(path)
        except UnknownFormatError as error:
            refused = refused or error
            continue
        if len(arrays) == 1 or (columns.has_all_names(array.dtype.names) if array.dtype.names else array.count > 0):
            found[name] = array
    if len(found) == 1 or "events" in found:
        name = "events" if "events" in found else next(iter(found))
        return name, found[name]
    if not found and refused is not None and len(arrays) == 1:
        raise refused
    if not found and asked is not None:
        columns.places_of(path, asked, len(arrays))
    kinds = "several arrays" if found else "no arrays"
    by_place = "" if found else ", or say what the arrays hold with --columns (columns=), such as t,x,y,p"
    raise UnknownFormatError(
        str(path), got=f"{kinds} of events among {', '.join(arrays) or 'nothing'}",
        expected="arrays t, x, y and p, or one array of all called events",
        todo=f"save them so{by_place}",
    )  # fmt: skip


def _members_of(name: str, array: ArrayHeader) -> dict[Any, NpzMember]:
    if array.is_planar:
        column_bytes = array.count * array.dtype.itemsize
        return {index: NpzMember(name, array, skip=index * column_bytes) for index in range(array.width)}
    return {"": NpzMember(name, array, 1 if len(array.shape) == 1 else array.width)}


def _order_in(
    path: Path,
    archive: zipfile.ZipFile,
    members: dict[Any, NpzMember],
    array: ArrayHeader,
    asked: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Return the order of the columns in an array of all, as asked, by name or by the first values."""
    if array.dtype.names or not array.count:
        return columns.match(path, array.dtype.names, asked) if array.dtype.names else {}
    parts = []
    for member in members.values():
        with member.open(archive, path) as file:
            parts.append(member.read(file, min(BLOCK_EVENTS, array.count), path))
    whole = min(len(part) for part in parts)
    first = np.stack([part[:whole] for part in parts], axis=1) if array.is_planar else parts[0]
    return pick_columns(path, first, asked)


def _time_unit(path: Path, archive: zipfile.ZipFile, arrays: dict[str, str]) -> str | None:
    """Return the unit in the array `time_unit`, a word; None for another array."""
    if TIME_UNIT_ARRAY not in arrays:
        return None
    with archive.open(arrays[TIME_UNIT_ARRAY]) as file:
        array = read_array_header(file, path)
        data = file.read(array.dtype.itemsize)
    if array.dtype.kind not in "US" or len(data) < array.dtype.itemsize:
        return None
    return columns.stated_unit(path, np.frombuffer(data, array.dtype)[0])


def _sensor_size(path: Path, archive: zipfile.ZipFile, arrays: dict[str, str]) -> tuple[int, int] | None:
    """Return (width, height) from the arrays that state it, whose further numbers are channels."""

    def values(name: str) -> list[Any]:
        with archive.open(arrays[name]) as file:
            try:
                array = read_array_header(file, path)
            except UnknownFormatError:
                return []  # pickled, as None is
            if array.dtype.kind not in "iufSU":
                return []
            data = file.read(_MOST_SIDES * array.dtype.itemsize)
        found: list[Any] = np.frombuffer(data, array.dtype, len(data) // array.dtype.itemsize).tolist()
        return found

    return find_size(path, arrays, values)


def write_npz(path: Path, recording: Recording) -> None:
    """Write the arrays t, x, y, p, `sensor_size` and `time_unit` to `path`, in bounded memory.

    Each array takes a pass over the events.

    Raises:
        RecordingError: see `Recording.chunks` and `Recording.sensor_size`.
    """
    count = recording.summary.events
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(f"{SENSOR_SIZE}.npy", "w") as file:
            np.lib.format.write_array(file, np.array(recording.sensor_size, "<i8"), allow_pickle=False)
        with archive.open(f"{TIME_UNIT_ARRAY}.npy", "w") as file:
            np.lib.format.write_array(file, np.array("us"), allow_pickle=False)
        for name in ("t", "x", "y", "p"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": EVENT_DTYPE[name].str, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(file, header)
                for events in recording.chunks():
                    file.write(events[name].tobytes())


NPZ = Format(
    "NumPy archive of arrays t, x, y and p",
    open_npz,
    (".npz",),
    (Signature(NPZ_MAGIC),),
    open_columns=lambda path, asked, stream: open_npz(path, asked),
)
NPZ_WRITER = Writer(write_npz, (".npz",))
