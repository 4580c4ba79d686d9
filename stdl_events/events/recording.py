"""`Recording`: one file of events of any format, as a checked and ordered stream.

Time can step backwards in real files. Such events are sorted, stably: equal times keep the file's order. Reading in
chunks sorts in bounded memory with two passes. The first (`Recording.summary`, cached) measures the lateness of the
latest event. The second holds back the events newer than the newest event less that lateness, since no later event can
be older. The result equals sorting the whole file. A short file is decoded once for both (`held.py`).

What the file should not hold is skipped, counted and warned about: events outside the sensor, and a few events far away
in time. After a reset of the clock the recording has *takes*, which are read one after another (`takes.py`).
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from pathlib import Path

from stdl_events.errors import RecordingError, TruncatedRecordingError
from stdl_events.events.block_check import MAX_INFERRED_SIDE, BlockCheck, absurd_size
from stdl_events.events.decoder import Decoder, SizeFrom, TimeUnitFrom
from stdl_events.events.defects import defects_of
from stdl_events.events.held import HELD
from stdl_events.events.ordering import Summary, SummaryMaker, in_order, sorted_by_time
from stdl_events.events.stream import EventArray, RecordingWarning, concatenate_events
from stdl_events.events.takes import events_of_parts

CHUNK_EVENTS = 1 << 16
# The largest event sensors have a million pixels; frames of a much larger one would exhaust the memory.
MAX_PIXELS = 1 << 26


class Recording:
    """Events of one file; an `EventSource`. Returned by `open_recording`.

    Attributes:
        path: the file.
        data_path: its content, a temporary file if the file is compressed.
        format: its format's name, such as "aedat2".
        repair: damage ends the recording instead of raising; the events before it are used, with a warning.
        strict: a backward time step, an event outside the sensor and a stray event are damage.
        take: the number of the one take that is read, from 1; None for all.
        takes_apart: the caller reads each of the `takes` for itself; the warning about them says so.
        divide: returns the takes of a recording that is computed from another one.
        watch: called with the events of which clips are cut, see `recordings.cutting`.
        undivided: returns the recording of which this is a part.
    """

    def __init__(
        self,
        path: Path,
        format: str,
        decoder: Decoder,
        *,
        sensor_size: tuple[int, int] | None = None,
        time_unit: str | None = None,
        repair: bool = False,
        strict: bool = False,
        take: int | None = None,
    ) -> None:
        self.path = path
        self.data_path = path
        self.format = format
        self.repair = repair
        self.strict = strict
        self.take = take
        self.takes_apart = False
        self.divide: Callable[[], tuple[Recording, ...]] | None = None
        self.undivided: Callable[[], Recording] | None = None
        self.watch: Callable[[EventArray], object] | None = None
        self._maker: SummaryMaker | None = None  # of a recording with several takes
        self._decoder = decoder
        self._known_size, self._known_size_from = self._choose_size(sensor_size)
        self._summary: Summary | None = None
        if time_unit is not None:
            self._use_time_unit(time_unit)

    def _use_time_unit(self, unit: str) -> None:
        interpretation = self._decoder.header.interpretation
        if interpretation is not None:
            text = interpretation.use_time_unit(unit)
        else:
            text = None if unit == "us" else f"its format counts microseconds, so the time unit {unit} is not used"
        if text is not None:
            warnings.warn(f"{self.path}: {text}", RecordingWarning, stacklevel=5)

    def _choose_size(self, argument: tuple[int, int] | None) -> tuple[tuple[int, int] | None, SizeFrom | None]:
        header = self._decoder.header
        own = header.sensor_size
        if own is None:
            return argument, None if argument is None else "argument"
        is_absurd = own[0] * own[1] > MAX_PIXELS
        if is_absurd and argument is None:
            raise absurd_size(self.path, own, str(header.sensor_size_from))
        if argument is not None and argument != own:
            text = f"its {header.sensor_size_from} says {own[0]}x{own[1]}"
            text += (
                ", which is not used" if is_absurd else f", so the sensor size {argument[0]}x{argument[1]} is not used"
            )
            warnings.warn(f"{self.path}: {text}", RecordingWarning, stacklevel=4)
        return (argument, "argument") if is_absurd else (own, header.sensor_size_from)

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(width, height) in pixels: from the header, the format, the argument, or the smallest that holds all events.

        Raises:
            RecordingError: no size is given, and there is no event to infer it from; or the inferred one is absurd.
        """
        if self._known_size is not None:
            return self._known_size
        inferred = self.summary.inferred_size
        if self._known_size is not None:  # the pass over the events left outliers out
            return self._known_size
        if inferred is not None and max(inferred) > MAX_INFERRED_SIDE:
            raise absurd_size(self.path, inferred, "coordinates")
        if inferred is None:
            raise RecordingError(
                str(self.path),
                got="a recording without events whose format does not store the sensor size",
                expected="a size or an event to infer it from",
                todo="pass --sensor WxH (sensor_size=(W, H))",
            )
        return inferred

    @property
    def sensor_size_from(self) -> SizeFrom:
        """Origin of `sensor_size`."""
        return self._known_size_from or "inferred"

    @property
    def time_unit(self) -> str:
        """Unit of the stored times, a name in `TIME_UNITS`; `guessed` ones are final after `summary`."""
        interpretation = self._decoder.header.interpretation
        return "us" if interpretation is None else interpretation.time_unit

    @property
    def time_unit_from(self) -> TimeUnitFrom:
        """Origin of `time_unit`; `format` is its definition, or its convention for whole numbers and fractions."""
        interpretation = self._decoder.header.interpretation
        return "format" if interpretation is None else interpretation.time_unit_from

    @property
    def summary(self) -> Summary:
        """Counts, times and extent of the recording, from one pass over the file; cached.

        Raises:
            TruncatedRecordingError, CorruptRecordingError: the file is damaged, and `repair` is off.
        """
        while self._summary is None:  # again if the first pass found outliers, or another unit of time
            HELD.hold(self, self._summarised_events())
        return self._summary

    @property
    def takes(self) -> tuple["Recording", ...]:
        """Each take as a recording of its own, with its times as stored; this recording itself if it is one take.

        Raises:
            TruncatedRecordingError, CorruptRecordingError: see `summary`.
        """
        count = len(self.summary.takes)
        if self.divide is not None:
            return self.divide() or (self,)
        if self._maker is None:
            return (self,)
        return tuple(self._of_take(number, self._maker) for number in range(1, count + 1))

    @property
    def whole(self) -> "Recording":
        """The recording of which this is a part in time; otherwise this one itself."""
        return self if self.undivided is None else self.undivided()

    def choose_take(self, number: int) -> None:
        """Read one take from now on, counted from 1; its times are those stored.

        A recording without such a take raises a `RecordingError` when it is read.
        """
        self.take, self._summary, self._maker = number, None, None

    @property
    def attributes(self) -> Mapping[str, str | int | float]:
        """Further entries of the header, by name: the attributes of our HDF5; empty for other formats."""
        return self._decoder.header.attributes

    @property
    def t_first_us(self) -> int | None:
        """Time of the earliest event, None if there is none."""
        return self.summary.t_first_us

    @property
    def t_last_us(self) -> int | None:
        """Time of the latest event, None if there is none."""
        return self.summary.t_last_us

    def chunks(self, max_events: int = CHUNK_EVENTS) -> Iterator[EventArray]:
        """Yield the events in order, at most `max_events` at a time, in bounded memory.

        Raises:
            TruncatedRecordingError, CorruptRecordingError: before the first chunk, if the file is damaged.
        """
        assert max_events > 0, "max_events counts events"
        summary = self.summary
        for events in in_order(self._blocks_again(summary), summary.lateness_us, self.path):
            self._turn_upright(events)
            for start in range(0, len(events), max_events):
                yield events[start : start + max_events]

    def read(self) -> EventArray:
        """Return all events in order, as one array.

        Raises:
            TruncatedRecordingError, CorruptRecordingError: the file is damaged, and `repair` is off.
        """
        while True:
            events = concatenate_events(HELD.take(self) or self._summarised_events())
            if self._summary is not None:
                break
        summary = self._summary
        events = events_of_parts(events, summary.parts)
        if summary.backward_steps:
            events = sorted_by_time(events)
        self._turn_upright(events)
        return events

    @property
    def _check(self) -> BlockCheck:
        is_stated = self._known_size_from in ("header", "format")
        return BlockCheck(self.path, self._known_size, repair=self.repair, strict=self.strict, is_stated=is_stated)

    def _turn_upright(self, events: EventArray) -> None:
        """Flip the rows of `events`, not yet shared, in place if the file counts them upwards."""
        if self._decoder.header.y_up and len(events):
            events["y"] = self.sensor_size[1] - 1 - events["y"]

    def _blocks_again(self, summary: Summary) -> Iterator[EventArray]:
        """Yield the good events that are read in a further pass; the first pass counted them."""
        parts, start = summary.parts, 0
        if not parts:
            return
        blocks = (block.events for block in self._decoder.blocks())
        again = map(self._check.inside, blocks) if summary.outside or summary.impossible else blocks
        for events in HELD.take(self) or again:
            yield events_of_parts(events, parts, start)
            start += len(events)
            if start >= parts[-1].stop:  # what follows is damaged or left out
                return
        raise TruncatedRecordingError(
            str(self.path), got=f"{parts[-1].stop - start} events fewer than when the file was first read",
            expected="a file that stays as it is", todo="open it again when nothing writes to it",
        )  # fmt: skip

    def _summarised_events(self) -> Iterator[EventArray]:
        """Yield the good events of a complete pass; at its end cache the summary and warn once about defects.

        If the first pass finds outliers, it sets the size without them; if it finds that the file's values have another
        interpretation, it sets that. Then it caches nothing: the caller starts again.
        """
        is_checked, first_time = self._decoder.header.is_checked, self._summary is None
        maker = SummaryMaker(is_checked=is_checked, infers=self._known_size is None and not is_checked)
        check = self._check
        yield from check.good_events(self._decoder, maker)
        size = maker.size_without_outliers()
        if size is not None:
            self._known_size, self._known_size_from = size, "inferred"
            return
        summary = maker.finish(self.take, self.path)
        if first_time:
            if not self._settle(summary):
                return
            check.whole(summary, maker)
        self._summary = summary
        if not first_time:
            return
        if self.take is None and len(summary.takes) > 1:
            self._maker = maker
        first_outside = maker.first_outside + check.hint(maker)
        for text in defects_of(summary, self._known_size, self._known_size_from, first_outside, self._joined):
            warnings.warn(f"{self.path}: {text}", RecordingWarning, stacklevel=4)

    @property
    def _joined(self) -> bool | None:
        """True if all takes are read as one, False if each is for itself; None if one is chosen."""
        return None if self.take is not None else not self.takes_apart

    def _of_take(self, number: int, maker: SummaryMaker) -> "Recording":
        """Return one take of this recording, whose complete pass `maker` has seen."""
        take = copy(self)
        take.take, take._summary = number, maker.finish(number, self.path)
        take._maker = None
        return take

    def _settle(self, summary: Summary) -> bool:
        """Compare the interpretation of the file's values with the whole pass; False if it must be repeated."""
        interpretation = self._decoder.header.interpretation
        if interpretation is None:
            return True
        if not interpretation.settle(summary.events, summary.t_first_us, summary.t_last_us):
            return False
        for text in interpretation.warnings():
            warnings.warn(f"{self.path}: {text}", RecordingWarning, stacklevel=5)
        return True
