"""Files of recordings by their content: sizes and SHA-256, each file hashed once."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stdl_events.recordings.file_digest import file_digest
from stdl_events.recordings.found_files import child, same_form

_DIGITS_SHOWN = 16
# Passing a smaller file to another thread takes longer than hashing it.
_SMALL_BYTES = 1 << 20


@dataclass(frozen=True)
class Content:
    """Size and SHA-256 of a file; None where it is not readable."""

    bytes: int | None
    sha256: str | None

    def __str__(self) -> str:
        size = "" if self.bytes is None else f"{self.bytes} bytes, "
        return f"{size}SHA-256 " + ("not readable" if self.sha256 is None else f"{self.sha256[:_DIGITS_SHOWN]}...")


def contents_of(paths: Iterable[Path], progress: Callable[[int, int], None] | None = None) -> dict[Path, Content]:
    """Hash each of the files once, large ones on all cores; a path that is no readable file has no content.

    Args:
        progress: called with (bytes done, bytes in all) after each file.
    """
    sizes = {path: path.stat().st_size for path in dict.fromkeys(paths) if path.is_file()}
    done, total = 0, sum(sizes.values())
    contents: dict[Path, Content] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        digests = (pool.map if total > len(sizes) * _SMALL_BYTES else map)(_digest, sizes)
        for (path, size), digest in zip(sizes.items(), digests, strict=True):
            done += size
            contents[path] = Content(size, digest)
            if progress is not None:
                progress(done, total)
    return contents


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def located(root: Path, path: str) -> Path:
    """Return the file `path` in `root`, in another Unicode form if only that one is there."""
    if (root / path).exists():
        return root / path
    folder = root
    for part in Path(path).parts:
        inner = child(folder, part) if folder.is_dir() and part != ".." else folder / part
        if inner is None or same_form(inner.name) != same_form(part):
            return root / path
        folder = inner
    return folder


@lru_cache(maxsize=1024)
def relative_folder(folder: str, root: str) -> str:
    return os.path.relpath(folder, root)
