"""Attributes of HDF5 files, read so that damage is an error.

HDF5 does not check the heap where it keeps text of variable length: damage there ends in an endless loop or gigabytes
of memory. Such text is read here from the bytes of the file, but for attributes that are not beside their object: of
more than 8 the newer formats keep all elsewhere. Other attributes are of a size that HDF5 checks.

Source: HDF5 File Format Specification 3.0, sections III.E (global heap), IV.A.1 (object headers), IV.A.2.m (attribute).
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_ATTRIBUTE, _CONTINUATION, _INFO = 0x0C, 0x10, 0x15
_NOWHERE, _REFERENCE = 2**64 - 1, 16
_MOST_BLOCKS, _MOST_BYTES = 1000, 1 << 20


def read_attribute(item: Any, name: str, default: Any, address: Callable[[], int]) -> Any:
    """Return an attribute of a group or dataset of h5py: numbers or text; `default` if it is neither, or absent.

    Args:
        address: returns the place of the header of `item` in its file.

    Raises:
        ValueError: it is damaged.
    """
    if name not in item.attrs:
        return default
    found = item.attrs.get_id(name)
    if is_varying_text(found):
        raw = _stored(item, name.encode(), address())
        return item.attrs[name] if raw is None else texts(item.file, raw, found.shape)
    return default if found.dtype.hasobject else item.attrs[name]


def value_of(dataset: Any) -> Any:
    """Return the content of a small dataset.

    Raises:
        ValueError: it is damaged.
    """
    place = dataset.id.get_offset() if is_varying_text(dataset.id) else None
    if place is None:
        return dataset[()]
    raw = _Bytes(dataset.file).at(place - dataset.file.userblock_size, _REFERENCE * dataset.size)
    return texts(dataset.file, raw, dataset.shape)


def is_varying_text(stored: Any) -> bool:
    """True for an attribute or dataset, by its identifier, of text of variable length."""
    is_varying = getattr(stored.get_type(), "is_variable_str", None)  # types of text alone have it
    return is_varying is not None and is_varying() and stored.shape is not None


def texts(file: Any, raw: bytes, shape: tuple[int, ...]) -> Any:
    """Return the text of variable length, or the array of them, that the references `raw` to the heap are of.

    Raises:
        ValueError: the heap is damaged.
    """
    data = _Bytes(file)
    found = np.empty(shape, object)
    for index in range(found.size):
        found.flat[index] = data.text(raw[index * _REFERENCE : (index + 1) * _REFERENCE])
    return found[()]


def _stored(item: Any, name: bytes, address: int) -> bytes | None:
    """Return the bytes of an attribute; None if it is not beside its object, or not where it is looked for.

    Raises:
        ValueError: it is damaged.
    """
    if item.file.id.get_create_plist().get_sizes() != (8, 8):
        return None
    try:
        for kind, is_shared, body in _messages(_Bytes(item.file), address):
            if kind == _INFO and struct.unpack_from("<Q", body, 2 + 2 * (body[1] & 1)) != (_NOWHERE,):
                return None
            if kind == _ATTRIBUTE and is_shared:
                return None
            found = _value(body, name) if kind == _ATTRIBUTE else None
            if found is not None:
                return found
    except (struct.error, IndexError) as error:
        raise ValueError(f"the attribute {name!r}, of which a part is missing ({error})") from None
    return None


class _Bytes:
    """The bytes of a file, by HDF5's addresses; reading beyond them is an error."""

    def __init__(self, file: Any) -> None:
        self._data, self._base = np.memmap(file.filename, np.uint8, "r"), int(file.userblock_size)

    def at(self, address: int, size: int) -> bytes:
        start = self._base + address
        if not 0 <= start <= start + size <= len(self._data):
            raise ValueError(f"the address {address}, beyond the end of the file")
        return self._data[start : start + size].tobytes()

    def text(self, reference: bytes) -> str:
        """Return the text that a reference to the global heap is of.

        Raises:
            ValueError: there is none.
        """
        length, address, wanted = struct.unpack_from("<IQI", reference)
        if not length:
            return ""
        magic, version, end = struct.unpack("<4sB3xQ", self.at(address, 16))
        if magic != b"GCOL" or version != 1:
            raise ValueError("no text of variable length where there should be")
        place = 16
        while place + 16 <= end:
            index, size = struct.unpack("<H6xQ", self.at(address + place, 16))
            if index == wanted and size >= length and length <= _MOST_BYTES:
                return self.at(address + place + 16, length).decode("utf-8", "replace").rstrip("\0")
            if not index:
                break
            place += 16 + -(-size // 8) * 8
        raise ValueError("no such text of variable length")


def _messages(file: _Bytes, address: int) -> Iterator[tuple[int, bool, bytes]]:
    """Yield the kind, whether it is only referred to, and the content of each message of the object at `address`."""
    is_new = file.at(address, 4) == b"OHDR"
    if is_new:
        flags = file.at(address, 6)[5]
        place = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        size = int.from_bytes(file.at(address + place, width), "little")
        blocks, form = [(address + place + width, size)], "<BHB2x" if flags & 0x04 else "<BHB"
    else:
        (size,) = struct.unpack("<8xI", file.at(address, 12))
        blocks, form = [(address + 16, size)], "<HHB3x"
    head = struct.calcsize(form)
    for start, length in blocks:  # grows while it is read
        block, place = file.at(start, length), 0
        while place + head <= length:
            kind, size, flags = struct.unpack_from(form, block, place)
            body = block[place + head : place + head + size]
            yield kind, bool(flags & 2), body
            if kind == _CONTINUATION and len(blocks) < _MOST_BLOCKS:
                where, more = struct.unpack_from("<QQ", body)
                # A newer block begins with its name and ends with a checksum.
                blocks.append((where + 4, more - 8) if is_new else (where, more))
            place += head + size


def _value(message: bytes, wanted: bytes) -> bytes | None:
    """Return the value in an attribute's message; None if it is of another name."""
    version, name_size, type_size, space_size = struct.unpack_from("<BxHHH", message)
    pad = 8 if version == 1 else 1
    place = 9 if version == 3 else 8
    name = message[place : place + name_size].rstrip(b"\0")
    for size in (name_size, type_size, space_size):
        place += -(-size // pad) * pad
    return message[place:] if name == wanted else None
