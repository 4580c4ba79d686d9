"""Packed recordings: .gz, .bz2, .xz, .zst, a .zip that holds one recording, and text in UTF-16.

Decoders seek, and some read through native libraries, so a compressed file is unpacked block by block into a temporary
folder, which is removed with the recording. Errors and warnings name the compressed file.
"""

import shutil
import struct
import tempfile
import warnings
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

from stdl_events.errors import RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events.compressions import COMPRESSIONS, Readable, damage_errors
from stdl_events.events.decoder import TODO_DAMAGE, Block, Decoder, Header
from stdl_events.events.formats import FORMATS
from stdl_events.events.stream import RecordingWarning
from stdl_events.whole_file import appending

_BLOCK_BYTES = 1 << 20
# Unpacking stops before the disk is full.
_LEFT_FREE_BYTES = 1 << 29
_CHECK_BYTES = 1 << 26
_TODO_ROOM = "unpack it on another disk, or set TMPDIR"
_ZIP_MAGIC = b"PK\x03\x04"
# What the zipfile module raises for damaged, encrypted and unsupported archives.
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, KeyError, OverflowError, struct.error)


@dataclass
class Unpacked:
    """A compressed file at `original` and its unpacked copy at `path`, which is removed with this object."""

    original: Path
    path: Path

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.path.parent, ignore_errors=True)

    def decoder(self, decoder: Decoder) -> Decoder:
        """Return `decoder`, of the unpacked copy, with errors that name the original."""
        return _UnpackedDecoder(self, decoder)

    @contextmanager
    def naming_original(self) -> Iterator[None]:
        """Raise every `RecordingError` with the name of the original."""
        try:
            yield
        except RecordingError as error:
            if error.subject != str(self.path):
                raise
            raise type(error)(
                str(self.original), got=error.got, expected=error.expected, todo=error.todo
            ) from error.__cause__


@dataclass(frozen=True)
class _UnpackedDecoder:
    unpacked: Unpacked
    decoder: Decoder

    @property
    def header(self) -> Header:
        return self.decoder.header

    def blocks(self) -> Iterator[Block]:
        with self.unpacked.naming_original():
            yield from self.decoder.blocks()


def recording_suffix(path: Path) -> str:
    """Return the suffix, in lower case, of the recording that the file at `path` is or, if compressed, holds."""
    suffix = path.suffix.lower()
    if any(suffix == known.suffix for known in COMPRESSIONS):
        return Path(path.stem).suffix.lower()
    if suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                return PurePosixPath(_member(path, archive)).suffix.lower()
        except (RecordingError, *_ZIP_ERRORS):
            return suffix
    return suffix


def recording_stem(path: Path) -> str:
    """Return the name without the suffix, and without that of the compression."""
    is_packed = any(path.suffix.lower() == known.suffix for known in COMPRESSIONS)
    return Path(path.stem).stem if is_packed else path.stem


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of the file at `path`, unpacked if it is compressed; fewer if it is damaged."""
    with path.open("rb") as file:
        head = file.read(count)
    try:
        with closing(_reader(path, head)[1]) as packed:
            return packed.read(count)[:count]
    except _NotCompressed:
        return head
    except RecordingError:
        return b""
    except damage_errors():
        return b""


def is_compressed(path: Path, head: bytes) -> bool:
    """True if the file at `path`, which begins with `head`, is compressed or an archive; NPZ is a format of its own."""
    if head.startswith(_ZIP_MAGIC):
        return path.suffix.lower() != ".npz"
    return any(known.begins(head) for known in COMPRESSIONS)


def unpack(path: Path, head: bytes, *, repair: bool) -> Unpacked | None:
    """Unpack the file at `path`, which begins with `head`, to a temporary folder; None if it is not compressed.

    Args:
        repair: keep what precedes damage, with a warning.

    Raises:
        TruncatedRecordingError: the compressed data is damaged.
        UnknownFormatError: an archive holds no recording, or several.
        RecordingError: the disk has too little space, or cannot be written to.
    """
    try:
        name, packed = _reader(path, head)
    except _NotCompressed:
        return None
    with appending(path, room_for="unpacked copy", error=RecordingError, todo=_TODO_ROOM), closing(packed):
        folder = Path(tempfile.mkdtemp(prefix="stdl-events-"))
        unpacked = Unpacked(path, folder / (Path(name).name or "recording"))
        with unpacked.path.open("wb") as out:
            for block in _unpacked_blocks(path, packed, repair=repair):
                if out.tell() % _CHECK_BYTES < _BLOCK_BYTES:
                    _check_space(path, folder)
                out.write(block)
    return unpacked


def _unpacked_blocks(path: Path, packed: Readable, *, repair: bool) -> Iterator[bytes]:
    """Yield the data of `packed`, the content of the file at `path`; see `unpack`."""
    count = 0
    while True:
        try:
            block = packed.read1(_BLOCK_BYTES)
        except damage_errors() as error:
            kind = "text in UTF-16" if isinstance(error, UnicodeError) else "compressed data"
            got = f"{kind} that does not unpack after {count} bytes ({error})"
            if not repair:
                raise TruncatedRecordingError(
                    str(path), got=got, expected="a complete file", todo=TODO_DAMAGE
                ) from None
            warnings.warn(f"{path}: {got}: kept the part before", RecordingWarning, stacklevel=4)
            return
        if not block:
            return
        count += len(block)
        yield block


class _NotCompressed(Exception):
    pass


def _reader(path: Path, head: bytes) -> tuple[str, Readable]:
    """Return (name, open file) of the data in the compressed file at `path`.

    Raises:
        _NotCompressed: it is not compressed.
        RecordingError: see `unpack`.
    """
    for known in COMPRESSIONS:
        if known.begins(head):
            return path.stem if path.suffix.lower() == known.suffix else path.name, known.open(path)
    if not head.startswith(_ZIP_MAGIC) or path.suffix.lower() == ".npz":
        raise _NotCompressed
    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not name.endswith("/")]
        is_npz = all(name.endswith(".npy") for name in names) and (len(names) > 1 or path.suffix.lower() != ".zip")
    except _ZIP_ERRORS as error:
        if path.suffix.lower() == ".zip":
            raise TruncatedRecordingError(
                str(path), got=f"a ZIP archive that does not open ({error})",
                expected="a complete one, with its directory at the end", todo="copy or download it again",
            ) from None  # fmt: skip
        raise _NotCompressed from None  # the reader of NPZ says what is wrong
    if is_npz:
        archive.close()
        raise _NotCompressed
    name = _member(path, archive)
    try:
        return name, cast(Readable, archive.open(name))
    except _ZIP_ERRORS as error:
        raise RecordingError(
            str(path), got=f"{name} in an archive that does not open ({error})", expected="a plain .zip",
            todo="unpack it",
        ) from None  # fmt: skip


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the name of the one recording in `archive`."""
    hidden = ("__MACOSX/", ".")
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith(hidden) and not PurePosixPath(name).name.startswith(".")
    ]
    suffixes = FORMATS.suffixes()
    found = [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    if len(found) > 1:  # notes beside a recording
        found = [name for name in found if "readme" not in name.lower() and "license" not in name.lower()]
    if len(found) == 1:
        return found[0]
    listed = ", ".join((found or names)[:3]) + (" ..." if len(found or names) > 3 else "")
    raise UnknownFormatError(
        str(path), got=f"a ZIP archive with {len(found)} recordings ({listed})",
        expected="one recording in it, or an NPZ file, whose arrays are .npy", todo="unpack it",
    )  # fmt: skip


def _check_space(path: Path, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _LEFT_FREE_BYTES:
        raise RecordingError(
            str(path), got=f"more data than fits: {free >> 20} MiB are free in {folder.parent}",
            expected=f"{_LEFT_FREE_BYTES >> 20} MiB left free", todo=_TODO_ROOM,
        )  # fmt: skip
