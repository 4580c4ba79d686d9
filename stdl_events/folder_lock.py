"""A lock of a folder for one process at a time; the operating system releases it at any end of the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stdl_events.errors import UserError

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path, *, used: str, error: type[UserError]) -> Iterator[None]:
    """Hold the lock of `folder`.

    Args:
        used: what another holder does there, for the error: "a store that process {} is preparing".

    Raises:
        UserError: of the class `error`: another process holds it, or the folder is not writable.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as refused:
        raise error(
            str(folder), got=refused.strerror or str(refused), expected="a folder that can be written",
            todo="change its permissions, or choose another folder",
        ) from None  # fmt: skip
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip()
            raise error(
                str(folder), got=used.format(holder or "unknown"), expected="one at a time",
                todo="wait for it to end, or choose another --out",
            ) from None  # fmt: skip
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
