"""Fuzz targets: the readers of all formats, and what unpacks compressed recordings.

Two bytes before the recording choose the options with which it is opened, and its suffix.
"""

import bz2
import functools
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from fuzz_targets import Target

from stdl_events.events import FORMATS, WRITERS, open_recording, write_recording
from stdl_events.events.convert import convert

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import fuzz_readers  # lies beside the tests of the readers
from event_files import atis_bin, text

SIZE = (30, 30)
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("repair", True),
    ("strict", True),
    ("sensor_size", SIZE),
    ("time_unit", "ms"),
    ("take", 1),
    ("columns", "t,x,y,p"),
    ("stream", 1),
)


def zipped(name: str, data: bytes) -> bytes:
    """Return an archive with one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo(name), data)
    return archive.getvalue()


COMPRESS: dict[str, Callable[[str, bytes], bytes]] = {
    "gz": lambda name, data: gzip.compress(data, mtime=0),
    "bz2": lambda name, data: bz2.compress(data),
    "xz": lambda name, data: lzma.compress(data),
    "zst": lambda name, data: zstandard.compress(data),
    "zip": zipped,
}


def take(path: Path, name: str | None, data: bytes) -> str:
    """Read `data`, without its two bytes of options, as a recording at `path`."""
    flags, content = data[0], data[2:]
    path.write_bytes(content)
    options = {key: value for bit, (key, value) in enumerate(OPTIONS, start=1) if flags >> bit & 1}
    return fuzz_readers.read_somehow(path, name if flags & 1 else None, **options)


def take_format(name: str, folder: Path, data: bytes) -> str:
    if len(data) < 2:
        return "too short"
    suffixes = FORMATS[name].suffixes
    return take(folder / f"recording{suffixes[data[1] % len(suffixes)]}", name, data)


def take_compressed(suffix: str, folder: Path, data: bytes) -> str:
    if len(data) < 2:
        return "too short"
    inner = (".bin", ".csv")[data[1] % 2]
    return take(folder / f"recording{inner}.{suffix}", {".bin": "nmnist", ".csv": "text"}[inner], data)


def seeds_of_format(name: str, folder: Path) -> list[bytes]:
    """Return recordings by the literal writers of the tests and by the package's own, if it has one."""
    suffixes = FORMATS[name].suffixes
    files = fuzz_readers.FORMATS[name](folder)
    if name in WRITERS:
        source, path = folder / "source.h5", folder / f"written{WRITERS[name].suffixes[0]}"
        write_recording(source, fuzz_readers.SMALL, SIZE)
        convert(open_recording(source), path, format=name, replace=True)
        files.append((path.suffix, path.read_bytes()))
    return [bytes((number % 2, suffixes.index(suffix))) + data for number, (suffix, data) in enumerate(files)]


def seeds_of_compression(suffix: str, folder: Path) -> list[bytes]:
    del folder
    compress, events = COMPRESS[suffix], fuzz_readers.SMALL
    return [b"\0\0" + compress("a.bin", atis_bin(events)), b"\0\1" + compress("a.csv", text(events, separator=","))]


def take_utf16(folder: Path, data: bytes) -> str:
    return "too short" if len(data) < 2 else take(folder / "recording.csv", "text", data)


def seeds_of_utf16(folder: Path) -> list[bytes]:
    del folder
    lines = "\ufeff" + text(fuzz_readers.SMALL, separator=",").decode()
    return [b"\0\0" + lines.encode(codec) for codec in ("utf-16-le", "utf-16-be")]


TARGETS: dict[str, Target] = {
    "utf16": Target(seeds_of_utf16, take_utf16),
    **{
        name: Target(functools.partial(seeds_of_format, name), functools.partial(take_format, name)) for name in FORMATS
    },
    **{
        suffix: Target(functools.partial(seeds_of_compression, suffix), functools.partial(take_compressed, suffix))
        for suffix in COMPRESS
    },
}
