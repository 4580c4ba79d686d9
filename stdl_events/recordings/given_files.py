"""The recordings among given paths: files as they are, and what is in folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import DatasetError, UserError
from stdl_events.recordings.found_files import FoundFiles


@dataclass(frozen=True)
class GivenFiles:
    """The recordings among given paths.

    Attributes:
        files: in the order given; those of a folder sorted, each file once.
        unusable: given paths that hold no recording, and why.
        repeated: files that were given a second time, by another path too.
    """

    files: tuple[Path, ...]
    unusable: tuple[tuple[Path, UserError], ...]
    repeated: tuple[Path, ...]


def given_files(paths: Iterable[Path], format: str | None = None) -> GivenFiles:
    """Return the recordings among `paths`; what is left out of a folder is counted in a warning.

    A file that is given is not looked at: whether it is a recording shows when it is opened.

    Args:
        format: of the recordings, if it is given; files of unknown suffixes may be recordings then.
    """
    found: dict[Path, Path] = {}
    unusable: list[tuple[Path, UserError]] = []
    repeated = []
    for path in paths:
        try:
            inside = _below(path, format) if path.is_dir() else [path]
        except DatasetError as error:
            unusable.append((path, error))
            continue
        for file in inside:
            if found.setdefault(file.resolve(), file) is not file:
                repeated.append(file)
    return GivenFiles(tuple(found.values()), tuple(unusable), tuple(repeated))


def _below(folder: Path, format: str | None) -> list[Path]:
    finder = FoundFiles(folder, format)
    files = finder.below(folder)
    finder.say()
    if not files:
        raise DatasetError(
            str(folder), got="no recording in it", expected="a folder of recordings",
            todo="give another folder, or name the --format of files without a known suffix",
        )  # fmt: skip
    return files
