"""Finding the recordings of a folder: what is hidden or no recording is left out, counted and said.

Links are followed; each file counts once. Names are compared in Unicode form NFC, since a copy from another system may
spell the same letter in another way.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.events import FORMATS
from stdl_events.events.compressed import first_bytes, recording_suffix
from stdl_events.events.stream import RecordingWarning

# Folders and files of operating systems and network drives whose names begin with no dot.
SYSTEM_NAMES = frozenset(
    ("__macosx", "$recycle.bin", "#recycle", "@eadir", "lost+found", "system volume information", "thumbs.db",
     "desktop.ini", "__pycache__")
)  # fmt: skip
# Of files beside recordings of a format whose suffix is unknown.
OTHER_SUFFIXES = frozenset(
    (".md", ".rst", ".pdf", ".doc", ".docx", ".html", ".json", ".yaml", ".yml", ".xml", ".ini", ".toml", ".log", ".png",
     ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".tif", ".tiff", ".mp4", ".avi", ".mov", ".py", ".ipynb", ".db", ".zip")
)  # fmt: skip
# Files of a store or a run that say what made them, at their beginning; and that of a sweep, beside its runs.
_MADE_FILES, _SWEEP_FILE = ("split.json", "manifest.json"), "sweep.json"
_MADE_BY, _MADE_BYTES = re.compile(rb'"made_by": ?"stdl-events '), 200
NAMES_SHOWN = 3
_HEAD_BYTES = 1 << 12
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SEPARATORS = re.compile(r"[,;|\s]+")
_COLUMNS_OF_LABELS = frozenset(("label", "class", "recording", "subject"))

Identity = tuple[int, int]


def same_form(name: str) -> str:
    """Return `name` in the Unicode form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def child(folder: Path, name: str) -> Path | None:
    """Return the file or folder `name` in `folder`, in any case and Unicode form; None if there is none."""
    if (folder / name).exists():
        return folder / name
    wanted = same_form(name).casefold()
    found = sorted(path for path in _listed(folder) if same_form(path.name).casefold() == wanted and path.exists())
    return found[0] if found else None


def is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.casefold() in SYSTEM_NAMES


def is_made_here(path: Path) -> bool:
    """True for the folder of a store, a run or a sweep, and for one that holds nothing else."""
    if not path.is_dir():
        return False
    for file in (path / name for name in _MADE_FILES):
        with suppress(OSError):
            if _MADE_BY.search(first_bytes(file, _MADE_BYTES)):
                return True
    inside = _listed(path)
    if (path / _SWEEP_FILE).is_file():
        inside = [each for each in inside if each.is_dir()]
    return bool(inside) and all(map(is_made_here, inside))


class FoundFiles:
    """Finds recordings below `root`, and counts what it leaves out until `say` reports it.

    Args:
        format: of the recordings, if it is given; files of unknown suffixes may be recordings then.
        not_shown: a file that is no recording, and is not counted as left out.
    """

    def __init__(self, root: Path, format: str | None = None, *, not_shown: Path | None = None) -> None:
        self.root = root
        self._not_shown = not_shown
        self._format = format
        self._suffixes = FORMATS.suffixes()
        others = {suffix for name, known in FORMATS.items() if name != "text" for suffix in known.suffixes}
        self._text = frozenset(FORMATS["text"].suffixes) - others
        self._left_out: dict[str, list[str]] = {}
        self._files: dict[Identity, Path] = {}

    def visible(self, folder: Path) -> list[Path]:
        """Return the folders and files in `folder`, sorted, without hidden ones, broken links, stores and runs."""
        shown = []
        for path in sorted(_listed(folder)):
            if is_hidden(path):
                self.leave_out("hidden", path)
            elif not path.exists():
                self.leave_out("broken links", path)
            elif is_made_here(path):
                self.leave_out("made by stdl-events", path)
            elif path != self._not_shown:
                shown.append(path)
        return shown

    def below(self, folder: Path) -> list[Path]:
        """Return the recordings in `folder` and in the folders in it.

        Raises:
            DatasetError: one is a link to a recording in a folder that was searched before.
        """
        above = (parent for parent in folder.parents if parent.is_relative_to(self.root))
        found = list(self._walk(folder, set(map(_identity, above))))
        for path in found:
            first = self._files.setdefault(_identity(path), path)
            if first != path:
                names = " and ".join(each.relative_to(self.root).as_posix() for each in (first, path))
                raise DatasetError(
                    str(self.root), got=f"{names}, which are one file", expected="each recording in one place",
                    todo="remove one of the links",
                )  # fmt: skip
        return found

    def recordings(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of `paths` that are recordings; other files are left out."""
        chosen = []
        for path in paths:
            if path.is_dir():
                continue
            if path.is_file() and self._is_recording(path):
                chosen.append(path)
            else:
                self.leave_out("of another kind", path)
        return chosen

    def leave_out(self, why: str, path: Path) -> None:
        """Count `path` as left out."""
        named = self._left_out.setdefault(why, [])
        name = path.relative_to(self.root).as_posix()
        if name not in named:
            named.append(name)

    def left_out(self) -> str:
        """Count what was left out, with the first names; empty if nothing was."""
        parts = []
        for why, names in self._left_out.items():
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            parts.append(f"{len(names)} {why} ({', '.join(names[:NAMES_SHOWN])}{more})")
        return ", ".join(parts)

    def say(self) -> None:
        """Warn, in one line, of all that was left out."""
        if self._left_out:
            warnings.warn(f"{self.root}: left out: {self.left_out()}", RecordingWarning, stacklevel=3)

    def _walk(self, folder: Path, seen: set[Identity]) -> Iterable[Path]:
        if not self._is_new(folder, seen):
            return
        for path in self.visible(folder):
            if path.is_dir():
                yield from self._walk(path, seen)
            elif self.recordings([path]) and self._is_new(path, seen):
                yield path

    def _is_new(self, path: Path, seen: set[Identity]) -> bool:
        identity = _identity(path)
        if identity in seen:
            self.leave_out("linked twice", path)
            return False
        seen.add(identity)
        return True

    def _is_recording(self, path: Path) -> bool:
        suffix = recording_suffix(path)
        if suffix in self._text:
            is_packed = path.suffix.lower() != suffix
            return self._format in (None, "text") and (is_packed or _looks_like_events(path))
        if self._format is None or suffix in FORMATS[self._format].suffixes:
            return suffix in self._suffixes
        return suffix not in OTHER_SUFFIXES


def _identity(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DatasetError(
            str(folder), got=error.strerror or str(error), expected="a folder that can be listed",
            todo="check the dataset's folder",
        ) from None  # fmt: skip


def _looks_like_events(path: Path) -> bool:
    """Return True unless a text file is prose or a list of labels: it is empty, or a line near its start has events.

    A line of events holds three numbers or more, and fewer words, or names the columns x and y.
    """
    head = first_bytes(path, _HEAD_BYTES)
    if not head.strip():
        return True
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    lines = head.decode("utf-16" if wide else "utf-8-sig", errors="replace").lower().splitlines()
    cells = [[cell.strip("\"' #%") for cell in _SEPARATORS.split(line.strip())] for line in lines]
    named = next((row for row in cells if any(row)), [])
    if not _COLUMNS_OF_LABELS.isdisjoint(named):
        return False
    return any({"x", "y"} <= set(row) or _are_numbers(row) for row in cells)


def _are_numbers(row: list[str]) -> bool:
    numbers = sum(map(_is_number, row))
    return numbers >= 3 and 2 * numbers > len(row)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None
