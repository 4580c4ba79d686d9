"""Sets of labelled recordings, and splits of them.

An `Entry` is one labelled recording, or a part of one in time. A `Split` is two sets of them, with a check that they
are disjoint.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events import Recording, open_recording, span_us
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import AS_IT_IS, filtered
from stdl_events.events.geometry import Geometry
from stdl_events.events.sources.replay import Position, ReplaySource
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.recordings.counted import Counted
from stdl_events.recordings.splits.leak_check import check_disjoint
from stdl_events.recordings.splits.sides import Side

WHOLE: tuple[Position, Position] = (None, None)


@dataclass(frozen=True)
class Entry:
    """One labelled recording, or a part of one.

    Attributes:
        key: unique within the dataset, relative, the same on every machine.
        path: the file.
        label: index into the set's classes.
        span: the part of the recording, [start, stop) as for `span_us`: fractions, "70%", microseconds or None.
        begin: start of a labelled part in microseconds, with which its grid of clips begins; None is the recording's.
        group: the person or session recorded, if it must not be on both sides of a split.
        subject, session: the person and the session recorded, if they are named.
        format, sensor_size, stream, time_unit, columns: passed to `open_recording`, for files that do not store them.
        reader: replaces `open_recording` for a dataset with its own format; two recordings in one file have two.
        content: SHA-256 of the file, if known; the file itself may then be elsewhere.
        repair: use the events before the first damage instead of raising.
        strict: raise at events that would be skipped or sorted, see `open_recording`.
        picture: number of a static picture in the file, which then has no events.
        counted: of the recording, once it has been read.
        orientation: turns the recording upright when it is opened; it keeps all events.
        divided_us: length of the recording or labelled part of which a split by time took this part.
        take: the number, from 1, of one take of a recording whose clock was reset; times are then those of the take.
            None is the file as it is, all takes one after another.
    """

    key: str
    path: Path
    label: int
    span: tuple[Position, Position] = WHOLE
    group: str | None = None
    format: str | None = None
    sensor_size: tuple[int, int] | None = None
    reader: Callable[[Path], Recording] | None = None
    content: str | None = None
    stream: int | None = None
    time_unit: str | None = None
    columns: str | None = None
    orientation: Geometry = AS_IT_IS
    counted: Counted | None = None
    subject: str | None = None
    session: str | None = None
    repair: bool = False
    strict: bool = False
    picture: int | None = None
    take: int | None = None
    begin: int | None = None
    divided_us: int | None = None

    def open(self, *, takes_apart: bool = True) -> Recording:
        """Open the whole recording, or its one take, turned upright; `span` is not applied.

        Args:
            takes_apart: see `Recording`.

        Raises:
            RecordingError: the file is not readable, or it has an orientation and nothing states its sensor size; or it
                holds pictures.
        """
        if self.picture is not None:
            raise RecordingError(
                str(self.path), got="static pictures", expected="events",
                todo="use the commands train and evaluate, which read pictures",
            )  # fmt: skip
        recording = self._as_stored()
        recording.takes_apart = takes_apart
        if self.take is not None:
            recording.choose_take(self.take)
        if not self.orientation:
            return recording
        if recording.sensor_size_from == "inferred":
            raise RecordingError(
                str(self.path), got="a sensor size inferred from the events", expected="a size to turn it by",
                todo="state it with --sensor WxH (data.sensor_size=WxH)",
            )  # fmt: skip
        return filtered(recording, FilterSpec(), self.orientation)

    def _as_stored(self) -> Recording:
        if self.reader is not None:
            recording = self.reader(self.path)
            recording.repair, recording.strict = recording.repair or self.repair, recording.strict or self.strict
        else:
            recording = open_recording(
                self.path, format=self.format, sensor_size=self.sensor_size, stream=self.stream,
                time_unit=self.time_unit, columns=self.columns, repair=self.repair,
                strict=self.strict,
            )  # fmt: skip
        return recording

    @property
    def recording(self) -> tuple[object, ...]:
        """Equal for parts that are read from one opened recording."""
        return self.path, self.reader, self.orientation, self.take

    def of_take(self, number: int) -> "Entry":
        """Return the entry of one take, from 1 on, of this recording."""
        return replace(self, key=f"{self.key}:take{number}", take=number)

    @property
    def file_key(self) -> str:
        """The key of the recording of which this is a take; its own key if it is none."""
        return without_take(self.key, self.take)

    @property
    def is_whole(self) -> bool:
        return self.span == WHOLE

    def times_us(self) -> tuple[int, int]:
        """Return the span as [t0, t1) in microseconds; the file is read only if the span is relative to its ends.

        Raises:
            RecordingError: the file is not readable, or has no such part.
        """
        start, stop = self.span
        if isinstance(start, int) and isinstance(stop, int) and start <= stop:
            return start, stop
        return span_us(self.open(), start, stop)


def without_take(key: str, take: int | None) -> str:
    """Return the key of the recording of which the entry `key` is a take; `key` itself if it is none."""
    return key if take is None else key.removesuffix(f":take{take}")


@dataclass(frozen=True)
class RecordingSet:
    """Labelled recordings of one sensor size.

    Attributes:
        classes: names, in the order of the labels.
        sensor_size: (width, height).

    Raises:
        DatasetError: two entries share a key, or two classes a name; a label has no class; or a name is not UTF-8.
    """

    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name in self.classes:
            _require_utf8(name, f"class {name!r}")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise DatasetError(
                "classes", got=f"{twice!r} twice", expected="a name for each class", todo="rename one of them"
            )
        for entry in self.entries:
            _require_utf8(entry.key, str(entry.path))
            if entry.key in seen:
                raise DatasetError(
                    str(entry.path), got=f"the key {entry.key} for a second time", expected="one entry per key",
                    todo="rename one of the files, or remove a repeated line of their list",
                )  # fmt: skip
            if not 0 <= entry.label < len(self.classes):
                raise DatasetError(
                    str(entry.path), got=f"the label {entry.label}", expected=f"0 to {len(self.classes) - 1}",
                    todo="correct the label or name its class",
                )  # fmt: skip
            seen.add(entry.key)

    def __len__(self) -> int:
        return len(self.entries)

    def with_entries(self, entries: Iterable[Entry]) -> "RecordingSet":
        """Return a set of `entries` with the same classes and sensor size."""
        return RecordingSet(self.classes, self.sensor_size, tuple(entries))


@dataclass(frozen=True)
class SideRule:
    """What keeps two sides of a split apart.

    Attributes:
        rule: in words.
        gap_us: least time between parts of one recording on both.
        apart: attributes of entries that they do not share: "subject", "session".
    """

    rule: str = ""
    gap_us: int = 0
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Recordings to train on, recordings held out and, if something is to be chosen, recordings to validate on.

    Attributes:
        rule: the split rule, in words.
        gap_us: least time between held-out parts of a recording and others of it.
        apart: attributes of entries that held-out recordings share with no others: "subject", "session".
        validation: recordings that decide which weights are kept; they are neither trained on nor held out.
        validation_rule: how they were taken from the recordings to train on.
        left_out: files that the rule could not read, and that are on no side.
    """

    train: RecordingSet
    test: RecordingSet
    rule: str
    gap_us: int = 0
    apart: tuple[str, ...] = ()
    validation: RecordingSet | None = None
    validation_rule: SideRule = SideRule()
    left_out: tuple[Path, ...] = ()

    @property
    def sides(self) -> dict[Side, RecordingSet]:
        """The two or three sides, in the order of `SIDES`."""
        sides: dict[Side, RecordingSet | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {side: recordings for side, recordings in sides.items() if recordings is not None}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The recordings of all sides."""
        return tuple(chain.from_iterable(recordings.entries for recordings in self.sides.values()))

    @property
    def text(self) -> str:
        """Both rules, in words."""
        return "; ".join(filter(None, (self.rule, self.validation_rule.rule)))

    def with_sides(self, sides: Mapping[Side, RecordingSet]) -> "Split":
        """Return the split with other recordings on its sides."""
        return replace(self, train=sides["train"], test=sides["test"], validation=sides.get("validation"))

    def rule_between(self, ours: Side, theirs: Side) -> SideRule:
        """Return what keeps two sides apart."""
        is_within = {ours, theirs} == {"train", "validation"}
        return self.validation_rule if is_within else SideRule(self.rule, self.gap_us, self.apart)

    def check_disjoint(self) -> str:
        """Check that no two sides share a recording, person or session; see `leak_check.check_disjoint`."""
        return check_disjoint(self)


def _require_utf8(name: str, subject: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(
            subject, got="a name that is not UTF-8", expected="a name that lists and reports can hold",
            todo="rename the file or folder",
        ) from None  # fmt: skip


def given_split(sides: Mapping[Side, RecordingSet], rule: str) -> Split:
    """Return a split of given sides; without recordings to test, those to validate are held out."""
    validation, test = sides.get("validation"), sides.get("test")
    if validation is not None and (test is None or not test.entries):
        return Split(sides["train"], validation, rule)
    return Split(sides["train"], sides["test"], rule, validation=validation)


def read_events(entry: Entry) -> EventArray:
    """Read all events of an entry's span into a new array."""
    recording = entry.open(takes_apart=False)
    if not recording.summary.events:
        return empty_events()
    source = ReplaySource(recording, speed=None, start=entry.span[0], stop=entry.span[1])
    return np.concatenate([empty_events(), *source.chunks()])
