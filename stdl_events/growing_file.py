"""Files that grow while a program runs: each write is there as a whole or not at all, so a full disk costs no more."""

import os
from pathlib import Path

from stdl_events.errors import UserError
from stdl_events.whole_file import appending


class GrowingFile:
    """A new file, written to at its end.

    Attributes:
        size: in bytes, of all writes so far.

    Raises:
        UserError: of the class `error`: the file exists, or cannot be made.
    """

    def __init__(self, path: Path, *, room_for: str, error: type[UserError] = UserError) -> None:
        with appending(path, room_for=room_for, error=error):
            self._file = path.open("xb", buffering=0)
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Add `data`, and return its length.

        Raises:
            OSError: it cannot be written; the file is as it was before.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self.size)
            raise
        self.size += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
