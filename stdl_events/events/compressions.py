"""Readers of compressed files and of text in UTF-16: each a file of unpacked bytes, in UTF-8."""

import codecs
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Protocol

# zstd's own limit, 128 MiB: a file may ask for more.
_MAX_WINDOW_LOG = 27


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


def _open_zstd(path: Path) -> Readable:
    from stdl_events.events.zstd import zstd

    return zstd.open(path, "rb", options={zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})


def _open_utf16(path: Path) -> Readable:
    return _Utf16(path)


class _Utf16:
    """Text in UTF-16 as UTF-8."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder("utf-16")()

    def read(self, count: int, /) -> bytes:
        return self.read1(2 * count)

    def read1(self, count: int, /) -> bytes:
        data = self._file.read(count)
        return self._decoder.decode(data, final=not data).encode()

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Compression:
    """A kind of packed file: its first bytes, its suffix, if it has one of its own, and how it is opened."""

    magic: re.Pattern[bytes]
    suffix: str | None
    open: Callable[[Path], Readable]

    def begins(self, head: bytes) -> bool:
        """True if a file that begins with `head` is of this kind."""
        return self.magic.match(head) is not None


COMPRESSIONS = (
    Compression(re.compile(b"\x1f\x8b"), ".gz", _open_gzip),
    Compression(re.compile(b"BZh"), ".bz2", _open_bzip2),
    Compression(re.compile(b"\xfd7zXZ\x00"), ".xz", _open_xz),
    Compression(re.compile(rb"\x28\xb5\x2f\xfd"), ".zst", _open_zstd),
    # The byte-order mark and letters of ASCII, as spreadsheets export "Unicode text".
    Compression(re.compile(rb"\xff\xfe([\t-~]\0){8}|\xfe\xff(\0[\t-~]){8}"), None, _open_utf16),
)


def damage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that damaged compressed data raises."""
    from stdl_events.events.zstd import zstd

    return (EOFError, OSError, UnicodeError, zlib.error, LZMAError, zipfile.BadZipFile, zstd.ZstdError)
