"""Size and SHA-256 of one file."""

import hashlib
import os
from pathlib import Path

from stdl_events.errors import DatasetError

_HASH_BLOCK_BYTES = 1 << 20


def file_size(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises:
        DatasetError: it is missing.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise DatasetError(
            str(path), got=error.strerror or str(error), expected="a recording", todo="check the dataset's folder"
        ) from None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        # A short file is not read into the memory of a long one, which the system would have to clear.
        block_bytes = min(_HASH_BLOCK_BYTES, os.fstat(file.fileno()).st_size + 1)
        while block := file.read(block_bytes):
            digest.update(block)
    return digest.hexdigest()
