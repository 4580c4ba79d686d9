"""Sets of labelled recordings, and splits of them.

An `Entry` is one labelled recording, or a part of one in time. A `Split` is two sets of them, with a check that they
are disjoint.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stdl_events.errors import DatasetError, RecordingError, SplitError
from stdl_events.events import Recording, open_recording, span_us
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import AS_IT_IS, filtered
from stdl_events.events.geometry import Geometry
from stdl_events.events.sources.replay import Position, ReplaySource
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.recordings.counted import Counted
from stdl_events.recordings.file_digest import file_digest, file_size

WHOLE: tuple[Position, Position] = (None, None)
PEOPLE = ("subject", "session")


@dataclass(frozen=True)
class Entry:
    """One labelled recording, or a part of one.

    Attributes:
        key: unique within the dataset, relative, the same on every machine.
        path: the file.
        label: index into the set's classes.
        span: the part of the recording, [start, stop) as for `span_us`: fractions, "70%", microseconds or None.
        group: the person or session recorded, if it must not be on both sides of a split.
        subject, session: the person and the session recorded, if they are named.
        format, sensor_size, stream, time_unit, columns: passed to `open_recording`, for files that do not store them.
        reader: replaces `open_recording` for a dataset with its own format; two recordings in one file have two.
        content: SHA-256 of the file, if known; the file itself may then be elsewhere.
        repair: use the events before the first damage instead of raising.
        picture: number of a static picture in the file, which then has no events.
        counted: of the recording, once it has been read.
        orientation: turns the recording upright when it is opened; it keeps all events.
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
    picture: int | None = None
    take: int | None = None

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
            recording.repair = recording.repair or self.repair
        else:
            recording = open_recording(
                self.path, format=self.format, sensor_size=self.sensor_size, stream=self.stream,
                time_unit=self.time_unit, columns=self.columns, repair=self.repair,
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
        DatasetError: two entries share a key, or a label has no class.
    """

    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for entry in self.entries:
            if entry.key in seen:
                raise DatasetError(
                    str(entry.path), got=f"the key {entry.key} for a second time", expected="one entry per key",
                    todo="rename one of the files",
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
class Split:
    """Recordings to train on and recordings held out.

    Attributes:
        rule: the split rule, in words.
        gap_us: least time between parts of one recording on the two sides.
        apart: attributes of entries that are not shared by both sides: "subject", "session".
    """

    train: RecordingSet
    test: RecordingSet
    rule: str
    gap_us: int = 0
    apart: tuple[str, ...] = ()

    def check_disjoint(self) -> str:
        """Check that no recording, person or session is on both sides; return the result as one line.

        Parts of one recording may be on both sides if they are at least `gap_us` apart. Files of equal content count as
        one recording, whatever their names.

        Raises:
            SplitError: both sides share something, or one side is empty.
        """
        for name, side in (("training", self.train), ("held-out", self.test)):
            if not side.entries:
                raise self._error(
                    f"no {name} recordings", "recordings on both sides", "add recordings or change the rule"
                )
        if (self.train.classes, self.train.sensor_size) != (self.test.classes, self.test.sensor_size):
            raise self._error("other classes or another sensor on one side", "the same on both", "read both as one set")
        shared = self._check_recordings()
        groups = self._check_groups()
        parts = "no recording on both sides"
        if shared:
            parts = f"{shared} recordings on both sides, in parts at least {self.gap_us / 1000:g} ms apart"
        persons = [f"none of {groups} persons or sessions on both sides"] if groups else []
        persons += filter(None, (self._check_named(name) for name in PEOPLE))
        people = "; ".join(persons or ["no persons or sessions named"])
        return f"split {self.rule}: {len(self.train)} to train, {len(self.test)} held out; checked: {parts}; {people}"

    def _check_recordings(self) -> int:
        """Check the recordings; return the number of those with parts on both sides."""
        trained = _by_content(self.train.entries, self.test.entries)
        held_out = _by_content(self.test.entries, self.train.entries)
        shared = trained.keys() & held_out.keys()
        for content in shared:
            for ours in trained[content]:
                for theirs in held_out[content]:
                    self._check_parts(ours, theirs)
        return len(shared)

    def _check_parts(self, ours: Entry, theirs: Entry) -> None:
        subject = ours.key if ours.key == theirs.key else f"{ours.key} and {theirs.key}"
        if ours.take != theirs.take and None not in (ours.take, theirs.take) and WHOLE not in (ours.span, theirs.span):
            return  # a reset of the clock is between them, and their times do not compare
        if WHOLE in (ours.span, theirs.span) or ours.take != theirs.take:
            raise self._error(f"the recording {subject} on both sides", "each on one side", "remove it from one side")
        a0_us, a1_us = ours.times_us()
        b0_us, b1_us = theirs.times_us()
        between_us = max(b0_us - a1_us, a0_us - b1_us)
        if between_us < self.gap_us:
            how = "overlap" if between_us < 0 else f"are {between_us} us apart"
            raise self._error(f"parts of {subject} that {how}", f"at least {self.gap_us} us between", "move them apart")

    def _check_groups(self) -> int:
        """Check the persons and sessions; return their number."""
        trained = {entry.group for entry in self.train.entries if entry.group is not None}
        held_out = {entry.group for entry in self.test.entries if entry.group is not None}
        if trained & held_out:
            got = f"{', '.join(sorted(trained & held_out)[:5])} on both sides"
            raise self._error(got, "each person or session on one side", "split by group")
        return len(trained | held_out)

    def _check_named(self, name: str) -> str:
        """Check the subjects or the sessions, if they are kept apart; return how many are on both sides, in words."""
        trained, held_out = (
            {getattr(entry, name) for entry in side.entries} - {None} for side in (self.train, self.test)
        )
        both, all_named = trained & held_out, len(trained | held_out)
        if both and name in self.apart:
            got = f"the {name} {', '.join(sorted(both)[:5])} on both sides"
            raise self._error(got, f"each {name} on one side", f"split by {name}")
        return f"{len(both) or 'none'} of {all_named} {name}s on both sides" if all_named else ""

    def _error(self, got: str, expected: str, todo: str) -> SplitError:
        return SplitError(f"split {self.rule}", got=got, expected=expected, todo=todo)


def read_events(entry: Entry) -> EventArray:
    """Read all events of an entry's span into a new array."""
    recording = entry.open(takes_apart=False)
    if not recording.summary.events:
        return empty_events()
    source = ReplaySource(recording, speed=None, start=entry.span[0], stop=entry.span[1])
    return np.concatenate([empty_events(), *source.chunks()])


def _by_content(entries: tuple[Entry, ...], others: tuple[Entry, ...]) -> dict[str, list[Entry]]:
    """Group entries by the content of their files; only files as large as one of the other side's are read."""
    grouped: defaultdict[str, list[Entry]] = defaultdict(list)
    if all(entry.content is not None for entry in (*entries, *others)):
        for entry in entries:
            grouped[str(entry.content)].append(entry)
        return grouped
    sizes = {file_size(path) for path in {entry.path for entry in others}}
    contents: dict[Path, str] = {}
    for entry in entries:
        if entry.path not in contents:
            contents[entry.path] = file_digest(entry.path) if file_size(entry.path) in sizes else str(entry.path)
        grouped[contents[entry.path]].append(entry)
    return grouped
