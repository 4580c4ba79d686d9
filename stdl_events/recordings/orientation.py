"""Orientation of the camera per folder of recordings, for sets whose cameras hung in different ways."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from stdl_events.errors import DatasetError
from stdl_events.events.geometry import Flip, Geometry, RotationSetting, Size
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.found_files import same_form
from stdl_events.validation import first_problem

NAMES_SHOWN = 8


class Orientation(BaseModel):
    """How the recordings of a folder are turned upright; written as `walk_away:rotate=180,flip=horizontal`.

    Attributes:
        folder: a class, or a folder or file below the data's folder, such as `session_2/anna`.
        rotate: degrees clockwise, as seen in the picture.
        flip: mirrored after that, left to right ("horizontal") or top to bottom ("vertical").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    rotate: RotationSetting = 0
    flip: Flip = "none"

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        folder, colon, text = value.rpartition(":")
        pairs = [pair.partition("=") for pair in text.split(",")]
        names = {key.strip() for key, _, _ in pairs}
        if not colon or not all(equals for _, equals, _ in pairs) or len(names) < len(pairs):
            raise DatasetError(
                "orientation", got=repr(value), expected="FOLDER:rotate=180 or FOLDER:rotate=90,flip=horizontal",
                todo="correct it",
            )  # fmt: skip
        return {"folder": folder, **{key.strip(): setting.strip() for key, _, setting in pairs}}

    @property
    def geometry(self) -> Geometry:
        return Geometry(rotate=self.rotate, flip=self.flip)

    def holds(self, entry: Entry, class_name: str) -> bool:
        """True if `entry`, of the class `class_name`, is in the folder."""
        folder = same_form(self.folder.strip("/"))
        return folder == class_name or f"/{folder}/" in f"/{entry.key}/"


def parse_orientations(words: Iterable[str]) -> tuple[Orientation, ...]:
    """Parse words such as "walk_away:rotate=180".

    Raises:
        DatasetError: a word has another form.
    """
    return tuple(map(_parse, words))


def _parse(word: str) -> Orientation:
    try:
        return Orientation.model_validate(word)
    except ValidationError as error:
        problem = first_problem(error)
        raise DatasetError(
            f"--orientation {word}", got=f"{problem.where} {problem.got}".strip(), expected=problem.expected,
            todo=problem.todo or "correct it",
        ) from None  # fmt: skip


def oriented(
    entries: Sequence[Entry],
    classes: Sequence[str],
    orientations: Iterable[Orientation],
    root: Path,
    stated: Sequence[Geometry | None] | None = None,
) -> tuple[Entry, ...]:
    """Return `entries` with the orientation of their folders: each is turned when it is opened.

    Args:
        stated: of each entry, by a label file; None where it says nothing.

    Raises:
        DatasetError: a folder holds none of the entries, two that differ hold the same one, or one differs from what is
            stated.
    """
    asked = tuple(orientations)
    for orientation in asked:
        if not any(orientation.holds(entry, classes[entry.label]) for entry in entries):
            folders = sorted({str(Path(entry.key).parent) for entry in entries} - {"."} | set(classes))
            raise DatasetError(
                str(root), got=f"an orientation for {orientation.folder}, where no recording is",
                expected=f"a folder of recordings: {', '.join(folders[:NAMES_SHOWN])}",
                todo="correct the name in --orientation (data.orientation)",
            )  # fmt: skip
    return tuple(
        _oriented(entry, classes[entry.label], asked, its)
        for entry, its in zip(entries, stated or [None] * len(entries), strict=True)
    )


def in_words(orientation: Geometry) -> str:
    """Return `rotate=90,flip=horizontal`, the words of `--orientation`."""
    return ",".join(map("=".join, orientation.words)) or "rotate=0"


def size_as_turned(entries: Sequence[Entry], sensor_size: Size) -> Size:
    """Return the one size that all `entries` have when a sensor of `sensor_size` is turned as they are.

    Raises:
        DatasetError: they have several.
    """
    turned = {entry.orientation.size(sensor_size): entry.key for entry in entries}
    if len(turned) > 1:
        raise several_sizes(entries[0].path.parent.parent, turned)
    return next(iter(turned))


def several_sizes(root: Path, sizes: dict[Size, str]) -> DatasetError:
    """Return the error for recordings of several sizes, given one of each size by its key."""
    named = ", ".join("{}x{} in {}".format(*size, key) for size, key in sorted(sizes.items())[:3])
    return DatasetError(
        str(root), got=f"several sensor sizes: {named}", expected="one sensor, after data.orientation",
        todo="keep the recordings of each sensor in a folder of their own",
    )  # fmt: skip


def _oriented(entry: Entry, class_name: str, orientations: Iterable[Orientation], stated: Geometry | None) -> Entry:
    found = {orientation.geometry for orientation in orientations if orientation.holds(entry, class_name)}
    if len(found) > 1:
        raise DatasetError(
            str(entry.path), got=f"{len(found)} orientations that differ", expected="at most one",
            todo="name folders that do not contain each other in --orientation (data.orientation)",
        )  # fmt: skip
    if stated is not None and found - {stated}:
        asked, by_file = map(in_words, (*found, stated))
        raise DatasetError(
            str(entry.path), got=f"{asked} by --orientation (data.orientation), {by_file} by the label file",
            expected="one orientation", todo="correct one of the two",
        )  # fmt: skip
    found |= set() if stated is None else {stated}
    return replace(entry, orientation=found.pop()) if found else entry
