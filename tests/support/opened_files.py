"""Which files are opened in watched folders while something runs, by Linux's inotify; no privileges are needed."""

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


@contextmanager
def opened_files(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Fill the list, at the end, with every file and folder that any process opened right in `folders`.

    Raises:
        OSError: the kernel does not watch.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watcher < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    found: list[Path] = []
    try:
        watched = {}
        for folder in folders:
            number = libc.inotify_add_watch(watcher, os.fsencode(folder), _IN_OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), str(folder))
            watched[number] = folder
        yield found
        found += _drained(watcher, watched)
    finally:
        os.close(watcher)


def _drained(watcher: int, watched: dict[int, Path]) -> Iterator[Path]:
    while True:
        try:
            data = os.read(watcher, 1 << 16)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, _, _, length = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            yield watched[number] / os.fsdecode(name)
