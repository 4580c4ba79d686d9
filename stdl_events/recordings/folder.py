"""A folder of recordings: a folder per class with recordings in it, or one long recording per class.

    <root>/<class>/<recording>                     many recordings per class, in nested folders too
    <root>/<class>.<suffix>                        one long recording per class
    <root>/train/... and <root>/test/...           either layout twice: a given split

Classes are sorted by name. Hidden files and files with other suffixes than those of the formats are ignored.
"""

from contextlib import suppress
from pathlib import Path

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events import FORMATS
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.obtain import found_in
from stdl_events.recordings.registry import Dataset

SIDES = ("train", "test")
LAYOUT = "<class>/<recording> or <class>.<suffix>, or both sides as train/ and test/"


def is_split(root: Path) -> bool:
    """True if `root` holds the two sides of a given split."""
    return all((root / side).is_dir() for side in SIDES)


def read_folder(
    root: str | Path, *, format: str | None = None, sensor_size: tuple[int, int] | None = None
) -> RecordingSet:
    """Return all recordings of a folder without a given split.

    Args:
        format: for files that `open_recording` does not recognise; files of every suffix are accepted then.
        sensor_size: for files that do not store it.

    Raises:
        DatasetError: the folder has another layout; the message lists its content.
    """
    root = Path(root)
    _require_folder(root)
    if is_split(root):
        raise _odd_layout(root, "the folders train and test, a given split", "use the split rule `given`")
    files = _files_of_classes(root, any_suffix=format is not None)
    classes = tuple(sorted(files))
    entries = _entries(root, files, classes, format, sensor_size)
    return RecordingSet(classes, sensor_size or _common_sensor_size(entries), entries)


def read_given_split(
    root: str | Path, *, format: str | None = None, sensor_size: tuple[int, int] | None = None
) -> Split:
    """Return the given split: the folders `train` and `test` in `root`.

    Raises:
        DatasetError: a folder is missing, or a class is on one side only.
    """
    root = Path(root)
    _require_folder(root)
    if not is_split(root):
        raise _odd_layout(root, found_in(root), "add the folders train and test, or use another split rule")
    sides = {side: _files_of_classes(root / side, any_suffix=format is not None) for side in SIDES}
    if sides["train"].keys() != sides["test"].keys():
        odd = sorted(sides["train"].keys() ^ sides["test"].keys())
        raise _odd_layout(
            root, f"the classes {', '.join(odd[:5])} on one side only", "give both sides the same classes"
        )
    classes = tuple(sorted(sides["train"]))
    entries = {side: _entries(root, sides[side], classes, format, sensor_size) for side in SIDES}
    size = sensor_size or _common_sensor_size(entries["train"] + entries["test"])
    train, test = (RecordingSet(classes, size, entries[side]) for side in SIDES)
    return Split(train, test, "as given by the folders train and test")


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise DatasetError(
            str(root), got=found_in(root), expected="a folder of recordings", todo="check the path (--data)"
        )


def _files_of_classes(root: Path, *, any_suffix: bool) -> dict[str, list[Path]]:
    suffixes = FORMATS.suffixes()

    def recordings_in(paths: list[Path]) -> list[Path]:
        return [path for path in paths if path.is_file() and (any_suffix or path.suffix.lower() in suffixes)]

    visible = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    folders = {path.name: recordings_in(sorted(path.rglob("[!.]*"))) for path in visible if path.is_dir()}
    long_ones = {path.stem: [path] for path in recordings_in(visible)}
    if any(folders.values()):
        if long_ones:
            raise _odd_layout(root, found_in(root), "move the loose recordings into folders of their class")
        empty = [name for name, files in folders.items() if not files]
        if empty:
            raise _odd_layout(root, f"no recordings in {', '.join(empty[:5])}", "add some or remove the folder")
        files = folders
    else:
        files = long_ones
        if len(long_ones) < len(recordings_in(visible)):
            raise _odd_layout(root, "two recordings of one class side by side", "give each class a folder")
    if len(files) < 2:
        raise _odd_layout(root, found_in(root), "add recordings of at least two classes")
    return files


def _entries(
    root: Path,
    files: dict[str, list[Path]],
    classes: tuple[str, ...],
    format: str | None,
    sensor_size: tuple[int, int] | None,
) -> tuple[Entry, ...]:
    return tuple(
        Entry(path.relative_to(root).as_posix(), path, label, format=format, sensor_size=sensor_size)
        for label, name in enumerate(classes)
        for path in files[name]
    )


def _common_sensor_size(entries: tuple[Entry, ...]) -> tuple[int, int]:
    """Return the size that the first readable recording of each class states.

    If none states it, return the smallest size that holds all events of those that are readable. The other recordings
    are checked when they are cut into clips.
    """
    stated: dict[tuple[int, int], Entry] = {}
    unread: dict[int, RecordingError] = {}
    read: set[int] = set()
    for entry in entries:
        if entry.label in read:
            continue
        try:
            recording = entry.open()
        except RecordingError as error:
            unread.setdefault(entry.label, error)
            continue
        read.add(entry.label)
        if recording.sensor_size_from != "inferred":
            stated[recording.sensor_size] = entry
    for label in unread.keys() - read:
        raise unread[label]
    if len(stated) > 1:
        named = ", ".join("{}x{} in {}".format(*size, entry.key) for size, entry in sorted(stated.items())[:3])
        raise DatasetError(
            str(entries[0].path.parent.parent), got=f"several sensor sizes: {named}", expected="one sensor",
            todo="keep the recordings of each sensor in a folder of their own",
        )  # fmt: skip
    if stated:
        return next(iter(stated))
    sizes = []
    for entry in entries:
        with suppress(RecordingError):
            sizes.append(entry.open().sensor_size)
    if not sizes:
        return entries[0].open().sensor_size
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def _odd_layout(root: Path, got: str, todo: str) -> DatasetError:
    return DatasetError(str(root), got=got, expected=LAYOUT, todo=todo)


DATASET = Dataset(
    "Your own recordings: a folder per class, or one long recording per class",
    read_folder,
    read_given_split,
    is_split=is_split,
    options=("format", "sensor_size"),
    page="datasets/folder/README.md",
)
