"""Official splits that are lists of paths with labels, one recording a line: `a/b.npy 3` or `a/b.csv,3`.

A path is looked up below the folder of the dataset, then by its name alone, since archives unpack in different ways.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.found_files import child, is_hidden, same_form
from stdl_events.recordings.labels.lists import numbered_lines

MISSING_NAMED = 10
_SEPARATORS = " \t,;"
_LABEL = re.compile(r"[0-9]{1,9}$")


@dataclass(frozen=True)
class Listed:
    """A line of a list: the recording, found or not, and its label."""

    text: str
    label: int
    line: str


@dataclass(frozen=True)
class PathLists:
    """The lists of a dataset.

    Attributes:
        suffixes: of the recordings.
        classes: number of labels, from 0 on.
        layout, downloads: for the message if something is missing.
    """

    suffixes: tuple[str, ...]
    classes: int
    layout: str
    downloads: tuple[Download, ...]

    def entries(
        self, root: Path, sides: Sequence[str], entry_of: Callable[[str, Path, Listed], Entry]
    ) -> list[tuple[Entry, ...]]:
        """Return the entries of the lists `<side>.txt` in `root`; missing recordings are left out with a warning.

        Args:
            entry_of: (key, file, line of the list) -> entry.

        Raises:
            DatasetError: a list is missing or does not parse, two files have a listed name, or none is there.
        """
        lists = {side: self._read(root, side) for side in sides}
        found = _Files(root, self.suffixes)
        return [self._entries(root, side, listed, found, entry_of) for side, listed in lists.items()]

    def _read(self, root: Path, side: str) -> list[Listed]:
        path = child(root, f"{side}.txt") if root.is_dir() else None
        if path is None:
            raise not_there(root, got=found_in(root), expected=self.layout, downloads=self.downloads)
        listed = []
        for number, text in numbered_lines(path):
            line, cells = f"{path}, line {number}", text.rstrip(_SEPARATORS)
            match = _LABEL.search(cells)
            before = cells[: match.start()] if match else ""
            recording = before.strip(_SEPARATORS)
            if match is None or not recording or before[-1] not in _SEPARATORS or int(match[0]) >= self.classes:
                raise DatasetError(
                    line, got=f"{text[:60]!r}", expected=f"a path and a label from 0 to {self.classes - 1}",
                    todo="download the list again",
                )  # fmt: skip
            listed.append(Listed(recording.replace("\\", "/"), int(match[0]), line))
        return listed

    def _entries(
        self,
        root: Path,
        side: str,
        listed: list[Listed],
        found: "_Files",
        entry_of: Callable[[str, Path, Listed], Entry],
    ) -> tuple[Entry, ...]:
        paths = [found.find(one) for one in listed]
        missing = [one.text for one, path in zip(listed, paths, strict=True) if path is None]
        if missing:
            more = f" and {len(missing) - MISSING_NAMED} more" if len(missing) > MISSING_NAMED else ""
            count = f"{len(missing)} of {len(listed)} recordings of the {side} list"
            if len(missing) == len(listed):
                raise not_there(root, got=f"none of the {side} list", expected=self.layout, downloads=self.downloads)
            text = f"left out {count}, which are missing: {', '.join(missing[:MISSING_NAMED])}{more}"
            warnings.warn(f"{root}: {text}", RecordingWarning, stacklevel=5)
        return tuple(
            entry_of(same_form(path.relative_to(root).as_posix()), path, one)
            for one, path in zip(listed, paths, strict=True)
            if path is not None
        )


class _Files:
    """The recordings below a folder."""

    def __init__(self, root: Path, suffixes: tuple[str, ...]) -> None:
        self._root = root
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in suffixes and not is_hidden(path) and path.is_file():
                self._by_name[same_form(path.stem)].append(path)

    def find(self, listed: Listed) -> Path | None:
        """Return the file of a line: at its path, or the only one of its name."""
        name = PurePosixPath(listed.text)
        named = self._by_name.get(same_form(name.stem), [])
        wanted = self._root / name.parent / name.stem
        exact = [path for path in named if path.with_suffix("") == wanted]
        if len(named) > 1 and len(exact) != 1:
            names = " and ".join(path.relative_to(self._root).as_posix() for path in named[:2])
            raise DatasetError(
                listed.line, got=f"{names} for {listed.text}", expected="one file of that name",
                todo="remove one of the two",
            )  # fmt: skip
        return next(iter(exact or named), None)
