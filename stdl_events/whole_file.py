"""A file that a user asked for: there as a whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stdl_events.errors import UserError


@contextmanager
def whole_file(path: Path, *, room_for: str) -> Iterator[BinaryIO]:
    """Write beside `path`, and rename at the end; on an error nothing is left behind.

    Args:
        room_for: what the file holds, for the error.

    Raises:
        UserError: the folder does not exist, cannot be written to, or is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            str(path), got=error.strerror or str(error), expected=f"a folder with room for the {room_for}",
            todo="choose another place",
        ) from None  # fmt: skip
    finally:
        partial.unlink(missing_ok=True)
