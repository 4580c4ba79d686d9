"""A folder of recordings: a folder per class with recordings in it, or one long recording per class.

    <root>/<class>/<recording>                     many recordings per class, in nested folders too
    <root>/<class>.<suffix>                        one long recording per class
    <root>/train/... and <root>/test/...           either layout twice: a given split; <root>/val/... to validate
    <root>/labels.csv or segments.tsv              any layout: a row names the label of a recording or of a part of it

Classes are sorted by name. Hidden files, notes and files with other suffixes than those of the formats are left out
with a warning that counts them. `sides` lists the accepted names of the two sides.
"""

from collections.abc import Collection, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

from stdl_events.errors import DatasetError
from stdl_events.events.compressed import recording_stem
from stdl_events.recordings.alike_classes import say_alike
from stdl_events.recordings.common_sensor import sensor_size_of
from stdl_events.recordings.datasets.obtain import found_in
from stdl_events.recordings.entry import Entry, RecordingSet, Split, given_split
from stdl_events.recordings.found_files import FoundFiles, same_form
from stdl_events.recordings.labels.label_columns import HEADER
from stdl_events.recordings.labels.label_source import LabelSource
from stdl_events.recordings.labels.label_times import AUTO
from stdl_events.recordings.labels.labelled import read_labelled
from stdl_events.recordings.labels.unread_labels import may_be_labels, say_unread
from stdl_events.recordings.orientation import Orientation, oriented
from stdl_events.recordings.registry import RECORDING_OPTIONS, Dataset
from stdl_events.recordings.splits.misplaced_sides import (
    require_no_sides_as_classes,
    say_classes_in_classes,
    say_numbered,
)
from stdl_events.recordings.splits.sides import Side, side_of_folder, sides_of

_LAYOUT_OF_SIDES = ", or divide all anew by a layout that says what the folders are, such as --layout '*/{class}/**'"
LAYOUT = "<class>/<recording> or <class>.<suffix>, or both sides as train/ and test/"


def is_split(
    root: Path, *, labels: str | None = None, label_times: str = AUTO, layout: str | None = None, **_: Any
) -> bool:
    """True if `root` holds the two sides of a given split: a folder to train, and one to test or validate.

    Args:
        labels, label_times, layout: as for `read_folder`; they may name the sides too.
    """
    source = LabelSource.find(root, labels=labels, label_times=label_times, layout=layout)
    if source is not None:
        return source.has_sides
    sides = sides_of(root)
    return "train" in sides and len(sides) > 1


class OpeningOptions(TypedDict, total=False):
    """Options of every recording of a folder.

    Attributes:
        format: for files that `open_recording` does not recognise; files of unknown suffixes are accepted then.
        sensor_size: for files that do not store it.
        stream, time_unit, columns: as for `open_recording`.
    """

    format: str | None
    sensor_size: tuple[int, int] | None
    stream: int | None
    time_unit: str | None
    columns: str | None


def read_folder(
    root: str | Path,
    *,
    orientation: Sequence[Orientation] = (),
    labels: str | None = "auto",
    label_times: str = AUTO,
    layout: str | None = None,
    one_class: bool = False,
    **options: Unpack[OpeningOptions],
) -> RecordingSet:
    """Return all recordings of a folder without a given split, or of one with a label file.

    Args:
        orientation: of the camera per folder; the recordings are turned upright when they are opened.
        labels: a label file in the folder; "auto" is `labels.csv` or `segments.tsv` if there is one, None is none.
        label_times: how its times count, one of `LABEL_TIMES`.
        layout: class, subject and session by the path, such as "{session}/{subject}/{class}/*".
        one_class: recordings of one class are enough, as to evaluate.

    Raises:
        DatasetError: the folder has another layout; the message lists its content. Or its label file is wrong.
    """
    root, source = _source_of(root, labels, label_times, layout)
    if source is not None:
        return read_labelled(source, options, orientation, one_class=one_class).recordings
    sides = sides_of(root)
    if is_split(root):
        names = " and ".join(folder.name for folder in sides.values())
        raise _odd_layout(root, f"the folders {names}, a given split", f"use the split rule `given`{_LAYOUT_OF_SIDES}")
    if len(sides) > 1:
        names = " and ".join(folder.name for folder in sides.values())
        raise _odd_layout(root, f"the folders {names}, and none to train on", "add the folder train")
    found = FoundFiles(root, options.get("format"))
    files = _files_of_classes(found, root, 1 if one_class else 2)
    say_unread(root, found.visible(root), labels)
    require_no_sides_as_classes(root, files)
    say_classes_in_classes(root, files)
    classes = tuple(sorted(files))
    say_alike(str(root), classes)
    entries = oriented(_entries(root, files, classes, options), classes, orientation, root)
    found.say()
    return RecordingSet(classes, sensor_size_of(entries, options.get("sensor_size")), entries)


def read_given_split(
    root: str | Path,
    *,
    orientation: Sequence[Orientation] = (),
    labels: str | None = "auto",
    label_times: str = AUTO,
    layout: str | None = None,
    one_class: bool = False,
    own_files: Collection[str] = (),
    **options: Unpack[OpeningOptions],
) -> Split:
    """Return the given split of `root`: its folders `train` and `test`, and `val` to validate if there is one.

    Without `test`, `val` is held out. A label file or a layout may name the sides too.

    Args:
        orientation, labels, label_times, layout, one_class: as for `read_folder`.
        own_files: names of further files in `root` that belong to the dataset.

    Raises:
        DatasetError: a folder is missing, there are recordings beside the two, or a class is on one side only.
    """
    root, source = _source_of(root, labels, label_times, layout)
    if source is not None:
        return read_labelled(source, options, orientation, one_class=one_class).split()
    if not is_split(root):
        raise _odd_layout(root, found_in(root), "add the folders train and test, or use another split rule")
    folders = sides_of(root)
    found = FoundFiles(root, options.get("format"))
    say_unread(root, _check_beside(found, own_files), labels)
    least = {"validation": 1} if len(folders) == 3 else {}
    files = {
        side: _files_of_classes(found, folder, 1 if one_class else least.get(side, 2))
        for side, folder in folders.items()
    }
    if not one_class:
        _require_classes(root, files, found)
    classes = tuple(sorted(set(chain.from_iterable(files.values()))))
    say_alike(str(root), classes)
    entries = {side: _entries(root, its, classes, options) for side, its in files.items()}
    turned = iter(oriented(tuple(chain.from_iterable(entries.values())), classes, orientation, root))
    sides = {side: tuple(islice(turned, len(its))) for side, its in entries.items()}
    found.say()
    size = sensor_size_of(tuple(chain.from_iterable(sides.values())), options.get("sensor_size"))
    *first, last = (folder.name for folder in folders.values())
    recordings = {side: RecordingSet(classes, size, its) for side, its in sides.items()}
    return given_split(recordings, f"as given by the folders {', '.join(first)} and {last}")


def _source_of(
    root: str | Path, labels: str | None, label_times: str, layout: str | None
) -> tuple[Path, LabelSource | None]:
    """Return (the folder, the source of its labels other than the names of its folders).

    Raises:
        DatasetError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(
            str(root), got=found_in(root), expected="a folder of recordings", todo="check the path (--data)"
        )
    return root, LabelSource.find(root, labels=labels, label_times=label_times, layout=layout)


def _check_beside(found: FoundFiles, own_files: Collection[str]) -> list[Path]:
    """Leave out what lies beside the two sides of a split, and return it.

    Raises:
        DatasetError: there are recordings.
    """
    beside = [path for path in found.visible(found.root) if path.name not in own_files]
    odd = found.recordings(beside)
    for path in beside:
        if path.is_dir() and side_of_folder(path) is None:
            odd += found.below(path)[:1]
            found.leave_out("without recordings", path)
    if odd:
        names = ", ".join(path.relative_to(found.root).as_posix() for path in odd[:3])
        raise _odd_layout(found.root, f"{names} beside the folders of a split", "move them into one of the sides")
    return beside


def _require_classes(root: Path, files: dict[Side, dict[str, list[Path]]], found: FoundFiles) -> None:
    """Check that all sides have the same classes; a side to validate may lack some, which is said later.

    Raises:
        DatasetError: they have not.
    """
    chosen_by = files["validation"].keys() if "test" in files and "validation" in files else set()
    sides = [its.keys() for side, its in files.items() if not (chosen_by and side == "validation")]
    odd = sorted((sides[0] ^ sides[1]) | (chosen_by - sides[0]))
    if odd:
        got = f"the classes {', '.join(odd[:5])} on one side only{_aside(found)}"
        raise _odd_layout(root, got, "give both sides the same classes")


def _files_of_classes(found: FoundFiles, root: Path, least: int = 2) -> dict[str, list[Path]]:
    visible = found.visible(root)
    folders: dict[str, list[Path]] = {}
    for path in visible:
        if path.is_dir():
            folders.setdefault(same_form(path.name), []).extend(found.below(path))
    loose = found.recordings(visible)
    long_ones = {same_form(recording_stem(path)): [path] for path in loose}
    if any(folders.values()):
        if long_ones:
            raise _odd_layout(root, found_in(root), "move the loose recordings into folders of their class")
        empty = [name for name, files in folders.items() if not files]
        if empty:
            got = f"no recordings in {', '.join(empty[:5])}{_aside(found)}"
            raise _odd_layout(root, got, "add some or remove the folder")
        files = folders
    else:
        _require_no_labels(root, [path for path in visible if path not in loose])
        say_numbered(root, long_ones)
        files = long_ones
        if len(long_ones) < len(loose):
            raise _odd_layout(root, "two recordings of one class side by side", "give each class a folder")
    if len(files) < least:
        only = next((path for path in visible if path.is_dir()), None) if len(folders) == 1 else None
        is_outer = only is not None and any(path.is_dir() for path in found.visible(only))
        todo = "add recordings of at least two classes" + (
            f", or give --data {only} if they are in it" if is_outer else ""
        )
        raise _odd_layout(root, f"{found_in(root)}{_aside(found)}", todo)
    return files


def _require_no_labels(root: Path, others: list[Path]) -> None:
    """Check that no file beside long recordings, one per class, looks like their labels.

    Raises:
        DatasetError: one does.
    """
    for path in others:
        if may_be_labels(path):
            raise _odd_layout(
                root, f"{path.name}, which may label the recordings beside it, and no folders of classes",
                f"name one file with the columns {HEADER} by --labels (data.labels), such as labels.csv, or move that "
                "file away",
            )  # fmt: skip


def _aside(found: FoundFiles) -> str:
    left_out = found.left_out()
    return f" (left out: {left_out})" if left_out else ""


def _entries(
    root: Path,
    files: dict[str, list[Path]],
    classes: tuple[str, ...],
    options: OpeningOptions,
) -> tuple[Entry, ...]:
    return tuple(
        Entry(same_form(path.relative_to(root).as_posix()), path, label, **options)
        for label, name in enumerate(classes)
        for path in files.get(name, ())
    )


def _odd_layout(root: Path, got: str, todo: str) -> DatasetError:
    return DatasetError(str(root), got=got, expected=LAYOUT, todo=todo)


DATASET = Dataset(
    "Your own recordings: a folder per class, one long recording per class, or a label file",
    read_folder,
    read_given_split,
    is_split=is_split,
    options=RECORDING_OPTIONS,
    page="datasets/folder/README.md",
    takes_one_class=True,
)
