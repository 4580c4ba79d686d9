"""Folders that would pass for classes: sides of a split, persons, copies, and recordings that are numbered."""

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.splits.sides import Side, side_of_name

_INNER_NUMBER = re.compile(r"([^_\d]+)_\d+_[^_]+")
_WORD = re.compile(r"[^\W_\d]+")
_LAST_NUMBER = re.compile(r"[\s_.-]*\d+\Z")


def require_no_sides_as_classes(root: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Check that no class is rather a side of a split, and that no side lies inside the classes.

    A class may well be called train. It is a side if it and all others hold the same folders, at least two and half of
    all; where no class has another name, one is enough. Other classes that hold the same folders are a warning: those
    may be the classes.

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
    shared = set.intersection(*inner.values())
    named = {name: side for name in inner if (side := _side_in(name)) is not None}
    are_few = len(shared) < 2 or 2 * len(shared) < len(set.union(*inner.values()))
    if not shared or (are_few and len(named) < len(inner)):
        return
    others, within = ", ".join(sorted(inner.keys() - named.keys())), ", ".join(sorted(shared))
    if named and (others or {"train"} < set(named.values())):
        pattern = None if others else _pattern_of_sides(named)
        layout = "'{session}/{class}/**'" if pattern is None else f"'{pattern}/{{class}}/**' for that split"
        beside = f"{', '.join(named)}/ beside {others}/" if others else f"{', '.join(named)}/"
        raise DatasetError(
            str(root), got=f"{beside}, with the folders {within} in each",
            expected="the sides of a split as train/ and test/, or folders that are classes",
            todo=f"rename the folders, or say what they are with --layout, such as {layout}",
        )  # fmt: skip
    text, layouts = f"each of the classes {_few(inner)} holds the folders {_few(shared)}", ["'*/{class}/**'"]
    deeper = _shared_below(root, files)
    if deeper:
        text += f", and each of those {_few(deeper)}"
        layouts.append("'*/*/{class}/**'")
    text += f"; if those are the classes, say so with --layout {' or '.join(layouts)} (data.layout)"
    warnings.warn(f"{root}: {text}", RecordingWarning, stacklevel=3)


def _shared_below(root: Path, files: Mapping[str, Sequence[Path]]) -> set[str]:
    """Return the names of two or more folders that all folders inside of the classes have in common."""
    below: dict[tuple[str, ...], set[str]] = {}
    for path in (path for paths in files.values() for path in paths):
        *folders, _ = path.relative_to(root).parts
        below.setdefault(tuple(folders[:2]), set()).update(folders[2:3])
    shared = set.intersection(*below.values())
    return shared if len(shared) > 1 else set()


def say_classes_in_classes(root: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Warn of folders inside of classes that have the name of another class, as copies of the whole folder have."""
    odd = {
        f"{name}/{inner}" for name, paths in files.items() for path in paths
        if (inner := _inner_name(root, path)) != name and inner in files
    }  # fmt: skip
    if odd:
        text = f"{_few(odd)} are folders in one class with the name of another one, and count for the outer class"
        warnings.warn(f"{root}: {text}; move them away if they are copies", RecordingWarning, stacklevel=3)


def say_numbered(root: Path, classes: Collection[str]) -> None:
    """Warn of long recordings, one per class, whose names differ in a number alone: the last one, as in "walk_1", or
    the one before a last word, as in "walk_1_anna".
    """
    inner = [_INNER_NUMBER.fullmatch(name) for name in classes]
    layout = "{class}_*" if None in inner else "{class}_*_*"
    groups: dict[str, list[str]] = {}
    for name, match in zip(classes, inner, strict=True):
        groups.setdefault(_LAST_NUMBER.sub("", name) if match is None else match[1], []).append(name)
    numbered = [names for stem, names in groups.items() if len(names) > 1 and (stem or len(groups) == 1)]
    if len(numbered) > 1 or len(groups) == 1 < len(classes):
        text = f"{' and '.join(sorted(numbered[0])[:2])} are classes of their own, as each recording without a folder"
        todo = f"say so with a pattern such as --layout '{layout}'"
        if len(groups) == 1:
            todo = "give the folder that this one is in with --data, or put the recordings of each class into a folder"
        warnings.warn(f"{root}: {text}; if they are of one class, {todo}", RecordingWarning, stacklevel=3)


def _side_in(name: str) -> Side | None:
    """Return the side that `name` or a word in it stands for, such as train for "x_train" and "train1"."""
    words = (name, *re.split(r"[\W_\d]+", name))
    return next((side for word in words if (side := side_of_name(word)) is not None), None)


def _pattern_of_sides(names: Iterable[str]) -> str | None:
    """Return the one pattern that the names of sides follow, such as "cars_{split}"; None if there is none."""
    patterns: set[str] = set()
    for name in names:
        sides = [word for word in _WORD.finditer(name) if side_of_name(word[0]) is not None]
        patterns.add(f"{name[: sides[0].start()]}{{split}}{name[sides[0].end() :]}" if sides else name)
    pattern = patterns.pop()
    return None if patterns or "{split}" not in pattern else pattern


def _few(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _inner_name(root: Path, path: Path) -> str:
    """Return the folder inside the class folder in which a recording lies; nothing if in the class folder itself."""
    parts = path.parts[len(root.parts) :]  # `relative_to` takes ten times as long
    return parts[1] if len(parts) > 2 else ""
