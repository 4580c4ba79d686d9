"""Reading FlatBuffers with every offset checked: damaged bytes raise one of our errors.

Only the subset that AEDAT 4 uses. Source: FlatBuffers' description of its binary format, "FlatBuffer Internals".
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from stdl_events.errors import CorruptRecordingError

Fail = Callable[[str], CorruptRecordingError]
_UINT16, _UINT32, _INT32, _INT64 = (struct.Struct(layout) for layout in ("<H", "<I", "<i", "<q"))


class Table(NamedTuple):
    """A table at `position` of `data`, with its vtable of `vtable_bytes` at `vtable`.

    A tuple, since a small packet of events takes hardly longer to decode than an object to make.
    `fail(got)` returns the error for damage.

    Raises (all methods): CorruptRecordingError where an offset points outside `data`.
    """

    data: memoryview | bytes
    position: int
    vtable: int
    vtable_bytes: int
    fail: Fail

    def _field(self, index: int, size: int) -> int | None:
        """Return the position of field `index` of `size` bytes, or None if the table omits it."""
        slot = 4 + 2 * index
        if slot + 2 > self.vtable_bytes:
            return None
        offset = _unpack(self.data, _UINT16, self.vtable + slot, self.fail)
        if offset == 0:
            return None
        position = self.position + offset
        if position + size > len(self.data):
            raise self.fail(f"field {index} of a table outside its buffer")
        return position

    def int32(self, index: int, default: int = 0) -> int:
        position = self._field(index, 4)
        return default if position is None else _unpack(self.data, _INT32, position, self.fail)

    def int64(self, index: int, default: int = 0) -> int:
        position = self._field(index, 8)
        return default if position is None else _unpack(self.data, _INT64, position, self.fail)

    def vector(self, index: int, item_bytes: int) -> tuple[int, int]:
        """Return (position of the first item, number of items) of a vector of scalars or structs; (0, 0) if omitted."""
        field = self._field(index, 4)
        if field is None:
            return 0, 0
        start = field + _unpack(self.data, _UINT32, field, self.fail)
        count = _unpack(self.data, _UINT32, start, self.fail)
        if start + 4 + count * item_bytes > len(self.data):
            raise self.fail(f"a vector of {count} items of {item_bytes} bytes outside its buffer")
        return start + 4, count

    def string(self, index: int) -> str:
        start, count = self.vector(index, 1)
        return bytes(self.data[start : start + count]).decode("utf-8", "replace")


def _unpack(data: memoryview | bytes, layout: struct.Struct, position: int, fail: Fail) -> int:
    if position < 0 or position + layout.size > len(data):
        raise fail("an offset outside its buffer")
    value: int = layout.unpack_from(data, position)[0]
    return value


def root_table(data: memoryview | bytes, identifier: bytes, fail: Fail) -> Table:
    """Return the root table of `data`, a buffer without its size prefix, with the file identifier `identifier`.

    Raises:
        CorruptRecordingError: the identifier differs, or an offset points outside `data`.
    """
    position = _unpack(data, _UINT32, 0, fail)
    if data[4:8] != identifier:
        raise fail(f"a buffer marked {bytes(data[4:8])!r} instead of {identifier!r}")
    vtable = position - _unpack(data, _INT32, position, fail)
    vtable_bytes = _unpack(data, _UINT16, vtable, fail)
    if vtable_bytes < 4 or vtable + vtable_bytes > len(data):
        raise fail(f"a vtable of {vtable_bytes} bytes")
    return Table(data, position, vtable, vtable_bytes, fail)
