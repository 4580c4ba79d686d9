"""Recordings labelled by a file or by their paths, with subject, session and the side of a given split."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stdl_events.errors import DatasetError
from stdl_events.events.geometry import Geometry
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.alike_classes import say_alike
from stdl_events.recordings.common_sensor import sensor_size_of
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet, Split, given_split
from stdl_events.recordings.found_files import FoundFiles, same_form
from stdl_events.recordings.labels.label_rows import few, segments_of
from stdl_events.recordings.labels.label_source import Facts, LabelSource
from stdl_events.recordings.orientation import Orientation, oriented
from stdl_events.recordings.splits.sides import SIDES, Side


@dataclass(frozen=True)
class LabelledSet:
    """All labelled recordings, and the side of each if a split is given; `name` is that of the source of labels.

    `one_class`: a side may lack classes.
    """

    recordings: RecordingSet
    sides: tuple[Side | None, ...]
    name: str
    one_class: bool = False

    def split(self) -> Split:
        """Return the given split: to train, to validate if there is such a part, and held out.

        Without recordings to test, those to validate are held out.

        Raises:
            DatasetError: no split is given, or a class is on one of its two sides alone.
        """
        if not any(self.sides):
            raise DatasetError(
                self.name, got="no given split", expected="a column split with train, val and test, or such folders",
                todo="add it, or use another split rule",
            )  # fmt: skip
        without = self.sides.count(None)
        if without:
            warnings.warn(f"{self.name}: left out: {without} on no side", RecordingWarning, stacklevel=2)
        pairs = list(zip(self.recordings.entries, self.sides, strict=True))
        sides = {
            side: self.recordings.with_entries(entry for entry, its in pairs if its == side)
            for side in SIDES
            if side in self.sides or side != "validation"
        }
        split = given_split(sides, f"as given by {self.name}")
        if not self.one_class:
            self._require_classes(split)
        return split

    def _require_classes(self, split: Split) -> None:
        """Check that every class is on both sides; a side to validate may lack some, which is said later."""
        missing = {
            text: [name for label, name in enumerate(self.recordings.classes) if label not in labels]
            for text, side in ((TO_TRAIN, split.train), (HELD_OUT, split.test))
            for labels in [{entry.label for entry in side.entries}]
        }
        texts = [f"no recording of {few(names)} {text}" for text, names in missing.items() if names]
        if texts:
            raise DatasetError(
                f"{self.name}, the given split", got="; ".join(texts), expected="every class on both sides",
                todo="move recordings of the class to that side, take the class out, or use another split, such as "
                "--split recording",
            )  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """A labelled recording or a part of one, before classes are numbered."""

    file: str
    key: str
    path: Path
    label: str
    facts: Facts
    span: tuple[int, int] | None = None
    orientation: Geometry | None = None


def read_labelled(
    source: LabelSource,
    options: Mapping[str, Any],
    orientation: Sequence[Orientation] = (),
    *,
    one_class: bool = False,
) -> LabelledSet:
    """Return the recordings that `source` labels. What has no label is left out and said.

    Args:
        options: of every entry: format, sensor_size, stream, time_unit, columns.
        orientation: of the camera per folder; a label file may state it for a recording.
        one_class: recordings of one class are enough.

    Raises:
        DatasetError: no recording is labelled, labels contradict each other or lie outside their recordings, or there
            are fewer than two classes.
    """
    found = FoundFiles(source.root, options.get("format"), not_shown=source.file.path if source.file else None)
    files = {same_form(path.relative_to(source.root).as_posix()): path for path in found.below(source.root)}
    parts, said = _by_layout(source, files) if source.file is None else _by_file(source, files, dict(options))
    found.say()
    if said:
        warnings.warn(f"{source.root}, {source.name}: {'; '.join(said)}", RecordingWarning, stacklevel=3)
    classes = tuple(sorted({part.label for part in parts}))
    if len(classes) < 2 and not one_class:
        raise DatasetError(
            str(source.root), got=f"recordings of one class, {classes[0]}", expected="at least two classes",
            todo="label recordings of another class",
        )  # fmt: skip
    say_alike(f"{source.root}, {source.name}", classes)
    for name, one in (("subject", "person"), ("session", "session")):
        named = sorted({value for part in parts if (value := getattr(part.facts, name)) is not None})
        say_alike(f"{source.root}, {source.name}", named, f"{name}s", one)
    whole = [
        Entry(
            part.file, part.path, classes.index(part.label), subject=part.facts.subject, session=part.facts.session,
            **options,
        )
        for part in parts
    ]  # fmt: skip
    turned = oriented(whole, classes, orientation, source.root, [part.orientation for part in parts])
    entries = tuple(
        replace(entry, key=part.key, span=part.span or WHOLE, begin=part.span[0] if part.span else None)
        for entry, part in zip(turned, parts, strict=True)
    )
    size = sensor_size_of(tuple({entry.path: entry for entry in turned}.values()), options.get("sensor_size"))
    return LabelledSet(
        RecordingSet(classes, size, entries), tuple(part.facts.side for part in parts), source.name, one_class
    )


def _by_layout(source: LabelSource, files: dict[str, Path]) -> tuple[list[_Part], list[str]]:
    assert source.layout is not None
    facts_of = {key: source.facts(key, path) for key, path in files.items()}
    unmatched = [key for key, facts in facts_of.items() if facts is None]
    parts = [
        _Part(key, key, files[key], facts.label, facts) for key, facts in facts_of.items() if facts and facts.label
    ]
    if not parts:
        got = f"{len(files)} recordings that do not match, such as {unmatched[0]}" if files else "no recordings"
        raise DatasetError(
            str(source.root), got=got, expected=f"paths by the layout {source.layout.text}",
            todo="correct the layout (--layout, data.layout)",
        )  # fmt: skip
    if unmatched:
        said = f"{len(unmatched)} of {len(files)} recordings do not match and are left out: {few(unmatched)}"
        return parts, [said]
    return parts, []


def _by_file(source: LabelSource, files: dict[str, Path], options: dict[str, Any]) -> tuple[list[_Part], list[str]]:
    assert source.file is not None
    segments, said = segments_of(source.file, files, source.times, options)
    parts = []
    unmatched = []
    odd: dict[str, list[tuple[int, str]]] = {}
    for segment in segments:
        path, row = files[segment.key], segment.row
        by_path = source.facts(segment.key, path)
        if by_path is None:
            unmatched.append(segment.key)
            by_path = Facts()
        for name in ("subject", "session", "side"):
            stated, by_folder = getattr(row, name), getattr(by_path, name)
            if None not in (stated, by_folder) and stated != by_folder:
                where = f"line {row.line}: {stated}, in a folder of {by_folder}"
                odd.setdefault("split" if name == "side" else name, []).append((row.line, where))
        facts = Facts(
            row.label, row.subject or by_path.subject, row.session or by_path.session, row.side or by_path.side
        )
        key = segment.key if segment.span is None else f"{segment.key}:{row.line}"
        parts.append(_Part(segment.key, key, path, row.label, facts, segment.span, segment.orientation))
    for name, lines in odd.items():
        texts = few([text for _, text in sorted(lines)])
        said.append(f"the {name} is that of the rows where a folder says another one: {texts}")
    if unmatched:
        assert source.layout is not None
        names = list(dict.fromkeys(unmatched))
        said.append(f"{len(names)} labelled recordings do not match the layout {source.layout.text}: {few(names)}")
    return parts, said
