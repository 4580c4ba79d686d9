"""Size and SHA-256 of one file."""

import hashlib
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
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
