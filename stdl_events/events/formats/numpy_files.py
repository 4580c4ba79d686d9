"""NPY (a structured array or an unnamed [N, 4] table) and NPZ (arrays t, x, y, p, or one structured array).

Headers are parsed here and checked against the file's size before any allocation. Nothing is unpickled.
"""

import ast
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt, truncated
from stdl_events.events.formats import columns
from stdl_events.events.formats.format import Format, Signature, Writer
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EVENT_DTYPE

NPY_MAGIC = b"\x93NUMPY"
NPZ_MAGIC = b"PK\x03\x04"
SENSOR_SIZE_ARRAY = "sensor_size"
_MAX_HEADER_BYTES = 1 << 16
_NUMBERS = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1|V\d{1,3})")
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


def read_array_header(file: IO[bytes], path: Path) -> ArrayHeader:
    """Read the NPY header at the current position of `file`.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is incomplete, or of a non-numeric type.
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
        dtype, shape, fortran_order = _dtype(fields["descr"]), tuple(fields["shape"]), bool(fields["fortran_order"])
        is_good = all(type(size) is int and 0 <= size < 2**40 for size in shape) and len(shape) in (1, 2)
        is_good = is_good and 0 < dtype.itemsize <= 4096 and (shape == (0,) or shape[-1] > 0)
    except _BAD_HEADER:
        is_good = False
    if not is_good:
        raise corrupt(path, len(prefix), f"the header {text[:60]!r}", "a numeric array of one or two dimensions")
    return ArrayHeader(dtype, shape, fortran_order, len(prefix) + length)


def _dtype(descr: object) -> np.dtype[Any]:
    """Return the numeric type that an NPY header describes; a ValueError for any other type."""
    parts = descr if isinstance(descr, list) else [("", descr)]
    for part in parts:
        kind = part[1] if isinstance(part, tuple) and len(part) == 2 else None
        if not isinstance(kind, str) or not _NUMBERS.fullmatch(kind):
            raise ValueError(descr)
    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(descr)  # type: ignore[arg-type]
    return dtype


@dataclass(frozen=True)
class NpyDecoder:
    """Decoder of one .npy file, read through a memory map."""

    path: Path
    array: ArrayHeader
    header: Header = field(default_factory=Header)

    def blocks(self) -> Iterator[Block]:
        array, count = self.array, self.array.shape[0]
        per_event = array.dtype.itemsize * (array.shape[1] if len(array.shape) == 2 else 1)
        size = self.path.stat().st_size
        whole = min(count, max(0, size - array.data_offset) // per_event)
        if count == 0:
            return
        if array.fortran_order and len(array.shape) == 2 and whole < count:
            # Fortran order: a truncated file lacks the last columns, so no event is complete.
            raise truncated(self.path, array.data_offset, f"{size - array.data_offset} bytes of {count} events")
        if whole:
            yield from self._whole_blocks(whole, per_event)
        if whole < count:
            offset = array.data_offset + whole * per_event
            raise truncated(self.path, offset, f"{size - offset} of {per_event} bytes of event {whole} of {count}")

    def _whole_blocks(self, whole: int, per_event: int) -> Iterator[Block]:
        array = self.array
        order: Literal["F", "C"] = "F" if array.fortran_order else "C"
        shape = (whole, *array.shape[1:])
        data: npt.NDArray[Any] = np.memmap(self.path, array.dtype, "r", array.data_offset, shape, order)
        names, us_per_unit = pick_columns(self.path, np.asarray(data[:BLOCK_EVENTS]))
        for start in range(0, whole, BLOCK_EVENTS):
            part = np.array(data[start : start + BLOCK_EVENTS])
            offset = array.data_offset + start * per_event
            named = {field: part[name] if part.dtype.names else part[:, name] for field, name in names.items()}
            yield Block(columns.to_events(self.path, offset, named, us_per_unit), offset)


def pick_columns(path: Path, first: npt.NDArray[Any]) -> tuple[dict[str, Any], float]:
    """Return (name or index of t, x, y and p, microseconds per unit of t) of an array that begins with `first`."""
    if first.dtype.names:
        names: dict[str, Any] = dict(columns.match_names(path, first.dtype.names))
        return names, columns.time_scale(first[names["t"]])
    if first.dtype.kind not in "iuf":
        raise UnknownFormatError(
            str(path),
            got=f"an array of {first.dtype}",
            expected="a structured array with t, x, y and p, or a table of numbers",
            todo="save it as one of these",
        )
    indices: dict[str, Any] = dict(columns.match_values(path, first))
    return indices, columns.time_scale(first[:, indices["t"]])


def open_npy(path: Path) -> NpyDecoder:
    """Read the header of an NPY file."""
    with path.open("rb") as file:
        return NpyDecoder(path, read_array_header(file, path))


@dataclass(frozen=True)
class NpzDecoder:
    """Decoder of one .npz file; its arrays are unpacked in parallel, one block of each at a time."""

    path: Path
    members: dict[str, str]
    header: Header = field(default_factory=Header)

    def blocks(self) -> Iterator[Block]:
        with ExitStack() as stack:
            with _zip_damage(self.path):
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                files = {field: stack.enter_context(archive.open(name)) for field, name in self.members.items()}
                headers = {field: read_array_header(file, self.path) for field, file in files.items()}
            counts = {field: header.shape[0] for field, header in headers.items()}
            if len(set(counts.values())) > 1:
                raise corrupt(self.path, 0, f"arrays of different lengths ({counts})", "arrays of one length")
            if any(len(header.shape) != 1 for header in headers.values()):
                raise corrupt(self.path, 0, "arrays of two dimensions", "arrays of one dimension")
            us_per_unit: float | None = None
            done, count = 0, next(iter(counts.values()))
            while done < count:
                wanted = min(BLOCK_EVENTS, count - done)
                parts = {field: self._read_part(files[field], headers[field], wanted) for field in files}
                whole = min(len(part) for part in parts.values())
                parts = {field: part[:whole] for field, part in parts.items()}
                if "" in parts:
                    names = columns.match_names(self.path, headers[""].dtype.names or ())
                    parts = {field: parts[""][name] for field, name in names.items()}
                if us_per_unit is None:
                    us_per_unit = columns.time_scale(parts["t"])
                yield Block(columns.to_events(self.path, 0, parts, us_per_unit), 0)
                done += whole
                if whole < wanted:
                    raise truncated(self.path, self.path.stat().st_size, f"{done} of {count} events")

    def _read_part(self, file: IO[bytes], header: ArrayHeader, count: int) -> npt.NDArray[Any]:
        with _zip_damage(self.path):
            data = file.read(count * header.dtype.itemsize)
        return np.frombuffer(data, header.dtype, len(data) // header.dtype.itemsize)


@contextmanager
def _zip_damage(path: Path) -> Iterator[None]:
    """Turn `zipfile`'s errors on a damaged archive into ours."""
    try:
        yield
    except CorruptRecordingError:
        raise
    except _BAD_ZIP as error:
        raise corrupt(path, 0, f"an archive that does not unpack ({error})", "a whole NPZ file") from None


def open_npz(path: Path) -> NpzDecoder:
    """Read the directory of an NPZ file.

    Raises:
        CorruptRecordingError: the archive is incomplete.
        UnknownFormatError: it holds neither arrays t, x, y and p nor one structured array.
    """
    with _zip_damage(path), zipfile.ZipFile(path) as archive:
        arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        header = _size_header(path, archive) if SENSOR_SIZE_ARRAY in arrays else Header()
    arrays.pop(SENSOR_SIZE_ARRAY, None)
    if len(arrays) == 1:
        return NpzDecoder(path, {"": next(iter(arrays.values()))}, header)
    fields = columns.match_names(path, list(arrays))
    return NpzDecoder(path, {field: arrays[name] for field, name in fields.items()}, header)


def _size_header(path: Path, archive: zipfile.ZipFile) -> Header:
    with archive.open(f"{SENSOR_SIZE_ARRAY}.npy") as file:
        array = read_array_header(file, path)
        size = np.frombuffer(file.read(16), "<i8").tolist()
    if array.dtype != np.dtype("<i8") or array.shape != (2,) or not all(0 < pixels <= 65536 for pixels in size):
        raise corrupt(path, 0, f"the {SENSOR_SIZE_ARRAY} {size}", "two whole numbers from 1 to 65536")
    return Header((size[0], size[1]), "header")


def write_npz(path: Path, recording: Recording) -> None:
    """Write the arrays t, x, y, p and `sensor_size` to `path`, in bounded memory: one pass over the events per array.

    Raises:
        RecordingError: see `Recording.chunks` and `Recording.sensor_size`.
    """
    count = recording.summary.events
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(f"{SENSOR_SIZE_ARRAY}.npy", "w") as file:
            np.lib.format.write_array(file, np.array(recording.sensor_size, "<i8"), allow_pickle=False)
        for name in ("t", "x", "y", "p"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": EVENT_DTYPE[name].str, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(file, header)
                for events in recording.chunks():
                    file.write(events[name].tobytes())


NPY = Format("NumPy array: structured, or a table of four columns", open_npy, (".npy",), (Signature(NPY_MAGIC),))
NPZ = Format("NumPy archive of arrays t, x, y and p", open_npz, (".npz",), (Signature(NPZ_MAGIC),))
NPZ_WRITER = Writer(write_npz, (".npz",))
