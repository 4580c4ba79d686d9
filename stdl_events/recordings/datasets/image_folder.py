"""Folders of static pictures, a folder per class, as ImageNet is usually unpacked.

    <root>/train/<class>/*.JPEG and <root>/val/<class>/*.JPEG       a given split; beside `test`, `val` validates
    <root>/<class>/*.png                                           no given split

Pillow, which the extra `train` brings, decodes JPEG, PNG, BMP, WebP, PPM, GIF and TIFF.
"""

from collections.abc import Sequence
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.frames import FrameSpec
from stdl_events.recordings.datasets.obtain import found_in
from stdl_events.recordings.datasets.picture_files import PictureFiles, size_of
from stdl_events.recordings.entry import Entry, RecordingSet, Split, given_split
from stdl_events.recordings.found_files import FoundFiles, same_form
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.splits.sides import sides_of

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".gif", ".tif", ".tiff"))
LAYOUT = "<class>/<picture>, or both sides as train/<class>/<picture> and val/<class>/<picture>"


class _FoundPictures(FoundFiles):
    """Finds pictures where the others find recordings of events."""

    def _is_recording(self, path: Path) -> bool:
        return path.suffix.lower() in SUFFIXES


def is_split(root: Path) -> bool:
    """True if `root` holds a folder to train on, and one to test or validate on."""
    sides = sides_of(root)
    return "train" in sides and len(sides) > 1


def read_image_folder(root: str | Path) -> RecordingSet:
    """Return all pictures of a folder without a given split.

    Raises:
        DatasetError: the folder has another layout.
    """
    root = Path(root)
    [recordings] = _read(root, [root])
    return recordings


def split_image_folder(root: str | Path) -> Split:
    """Return the given split: the folders `train` and `test`, and `val` to validate if there is one.

    Without `test`, `val` is held out.

    Raises:
        DatasetError: the folder has another layout, or a class is on one side only.
    """
    root = Path(root)
    if not is_split(root):
        raise _odd_layout(root, found_in(root), "add the folders train and val, or use another split rule")
    folders = sides_of(root)
    sides = dict(zip(folders, _read(root, list(folders.values())), strict=True))
    *first, last = (folder.name for folder in folders.values())
    return given_split(sides, f"as given by the folders {', '.join(first)} and {last}")


def _read(root: Path, folders: Sequence[Path]) -> list[RecordingSet]:
    found = _FoundPictures(root)
    files = [_files_of_classes(found, folder) for folder in folders]
    all_of_them, shared = set[str]().union(*files), set(files[0]).intersection(*files)
    odd = sorted(all_of_them - shared)
    if odd:
        raise _odd_layout(
            root, f"the classes {', '.join(odd[:5])} on one side only", "give both sides the same classes"
        )
    found.say()
    classes = tuple(sorted(files[0]))
    first = files[0][classes[0]][0]
    size = size_of(first)
    return [RecordingSet(classes, size, _entries(root, side, classes)) for side in files]


def _files_of_classes(found: FoundFiles, folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise _odd_layout(folder, found_in(folder), "check the path (--data)")
    files: dict[str, list[Path]] = {}
    visible = found.visible(folder)
    for path in visible:
        if path.is_dir():
            files.setdefault(same_form(path.name), []).extend(found.below(path))
    loose = found.recordings(visible)
    empty = [name for name, paths in files.items() if not paths]
    if loose or len(files) < 2 or empty:
        got = f"no pictures in {', '.join(empty[:5])}" if empty else found_in(folder)
        raise _odd_layout(folder, got, "sort the pictures into a folder for each class")
    return files


def _entries(root: Path, files: dict[str, list[Path]], classes: tuple[str, ...]) -> tuple[Entry, ...]:
    return tuple(
        Entry(same_form(path.relative_to(root).as_posix()), path, label, picture=0)
        for label, name in enumerate(classes)
        for path in files[name]
    )


def _odd_layout(root: Path, got: str, todo: str) -> DatasetError:
    return DatasetError(str(root), got=got, expected=LAYOUT, todo=todo)


def _open(entries: Sequence[Entry], frame_spec: FrameSpec) -> PictureFiles:
    return PictureFiles([entry.path for entry in entries], frame_spec)


DATASET = Dataset(
    "Static pictures in a folder per class, as ImageNet is unpacked",
    read_image_folder,
    split_image_folder,
    is_split=is_split,
    page="datasets/image_folder/README.md",
    pictures=_open,
)
