"""Where the labels of a folder come from, other than the names of its folders: a label file, a layout, or both."""

from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.events.compressed import recording_stem
from stdl_events.recordings.found_files import same_form
from stdl_events.recordings.labels.label_file import HEADER, LABEL_FILES, LabelFile, find_label_file, read_label_file
from stdl_events.recordings.labels.label_times import AUTO
from stdl_events.recordings.labels.layout import Layout
from stdl_events.recordings.splits.sides import Side, side_of_name, sides_of


@dataclass(frozen=True)
class Facts:
    """What is known of a recording by its path."""

    label: str | None = None
    subject: str | None = None
    session: str | None = None
    side: Side | None = None


@dataclass(frozen=True)
class LabelSource:
    """The source of labels of the folder `root`.

    Attributes:
        file: the label file, if there is one.
        times: how its times count, one of `LABEL_TIMES`.
        layout: the pattern of the paths, if there is one.
        sides_are_folders: `root` has the folders of a given split.
    """

    root: Path
    file: LabelFile | None
    times: str
    layout: Layout | None
    sides_are_folders: bool

    @classmethod
    def find(
        cls, root: Path, *, labels: str | None, label_times: str = AUTO, layout: str | None = None
    ) -> "LabelSource | None":
        """Return the source of labels of the folder `root`; None if classes are its folders.

        Args:
            labels: see `find_label_file`.

        Raises:
            DatasetError: the label file is missing or wrong, or file and layout both name classes.
            RecipeError: the layout does not parse.
        """
        path = find_label_file(root, labels)
        if path is None and label_times != AUTO:
            raise DatasetError(
                str(root), got="no label file, but how its times count", expected=f"one of {', '.join(LABEL_FILES)}",
                todo=f"add one with the columns {HEADER}, or leave out data.label_times (--label-times)",
            )  # fmt: skip
        if path is None and layout is None:
            return None
        source = cls(
            root,
            None if path is None else read_label_file(path),
            label_times,
            None if layout is None else Layout.parse(layout),
            {"train"} < sides_of(root).keys(),
        )
        source._require_one_class()
        return source

    @property
    def name(self) -> str:
        if self.file is not None:
            return self.file.path.name
        assert self.layout is not None
        return f"the layout {self.layout.text}"

    @property
    def has_sides(self) -> bool:
        """True if a split is given: by the file, by the layout, or by folders such as train and test."""
        by_layout = self.layout is not None and "split" in self.layout.fields
        return by_layout or self.sides_are_folders or (self.file is not None and self.file.has_sides)

    def facts(self, key: str, path: Path) -> Facts | None:
        """Return what the path of a recording says; None if it does not match the layout.

        Args:
            key: the path relative to `root`, with forward slashes.

        Raises:
            DatasetError: the layout is ambiguous, or finds a side of another name.
        """
        side = side_of_name(key.partition("/")[0]) if self.sides_are_folders else None
        if self.layout is None:
            return Facts(side=side)
        found = self.layout.match(key, without_suffix(key, path))
        if found is None:
            return None
        if "split" in found:
            side = side_of_name(found["split"])
            if side is None:
                raise DatasetError(
                    str(path), got=f"the split {found['split']!r}", expected="train, val or test",
                    todo="correct the name or --layout (data.layout)",
                )  # fmt: skip
        return Facts(found.get("class"), found.get("subject"), found.get("session"), side)

    def _require_one_class(self) -> None:
        """Check that either the file or the layout names classes."""
        if self.layout is None or ("class" in self.layout.fields) != (self.file is not None):
            return
        subject = f"layout {self.layout.text!r}"
        if self.file is None:
            raise DatasetError(
                subject, got="no class", expected="{class} in it, or a label file",
                todo=f"put {{class}} into it, or add {LABEL_FILES[0]}",
            )  # fmt: skip
        raise DatasetError(
            subject, got=f"classes by {self.file.path.name} too", expected="the class from one place",
            todo="write * for {class}, or ignore the file with data.labels=none (--labels none)",
        )  # fmt: skip


def without_suffix(key: str, path: Path) -> str:
    """Return the relative path of a recording without its suffix."""
    folder, slash, _ = key.rpartition("/")
    return folder + slash + same_form(recording_stem(path))
