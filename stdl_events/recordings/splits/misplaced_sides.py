"""Folders of a split that would pass for classes, or for folders inside classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.recordings.splits.sides import side_of_name


def require_no_sides_as_classes(root: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Check that no class is rather a side of a split, and that no side lies inside the classes.

    A class may well be called train. It is a side if it and all others hold the same folders, at least two.

    Args:
        files: recordings by class.

    Raises:
        DatasetError: a split is not where it would be used.
    """
    inner = {name: {_inner_name(root, path) for path in paths} for name, paths in files.items()}
    if any("" in names for names in inner.values()):
        return  # recordings lie in the class itself
    sides = {name: {side_of_name(each) for each in names} for name, names in inner.items()}
    if all({"train", "test"} <= its or {"train", "validation"} <= its for its in sides.values()):
        one = next(iter(inner))
        raise DatasetError(
            str(root), got=f"the sides {', '.join(sorted(inner[one]))} inside the class {one} and all others",
            expected="the classes inside of train/ and test/, or a layout that says what the folders are",
            todo="give --layout '{class}/{split}/**' to use this split, or --layout '{class}/**' for another one",
        )  # fmt: skip
    named, shared = [name for name in inner if side_of_name(name)], set.intersection(*inner.values())
    if named and len(inner) > len(named) and len(shared) > 1 and all(names == shared for names in inner.values()):
        others, within = ", ".join(sorted(inner.keys() - set(named))), ", ".join(sorted(shared))
        raise DatasetError(
            str(root), got=f"{', '.join(named)}/ beside {others}/, with the folders {within} in each",
            expected="the sides of a split as train/ and test/, or folders that are classes",
            todo="rename the folders, or say what they are with --layout, such as '{session}/{class}/**'",
        )  # fmt: skip


def _inner_name(root: Path, path: Path) -> str:
    """Return the folder inside the class folder in which a recording lies; nothing if in the class folder itself."""
    parts = path.relative_to(root).parts
    return parts[1] if len(parts) > 2 else ""
