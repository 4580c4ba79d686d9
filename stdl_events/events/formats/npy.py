"""NPY: a structured array, or an unnamed table [N, 4] or [4, N].

Headers are parsed here and checked against the file's size before any allocation. Nothing is unpickled.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, corrupt, truncated
from stdl_events.events.formats import columns
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.format import Format, Signature

NPY_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 1 << 16
_TYPES = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1|V\d{1,3}|[SU]\d{1,2}|[mM]8\[([mun]?s)\])")
_BAD_HEADER = (ValueError, TypeError, SyntaxError, KeyError, IndexError, OverflowError, RecursionError, MemoryError)


@dataclass(frozen=True)
class ArrayHeader:
    """Type and shape of an array in the NPY format, and the offset of its data; `width` is that of a table."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    data_offset: int
    width: int = len(columns.NAMES)

    def of(self, path: Path, asked: tuple[str, ...] | None) -> "ArrayHeader":
        """Return the same for the columns that the caller names, if there are any.

        Raises:
            UnknownFormatError: a table has more or fewer columns.
        """
        if asked is None:
            return self
        if len(self.shape) == 2 and len(asked) not in self.shape:
            columns.places_of(path, asked, min(self.shape))
        return replace(self, width=len(asked))

    @property
    def is_transposed(self) -> bool:
        """True for a table [width, N]."""
        return len(self.shape) == 2 and self.shape[-1] != self.width

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
        return self.dtype.itemsize * (self.width if len(self.shape) == 2 else 1)

    def check(self, path: Path) -> None:
        """Check the shape.

        Raises:
            UnknownFormatError: it is neither a structured array [N] nor a table [N, width] or [width, N].
        """
        if len(self.shape) == 1 and (self.dtype.names or self.shape == (0,)):
            return
        width = self.width
        if len(self.shape) != 2 or width not in self.shape:
            raise UnknownFormatError(
                str(path), got=f"an array of {self.dtype} of shape {list(self.shape)}",
                expected=f"a structured array of N events, or a table [N, {width}] or [{width}, N]",
                todo="save the columns t, x, y and p as one of these, or name all columns with --columns (columns=)",
            )  # fmt: skip

    def map(self, path: Path, count: int) -> npt.NDArray[Any]:
        """Return the first `count` events of the file at `path` as a memory map, [N] or [N, width]."""
        shape = (count,) if len(self.shape) == 1 else (count, self.width)
        shape = shape[::-1] if self.is_transposed else shape
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
        if isinstance(kind, list):
            raise UnknownFormatError(
                str(path), got=f"the column {part[0]!r}, of columns of its own",
                expected="one number per event and column", todo="save t, x, y and p as columns of one structure",
            )  # fmt: skip
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
                is_date = kind[1] in "Mm" and not shape
                raise UnknownFormatError(
                    str(path), got=f"{name}{kind}{shape or ''}", expected="one number per event and column",
                    todo="save times in us, such as t.astype('M8[us]')" if is_date
                    else "save t, x, y and p as columns of their own, of whole numbers or float64",
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
            yield self.reading.to_block(offset, named)
        if whole < count:
            offset = array.data_offset + whole * per_event
            raise truncated(self.path, offset, f"{size - offset} of {per_event} bytes of event {whole} of {count}")


def pick_columns(path: Path, first: npt.NDArray[Any], asked: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return the name or index of t, x, y and p of an array that begins with `first`; by place if `asked`."""
    if asked is not None:
        names: tuple[Any, ...] = first.dtype.names or tuple(range(first.shape[-1] if first.ndim > 1 else 1))
        return {field: names[place] for field, place in columns.places_of(path, asked, len(names)).items()}
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


def open_npy(path: Path, asked: tuple[str, ...] | None = None) -> NpyDecoder:
    """Read the header of an NPY file, and find its columns.

    Args:
        asked: the fields of the columns, by their place.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
        UnknownFormatError: it holds no columns t, x, y and p.
    """
    with path.open("rb") as file:
        array = read_array_header(file, path).of(path, asked)
    array.check(path)
    available = max(0, path.stat().st_size - array.data_offset) // array.bytes_per_event
    whole = min(array.count, available)
    if not whole or (array.is_planar and whole < array.count):
        return NpyDecoder(path, array, ColumnReading(path), {} if array.count else None)
    order = pick_columns(path, np.asarray(array.map(path, whole)[:BLOCK_EVENTS]), asked)
    unit = (
        columns.unit_of_dates(path, array.dtype[order["t"]]) or columns.unit_of_times(order)
        if array.dtype.names
        else None
    )
    return NpyDecoder(path, array, ColumnReading(path, unit), order)


NPY = Format(
    "NumPy array: structured, or a table of four columns",
    open_npy,
    (".npy",),
    (Signature(NPY_MAGIC),),
    open_columns=lambda path, asked, stream: open_npy(path, asked),
)
