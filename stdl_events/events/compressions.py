"""Readers of compressed files: one per compression, each a file of unpacked bytes."""

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
    Compression(b"\x28\xb5\x2f\xfd", ".zst", _open_zstd),
)


def damage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that damaged compressed data raises."""
    from stdl_events.events.zstd import zstd

    return (EOFError, OSError, zlib.error, LZMAError, zipfile.BadZipFile, zstd.ZstdError)
