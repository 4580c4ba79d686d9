"""Instructions for a missing dataset: its files, their sources and checksums. Nothing is downloaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import DatasetError


@dataclass(frozen=True)
class Download:
    """A file offered by its publisher.

    Attributes:
        url: of the file, or of a page with a link to it.
        md5: of the file, as published; None if unknown.
    """

    name: str
    url: str
    md5: str | None = None

    def __str__(self) -> str:
        return f"{self.name} from {self.url}" + (f" (md5 {self.md5})" if self.md5 else "")


def not_there(root: Path, *, got: str, expected: str, downloads: Sequence[Download]) -> DatasetError:
    """Return the error for a missing or incomplete dataset, with the expected files and their sources."""
    todo = f"download {', '.join(map(str, downloads))} and unpack into {root}"
    return DatasetError(str(root), got=got, expected=expected, todo=todo)


def found_in(root: Path) -> str:
    """Describe the content of a folder, for a message."""
    if not root.is_dir():
        return "a file" if root.exists() else "no such folder"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir() if not path.name.startswith("."))
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
