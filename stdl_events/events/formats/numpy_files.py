"""NPY (a structured array, or an unnamed table [N, 4] or [4, N]) and NPZ (arrays t, x, y, p, or one array of all).

Headers are parsed here and checked against the file's size before any allocation. Nothing is unpickled.
"""

import ast
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt, truncated
from stdl_events.events.formats import columns
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format, Signature, Writer
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EVENT_DTYPE

NPY_MAGIC = b"\x93NUMPY"
NPZ_MAGIC = b"PK\x03\x04"
SENSOR_SIZE_ARRAY = "sensor_size"
TIME_UNIT_ARRAY = "time_unit"
SIZE_ARRAYS = (SENSOR_SIZE_ARRAY, "width", "height")
_MAX_HEADER_BYTES = 1 << 16
_TYPES = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1|V\d{1,3}|[SU]\d{1,2})")
_BAD_HEADER = (ValueError, TypeError, SyntaxError, KeyError, IndexError, OverflowError, RecursionError, MemoryError)
_BAD_ZIP = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, struct.error, ValueError,
    IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class ArrayHeader:
    """Type and shape of an array in the NPY format, and the offset of its data."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    data_offset: int

    @property
    def is_transposed(self) -> bool:
        """True for a table [4, N]."""
        return len(self.shape) == 2 and self.shape[-1] != 4

    @property
    def is_planar(self) -> bool:
        """True for a table that is stored column after column."""
        return len(self.shape) == 2 and self.is_transposed != self.fortran_order

    @property
    def count(self) -> int:
        """Number of events."""
        return max(self.shape) if self.is_transposed else self.shape[0]

    @property
    def bytes_per_event(self) -> int:
        """Size of all columns of one event."""
        return self.dtype.itemsize * (4 if len(self.shape) == 2 else 1)

    def check(self, path: Path) -> None:
        """Check the shape.

        Raises:
            UnknownFormatError: it is neither a structured array [N] nor a table [N, 4] or [4, N].
        """
        if len(self.shape) == 1 and (self.dtype.names or self.shape == (0,)):
            return
        if len(self.shape) != 2 or 4 not in self.shape:
            raise UnknownFormatError(
                str(path), got=f"an array of {self.dtype} of shape {list(self.shape)}",
                expected="a structured array of N events, or a table [N, 4] or [4, N]",
                todo="save the columns t, x, y and p as one of these",
            )  # fmt: skip

    def map(self, path: Path, count: int) -> npt.NDArray[Any]:
        """Return the first `count` events of the file at `path` as a memory map, [N] or [N, 4]."""
        shape = (count,) if len(self.shape) == 1 else (4, count) if self.is_transposed else (count, 4)
        order: Literal["F", "C"] = "F" if self.fortran_order else "C"
        data: npt.NDArray[Any] = np.memmap(path, self.dtype, "r", self.data_offset, shape, order)
        return data.T if self.is_transposed else data


def read_array_header(file: IO[bytes], path: Path) -> ArrayHeader:
    """Read the NPY header at the current position of `file`.

    Axes of length 1 are left out of the shape: of a structured array all but one axis, of others those beyond two.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is incomplete.
        UnknownFormatError: the array holds pickled objects, or other values than numbers and words.
    """
    prefix = file.read(10)
    if len(prefix) == 10 and prefix[6] > 1:
        prefix += file.read(2)
    if len(prefix) < 10 or (prefix[6] > 1 and len(prefix) < 12):
        raise truncated(path, 0, f"{len(prefix)} bytes of an NPY header")
    if not prefix.startswith(NPY_MAGIC) or prefix[6] not in (1, 2, 3):
        raise corrupt(path, 0, f"{prefix[:8]!r}", "an NPY header of version 1 to 3")
    length = int.from_bytes(prefix[8:], "little")
    if length > _MAX_HEADER_BYTES:
        raise corrupt(path, 8, f"a header of {length} bytes", f"at most {_MAX_HEADER_BYTES}")
    text = file.read(length)
    if len(text) < length:
        raise truncated(path, 8, f"{len(text)} of {length} bytes of the header")
    try:
        fields = ast.literal_eval(text.decode("latin-1").strip())
        descr, shape, fortran_order = fields["descr"], tuple(fields["shape"]), bool(fields["fortran_order"])
        is_good = all(type(size) is int and 0 <= size < 2**40 for size in shape)
        dtype = _dtype(path, descr) if is_good else np.dtype("i1")
        is_good = is_good and 0 < dtype.itemsize <= 4096
    except UnknownFormatError:
        raise
    except _BAD_HEADER:
        is_good = False
    if not is_good:
        raise corrupt(path, len(prefix), f"the header {text[:60]!r}", "the header of an array of numbers")
    return ArrayHeader(dtype, _squeezed(shape, bool(dtype.names)), fortran_order, len(prefix) + length)


def _dtype(path: Path, descr: object) -> np.dtype[Any]:
    """Return the type that an NPY header describes: numbers or words, or a structure of these.

    Raises:
        UnknownFormatError: objects or another type.
        ValueError: not a description of a type.
    """
    parts = descr if isinstance(descr, list) else [("", descr)]
    for part in parts:
        kind = part[1] if isinstance(part, tuple) and len(part) in (2, 3) else None
        if not isinstance(kind, str):
            raise ValueError(descr)
        if kind.lstrip("<>=|").startswith("O"):
            raise UnknownFormatError(
                str(path), got="pickled Python objects, which are not read since they can run code",
                expected="arrays of numbers", todo="save the columns t, x, y and p as arrays of numbers",
            )  # fmt: skip
        shape = list(tuple(part)[2:])
        if not _TYPES.fullmatch(kind) or shape:
            if kind[1:2].isalpha() and kind[:1] in "<>=|":
                name = f"{part[0]!r} of type " if part[0] else "values of type "
                raise UnknownFormatError(
                    str(path), got=f"{name}{kind}{shape or ''}",
                    expected="one number per event and column", todo="save t, x, y and p as columns of their own",
                )  # fmt: skip
            raise ValueError(descr)
    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(descr)  # type: ignore[arg-type]
    return dtype


def _squeezed(shape: tuple[int, ...], is_structured: bool) -> tuple[int, ...]:
    most = 1 if is_structured else 2
    while len(shape) > most and 1 in shape:
        shape = shape[: shape.index(1)] + shape[shape.index(1) + 1 :]
    return shape


@dataclass(frozen=True)
class NpyDecoder:
    """Decoder of one .npy file, read through a memory map; `sensor_size` is that of its dataset, if it is known."""

    path: Path
    array: ArrayHeader
    reading: ColumnReading
    order: dict[str, Any] | None
    sensor_size: tuple[int, int] | None = None

    @property
    def header(self) -> Header:
        origin: Literal["format"] | None = "format" if self.sensor_size else None
        return Header(self.sensor_size, origin, interpretation=self.reading)

    def blocks(self) -> Iterator[Block]:
        if self.order is None:
            return
        self.reading.restart()
        array, is_planar = self.array, self.array.is_planar
        count, per_event = array.count, array.bytes_per_event
        size = self.path.stat().st_size
        whole = min(count, max(0, size - array.data_offset) // per_event)
        if is_planar and whole < count:
            # Column after column: a truncated file lacks the last columns, so no event is complete.
            raise truncated(self.path, array.data_offset, f"{size - array.data_offset} bytes of {count} events")
        data = array.map(self.path, whole)
        for start in range(0, whole, BLOCK_EVENTS):
            part = np.array(data[start : start + BLOCK_EVENTS])
            offset = array.data_offset + start * (array.dtype.itemsize if is_planar else per_event)
            named = {field: part[name] if part.dtype.names else part[:, name] for field, name in self.order.items()}
            yield Block(self.reading.to_events(offset, named), offset)
        if whole < count:
            offset = array.data_offset + whole * per_event
            raise truncated(self.path, offset, f"{size - offset} of {per_event} bytes of event {whole} of {count}")


def pick_columns(path: Path, first: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the name or index of t, x, y and p of an array that begins with `first`."""
    if first.dtype.names:
        return dict(columns.match_names(path, first.dtype.names))
    if first.dtype.kind not in "iuf":
        raise UnknownFormatError(
            str(path),
            got=f"an array of {first.dtype}",
            expected="a structured array with t, x, y and p, or a table of numbers",
            todo="save it as one of these",
        )
    return dict(columns.match_values(path, first))


def open_npy(path: Path) -> NpyDecoder:
    """Read the header of an NPY file, and find its columns.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
        UnknownFormatError: it holds no columns t, x, y and p.
    """
    with path.open("rb") as file:
        array = read_array_header(file, path)
    array.check(path)
    available = max(0, path.stat().st_size - array.data_offset) // array.bytes_per_event
    whole = min(array.count, available)
    if not whole or (array.is_planar and whole < array.count):
        return NpyDecoder(path, array, ColumnReading(path), {} if array.count else None)
    order = pick_columns(path, np.asarray(array.map(path, whole)[:BLOCK_EVENTS]))
    unit = columns.unit_of_name(order["t"]) if array.dtype.names else None
    return NpyDecoder(path, array, ColumnReading(path, unit), order)


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
                yield Block(self.reading.to_events(0, self._named(parts, whole)), 0)
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


def open_npz(path: Path) -> NpzDecoder:
    """Read the directory of an NPZ file and the headers of its arrays.

    Raises:
        CorruptRecordingError: the archive is incomplete.
        UnknownFormatError: it holds neither arrays t, x, y and p nor one array of all.
    """
    with _zip_damage(path), zipfile.ZipFile(path) as archive:
        arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        size = _sensor_size(path, archive, arrays)
        unit = _time_unit(path, archive, arrays)
        names = [name for name in arrays if name not in (*SIZE_ARRAYS, TIME_UNIT_ARRAY)]
        is_by_column = columns.has_all_names(names)
        if is_by_column:
            order: dict[str, Any] = dict(columns.match_names(path, names))
            members: dict[Any, NpzMember] = {
                name: NpzMember(arrays[name], _one_column(path, name, _array_header(path, archive, arrays[name])))
                for name in order.values()
            }
        else:
            name, array = _array_of_all(path, archive, {name: arrays[name] for name in names})
            members = _members_of(arrays[name], array)
            order = _order_in(path, archive, members, array)
        counts = {name or "events": member.array.count for name, member in members.items()}
        if len(set(counts.values())) > 1:
            raise corrupt(path, 0, f"arrays of different lengths ({counts})", "arrays of one length")
        has_name = is_by_column or isinstance(order.get("t"), str)
        reading = ColumnReading(path, unit or (columns.unit_of_name(order["t"]) if has_name else None))
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


def _array_of_all(path: Path, archive: zipfile.ZipFile, arrays: dict[str, str]) -> tuple[str, ArrayHeader]:
    """Return (name, header) of the one structured array or table among `arrays`; "events" if there are several."""
    found: dict[str, ArrayHeader] = {}
    refused: UnknownFormatError | None = None
    for name, member in arrays.items():
        try:
            array = _array_header(path, archive, member)
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
    raise UnknownFormatError(
        str(path), got=f"{'several' if found else 'no'} arrays of events among {', '.join(arrays) or 'nothing'}",
        expected="arrays t, x, y and p, or one array of all called events", todo="save them so",
    )  # fmt: skip


def _members_of(name: str, array: ArrayHeader) -> dict[Any, NpzMember]:
    if array.is_planar:
        column_bytes = array.count * array.dtype.itemsize
        return {index: NpzMember(name, array, skip=index * column_bytes) for index in range(4)}
    return {"": NpzMember(name, array, 1 if len(array.shape) == 1 else 4)}


def _order_in(
    path: Path, archive: zipfile.ZipFile, members: dict[Any, NpzMember], array: ArrayHeader
) -> dict[str, Any]:
    """Return the order of the columns in an array of all, by name or by the first values."""
    if array.dtype.names or not array.count:
        return dict(columns.match_names(path, array.dtype.names)) if array.dtype.names else {}
    parts = []
    for member in members.values():
        with member.open(archive, path) as file:
            parts.append(member.read(file, min(BLOCK_EVENTS, array.count), path))
    whole = min(len(part) for part in parts)
    return pick_columns(path, np.stack([part[:whole] for part in parts], axis=1) if array.is_planar else parts[0])


def _time_unit(path: Path, archive: zipfile.ZipFile, arrays: dict[str, str]) -> str | None:
    """Return the unit in the array `time_unit`, a word; None for another array."""
    if TIME_UNIT_ARRAY not in arrays:
        return None
    with archive.open(arrays[TIME_UNIT_ARRAY]) as file:
        array = read_array_header(file, path)
        data = file.read(array.dtype.itemsize)
    if array.dtype.kind not in "US" or len(data) < array.dtype.itemsize:
        return None
    return columns.unit_of_word(np.frombuffer(data, array.dtype)[0])


def _sensor_size(path: Path, archive: zipfile.ZipFile, arrays: dict[str, str]) -> tuple[int, int] | None:
    """Return (width, height) from the array `sensor_size`, whose further numbers are channels, or width and height."""
    name = next((name for name in SIZE_ARRAYS if name in arrays), None)
    names = [SENSOR_SIZE_ARRAY] if name == SENSOR_SIZE_ARRAY else ["width", "height"]
    if not all(name in arrays for name in names):
        return None
    values: list[float] = []
    for name in names:
        with archive.open(arrays[name]) as file:
            array = read_array_header(file, path)
            if array.dtype.kind in "iuf" and not array.dtype.names:
                data = file.read(64 * array.dtype.itemsize)
                values += np.frombuffer(data, array.dtype, len(data) // array.dtype.itemsize).tolist()
    if len(values) not in (2, 3) or not all(0 < pixels <= 65536 and pixels == int(pixels) for pixels in values[:2]):
        raise UnknownFormatError(
            str(path), got=f"the {' and '.join(names)} {values[:6]}", expected="width and height from 1 to 65536",
            todo="save sensor_size as two whole numbers, or leave it out and pass --sensor WxH",
        )  # fmt: skip
    return int(values[0]), int(values[1])


def write_npz(path: Path, recording: Recording) -> None:
    """Write the arrays t, x, y, p, `sensor_size` and `time_unit` to `path`, in bounded memory.

    Each array takes a pass over the events.

    Raises:
        RecordingError: see `Recording.chunks` and `Recording.sensor_size`.
    """
    count = recording.summary.events
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(f"{SENSOR_SIZE_ARRAY}.npy", "w") as file:
            np.lib.format.write_array(file, np.array(recording.sensor_size, "<i8"), allow_pickle=False)
        with archive.open(f"{TIME_UNIT_ARRAY}.npy", "w") as file:
            np.lib.format.write_array(file, np.array("us"), allow_pickle=False)
        for name in ("t", "x", "y", "p"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": EVENT_DTYPE[name].str, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(file, header)
                for events in recording.chunks():
                    file.write(events[name].tobytes())


NPY = Format("NumPy array: structured, or a table of four columns", open_npy, (".npy",), (Signature(NPY_MAGIC),))
NPZ = Format("NumPy archive of arrays t, x, y and p", open_npz, (".npz",), (Signature(NPZ_MAGIC),))
NPZ_WRITER = Writer(write_npz, (".npz",))
