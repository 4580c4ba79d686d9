"""The folders of a given split, under the names that people give them."""

from pathlib import Path
from typing import Literal

from stdl_events.errors import DatasetError
from stdl_events.recordings.found_files import is_hidden, same_form

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")
COUNTED: dict[Side, str] = {"train": "to train", "validation": "to validate", "test": "held out"}
# In any case, and with a word such as "set" behind.
SIDE_NAMES: dict[Side, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "validate", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_ENDINGS = ("", "set", "_set", "-set", " set", "_data", "-data", " data")
_SIDE_OF: dict[str, Side] = {
    name + ending: side for side, names in SIDE_NAMES.items() for name in names for ending in _ENDINGS
}


def side_of_name(name: str) -> Side | None:
    """Return the side that a name stands for; None if it is another name."""
    return _SIDE_OF.get(same_form(name).casefold().strip())


def side_of_folder(folder: Path) -> Side | None:
    """Return the side that the folder's name stands for; None if it is another name."""
    return side_of_name(folder.name)


def sides_of(root: Path) -> dict[Side, Path]:
    """Return the folders in `root` that are sides of a split; none if it has no such folder.

    A folder that holds nothing but one folder of the same side, as some archives unpack, stands for that one.

    Raises:
        DatasetError: two folders stand for one side.
    """
    found: dict[Side, Path] = {}
    for folder in _folders(root):
        side = side_of_folder(folder)
        if side is None:
            continue
        if side in found:
            raise DatasetError(
                str(root), got=f"{found[side].name}/ and {folder.name}/", expected=f"one folder for the side {side}",
                todo="move their recordings into one folder, or give one of them another name",
            )  # fmt: skip
        found[side] = folder
    return {side: _inner(found[side], side) for side in SIDE_NAMES if side in found}


def _inner(folder: Path, side: Side) -> Path:
    shown = [path for path in folder.iterdir() if not is_hidden(path)]
    if len(shown) == 1 and shown[0].is_dir() and side_of_folder(shown[0]) == side:
        return shown[0]
    return folder


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if not is_hidden(path) and path.is_dir())
