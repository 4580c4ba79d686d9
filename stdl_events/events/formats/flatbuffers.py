"""Reading FlatBuffers with every offset checked: damaged bytes raise one of our errors.

Only the subset that AEDAT 4 uses. Source: FlatBuffers' description of its binary format, "FlatBuffer Internals".
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from stdl_events.errors import CorruptRecordingError

Fail = Callable[[str], CorruptRecordingError]


@dataclass(frozen=True)
class Table:
    """A table at `position` of `data`, with its vtable at `vtable`; `fail(got)` returns the error for damage.

    Raises (all methods): CorruptRecordingError where an offset points outside `data`.
    """

    data: memoryview | bytes
    position: int
    vtable: int
    fail: Fail

    def _field(self, index: int, size: int) -> int | None:
        """Return the position of field `index` of `size` bytes, or None if the table omits it."""
        slot = 4 + 2 * index
        vtable_bytes = self._unpack("<H", self.vtable)
        if slot + 2 > vtable_bytes:
            return None
        offset = self._unpack("<H", self.vtable + slot)
        if offset == 0:
            return None
        position = self.position + offset
        if position + size > len(self.data):
            raise self.fail(f"field {index} of a table outside its buffer")
        return position

    def _unpack(self, layout: str, position: int) -> int:
        return _unpack(self.data, layout, position, self.fail)

    def int32(self, index: int, default: int = 0) -> int:
        position = self._field(index, 4)
        return default if position is None else self._unpack("<i", position)

    def int64(self, index: int, default: int = 0) -> int:
        position = self._field(index, 8)
        return default if position is None else self._unpack("<q", position)

    def vector(self, index: int, item_bytes: int) -> tuple[int, int]:
        """Return (position of the first item, number of items) of a vector of scalars or structs; (0, 0) if omitted."""
        field = self._field(index, 4)
        if field is None:
            return 0, 0
        start = field + self._unpack("<I", field)
        count = self._unpack("<I", start)
        if start + 4 + count * item_bytes > len(self.data):
            raise self.fail(f"a vector of {count} items of {item_bytes} bytes outside its buffer")
        return start + 4, count

    def string(self, index: int) -> str:
        start, count = self.vector(index, 1)
        return bytes(self.data[start : start + count]).decode("utf-8", "replace")


def _unpack(data: memoryview | bytes, layout: str, position: int, fail: Fail) -> int:
    if position < 0 or position + struct.calcsize(layout) > len(data):
        raise fail("an offset outside its buffer")
    value: int = struct.unpack_from(layout, data, position)[0]
    return value


def root_table(data: memoryview | bytes, identifier: bytes, fail: Fail) -> Table:
    """Return the root table of `data`, a buffer without its size prefix, with the file identifier `identifier`.

    Raises:
        CorruptRecordingError: the identifier differs, or an offset points outside `data`.
    """
    position = _unpack(data, "<I", 0, fail)
    if data[4:8] != identifier:
        raise fail(f"a buffer marked {bytes(data[4:8])!r} instead of {identifier!r}")
    vtable = position - _unpack(data, "<i", position, fail)
    table_bytes = _unpack(data, "<H", vtable, fail)
    if table_bytes < 4 or vtable + table_bytes > len(data):
        raise fail(f"a vtable of {table_bytes} bytes")
    return Table(data, position, vtable, fail)
