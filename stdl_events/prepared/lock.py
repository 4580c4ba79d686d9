"""A lock of a store for one `prepare` at a time; the operating system releases it at any end of the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stdl_events.errors import DatasetError

LOCK_FILE = ".lock"


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the lock of the folder `store`.

    Raises:
        DatasetError: another process holds it, or the folder is not writable.
    """
    try:
        descriptor = os.open(store / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DatasetError(
            str(store), got=error.strerror or str(error), expected="a folder that can be written",
            todo="choose another --out",
        ) from None  # fmt: skip
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip()
            raise DatasetError(
                str(store), got=f"a store that process {holder or 'unknown'} is preparing", expected="one at a time",
                todo="wait for it to end, or choose another --out",
            ) from None  # fmt: skip
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
