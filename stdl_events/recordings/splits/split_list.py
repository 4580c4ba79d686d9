"""The list of a split: each recording of all sides, with the size and the SHA-256 of its file.

A run and a store write it once. Evaluation and resumption read it, so that files added later change nothing and files
that have changed are found. Whole files are hashed, each once.

    {"rule": ..., "root": <folder of the recordings>, "classes": [...], ..., "recordings": [
    {"side": "train", "key": ..., "path": <relative to root>, "class": ..., "bytes": ..., "sha256": ...},
    ...]}

The side is `train`, `validation` or `test`.
A row also has the fields of `Entry` that differ from their defaults, such as `span`, `group` and `stream`.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from stdl_events import __version__
from stdl_events.errors import DatasetError
from stdl_events.events import Recording
from stdl_events.events.sources.replay import Position
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet, SideRule, Split, without_take
from stdl_events.recordings.file_contents import Content, contents_of, located, relative_folder
from stdl_events.recordings.found_files import FoundFiles, same_form
from stdl_events.recordings.splits.sides import SIDES, Side
from stdl_events.validation import first_problem
from stdl_events.whole_file import whole_file

SPLIT_FILE = "split.json"
SCHEMA_VERSION = 1
MAX_CHANGES_NAMED = 10
_TODO_LIST = "use the version of stdl-events that wrote it, or train again into another folder"
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
_COLUMNS = frozenset(("key", "path", "label", "content", "reader"))
_FIELDS = frozenset(field.name for field in fields(Entry)) - _COLUMNS

Reader = Callable[[Path], Recording]


class ListedRecording(BaseModel):
    """A row; further keys are fields of `Entry`.

    Attributes:
        path: relative to the root, with slashes.
        own_reader: the dataset reads this file by a function of its own.
    """

    model_config = ConfigDict(frozen=True, extra="allow", validate_by_name=True, serialize_by_alias=True)

    side: Side
    key: str
    path: str
    class_name: str = Field(alias="class")
    bytes: int | None
    sha256: str | None
    own_reader: bool = False

    @model_validator(mode="after")
    def _check_fields(self) -> "ListedRecording":
        unknown = sorted(self.further.keys() - _FIELDS)
        if unknown:
            raise DatasetError(self.key, got=f"the key {unknown[0]}", expected="keys of a recording", todo="remove it")
        _ENTRY.validate_python({"key": self.key, "path": self.path, "label": 0, **self.further})
        return self

    @property
    def content(self) -> Content:
        return Content(self.bytes, self.sha256)

    @property
    def further(self) -> dict[str, Any]:
        return self.model_extra or {}


class SplitList(BaseModel):
    """A split as it was used; see the module.

    Attributes:
        root: folder of the recordings, absolute.
        left_out: paths of recordings that were not readable.
        beside: number of further recordings in `root` that the split did not use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    made_by: str
    dataset: str
    root: str
    rule: str
    gap_us: int
    apart: tuple[str, ...] = ()
    validation: SideRule | None = None
    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    left_out: tuple[str, ...] = ()
    beside: int = 0
    recordings: tuple[ListedRecording, ...]

    @model_validator(mode="after")
    def _check_classes(self) -> "SplitList":
        unknown = {row.class_name for row in self.recordings} - set(self.classes)
        if unknown:
            raise DatasetError(
                "", got=f"the class {min(unknown)}", expected=f"one of {', '.join(self.classes)}", todo="correct it"
            )
        return self

    @classmethod
    def of(
        cls, split: Split, root: Path, contents: Mapping[Path, Content], *, dataset: str, left_out: Iterable[Path] = ()
    ) -> "SplitList":
        """List all sides of `split`; recordings without a content in `contents` are not compared later."""
        root = root.absolute()
        return cls(
            schema_version=SCHEMA_VERSION, made_by=f"stdl-events {__version__}", dataset=dataset, root=str(root),
            rule=split.rule, gap_us=split.gap_us, apart=split.apart,
            validation=None if split.validation is None else split.validation_rule, classes=split.train.classes,
            sensor_size=split.train.sensor_size,
            left_out=tuple(sorted({_relative(path, root) for path in (*split.left_out, *left_out)})),
            recordings=tuple(
                _row(entry, side, recordings.classes, root, contents)
                for side, recordings in split.sides.items()
                for entry in recordings.entries
            ),
        )  # fmt: skip

    def side(self, side: Side) -> tuple[ListedRecording, ...]:
        return tuple(row for row in self.recordings if row.side == side)

    def split(self, root: Path, reader_of: Callable[[str], Reader | None]) -> Split:
        """Return the split of the files in `root`.

        Args:
            reader_of: key -> `Entry.reader`; called for recordings with a reader of their own.
        """
        files = {
            (row.path, without_take(row.key, row.further.get("take")))
            for row in self.recordings
            if (row.own_reader and "span" not in row.further) or (row.bytes is not None and "picture" in row.further)
        }
        counts = Counter(path for path, _ in files)
        # A file may hold ten thousand pictures.
        places = {path: located(root, path) for path in {row.path for row in self.recordings}}
        sides = {
            side: RecordingSet(
                self.classes,
                self.sensor_size,
                tuple(self._entry(row, places[row.path], reader_of, counts[row.path] > 1) for row in self.side(side)),
            )
            for side in SIDES
        }
        validation = None if self.validation is None else sides["validation"]
        return Split(
            sides["train"], sides["test"], self.rule, self.gap_us, self.apart, validation,
            self.validation or SideRule(), tuple(located(root, path) for path in self.left_out),
        )  # fmt: skip

    def _entry(
        self, row: ListedRecording, path: Path, reader_of: Callable[[str], Reader | None], is_one_of_many: bool
    ) -> Entry:
        label = self.classes.index(row.class_name)
        entry = _ENTRY.validate_python({"key": row.key, "path": path, "label": label, **row.further})
        content = f"{row.path}/{entry.file_key}" if is_one_of_many else row.sha256
        return replace(entry, content=content, reader=reader_of(entry.file_key) if row.own_reader else None)


def _row(
    entry: Entry, side: str, classes: tuple[str, ...], root: Path, contents: Mapping[Path, Content]
) -> ListedRecording:
    content = contents.get(entry.path, Content(None, None if entry.reader else entry.content))
    further = _ENTRY.dump_python(entry, mode="json", exclude={*_COLUMNS, "span"}, exclude_defaults=True)
    if entry.span != WHOLE:
        further["span"] = list(plain_span(entry.span))
    # Not checked again: the entry was.
    return ListedRecording.model_construct(
        side=side, key=entry.key, path=_relative(entry.path, root), class_name=classes[entry.label],
        bytes=content.bytes, sha256=content.sha256, own_reader=entry.reader is not None, **further,
    )  # fmt: skip


def write_split_list(path: Path, listed: SplitList, *, todo: str | None = None) -> None:
    """Write `listed`, one line per recording, atomically.

    Raises:
        DatasetError: the file cannot be written.
    """
    head = listed.model_dump(mode="json", exclude={"recordings"})
    with whole_file(path, room_for="list of the recordings", error=DatasetError, todo=todo) as file:
        file.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2].encode() + b',\n "recordings": [\n')
        rows = (row.model_dump(mode="json", exclude_defaults=True) for row in listed.recordings)
        file.write(",\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode() + b"\n]}\n")


def read_split_list(path: Path) -> SplitList | None:
    """Read a list; None if there is no such file.

    Raises:
        DatasetError: it does not parse, or is of another version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(str(path), got=str(error), expected="a list of recordings", todo=_TODO_LIST) from None
    try:
        listed = SplitList.model_validate_json(text)
    except ValidationError as error:
        problem = first_problem(error)
        where = f"{problem.where}: " if problem.where else ""
        got, expected = f"{where}{problem.got}", problem.expected
        raise DatasetError(str(path), got=got, expected=expected, todo=_TODO_LIST) from None
    if listed.schema_version != SCHEMA_VERSION:
        got = f"schema {listed.schema_version}, written by {listed.made_by}"
        raise DatasetError(str(path), got=got, expected=f"schema {SCHEMA_VERSION}", todo=_TODO_LIST)
    return listed


def with_contents(split: Split, contents: Mapping[Path, Content]) -> Split:
    """Return `split` with `Entry.content` filled."""

    def filled(recordings: RecordingSet) -> RecordingSet:
        return recordings.with_entries(
            # A sample of a file or folder of many has its own content.
            replace(entry, content=contents[entry.path].sha256)
            if entry.content is None and entry.path in contents
            else entry
            for entry in recordings.entries
        )

    return split.with_sides({side: filled(recordings) for side, recordings in split.sides.items()})


def changes_of_rows(
    rows: Iterable[ListedRecording], root: Path, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Return how the files of `rows` in `root` differ from the list, one text per file."""
    by_path = {row.path: row for row in rows if row.sha256 is not None}
    paths = {row.path: located(root, row.path) for row in by_path.values()}
    found = contents_of(paths.values(), progress)
    return [
        text for row in by_path.values() if (text := _change(row, found.get(paths[row.path]))) is not None
    ]  # fmt: skip


def _change(row: ListedRecording, found: Content | None) -> str | None:
    if found is None:
        return f"{row.path} (missing; listed with {row.content})"
    if found.sha256 == row.sha256:
        return None
    return f"{row.path} (now {found}; listed with {row.content})"


def count_beside(listed: SplitList, root: Path) -> int:
    """Count the recordings in `root`, if it is there, that the list does not name."""
    if not root.is_dir():
        return 0
    known = {same_form(path) for path in (*(row.path for row in listed.recordings), *listed.left_out)}
    found = FoundFiles(root).below(root)
    return sum(same_form(path.relative_to(root).as_posix()) not in known for path in found)


def plain_span(span: tuple[Position, Position]) -> tuple[Position, Position]:
    """Convert numpy's numbers, which JSON does not accept."""
    start, stop = (position.item() if isinstance(position, np.generic) else position for position in span)
    return start, stop


@lru_cache(maxsize=1024)
def _relative(path: Path, root: Path) -> str:
    return PurePath(relative_folder(os.path.dirname(path), str(root)), path.name).as_posix()
