"""Readers of compressed files: one per compression, each a file of unpacked bytes."""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any, Protocol

_PACKED_BYTES = 1 << 12
_MAX_WINDOW_BYTES = 1 << 27


class Readable(Protocol):
    """An open file of unpacked bytes."""

    def read(self, count: int, /) -> bytes: ...

    def read1(self, count: int, /) -> bytes:
        """Read what one step of unpacking gives: damage then costs no good data before it."""
        ...

    def close(self) -> None: ...


def _open_gzip(path: Path) -> Readable:
    import gzip

    return gzip.open(path, "rb")


def _open_bzip2(path: Path) -> Readable:
    import bz2

    return bz2.open(path, "rb")


def _open_xz(path: Path) -> Readable:
    import lzma

    return lzma.open(path, "rb")


class _Zstd:
    """Reader of all frames of a .zst file; that of the package ends without an error where the file is cut off."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._start = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj
        self._frame: Any = None
        self._packed = b""

    def read(self, count: int, /) -> bytes:
        """Return at least `count` bytes, fewer at the end.

        Raises:
            EOFError: the file ends inside a frame.
        """
        ready = bytearray()
        while len(ready) < count:
            self._packed = self._packed or self._file.read(_PACKED_BYTES)
            if not self._packed:
                if self._frame is not None and not ready:
                    raise EOFError("it ends inside a frame")
                break
            self._frame = self._frame or self._start()
            ready += self._frame.decompress(self._packed)
            self._packed = self._frame.unused_data if self._frame.eof else b""
            self._frame = None if self._frame.eof else self._frame
        return bytes(ready)

    def read1(self, count: int, /) -> bytes:
        """Read as few bytes as one step gives."""
        del count
        return self.read(1)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Compression:
    """A kind of compressed file: its first bytes, its suffix, and how it is opened."""

    magic: bytes
    suffix: str
    open: Callable[[Path], Readable]


COMPRESSIONS = (
    Compression(b"\x1f\x8b", ".gz", _open_gzip),
    Compression(b"BZh", ".bz2", _open_bzip2),
    Compression(b"\xfd7zXZ\x00", ".xz", _open_xz),
    Compression(b"\x28\xb5\x2f\xfd", ".zst", _Zstd),
)


def damage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that damaged compressed data raises."""
    import zstandard

    return (EOFError, OSError, zlib.error, LZMAError, zipfile.BadZipFile, zstandard.ZstdError)
