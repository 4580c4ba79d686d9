"""`Recording`: one file of events of any format, as a checked and ordered stream.

Time can step backwards in real files. Such events are sorted, stably: equal times keep the file's order. Reading in
chunks sorts in bounded memory with two passes. The first (`Recording.summary`, cached) measures the lateness of the
latest event. The second holds back the events newer than the newest event less that lateness, since no later event can
be older. The result equals sorting the whole file.

What the file should not hold is skipped, counted and warned about: events outside the sensor, and a few events far away
in time. After a reset of the clock the recording has *takes*, which are read one after another (`takes.py`).
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events.decoder import TODO_DAMAGE, Block, Decoder, SizeFrom, TimeUnitFrom
from stdl_events.events.defects import defects_of
from stdl_events.events.ordering import Extent, Summary, SummaryMaker, extent_of, in_order, sorted_by_time
from stdl_events.events.stream import EventArray, RecordingWarning, concatenate_events
from stdl_events.events.takes import events_of_parts

CHUNK_EVENTS = 1 << 16
# Differences of times must fit into 63 bits.
MAX_TIME_US = (1 << 62) - 1
# The largest event sensors have a million pixels; frames of a much larger one would exhaust the memory.
MAX_PIXELS = 1 << 26
_MAX_INFERRED_SIDE = 1 << 12


class Recording:
    """Events of one file; an `EventSource`. Returned by `open_recording`.

    Attributes:
        path: the file.
        data_path: its content, a temporary file if the file is compressed.
        format: its format's name, such as "aedat2".
        repair: damage ends the recording instead of raising; the events before it are used, with a warning.
        strict: a backward time step, an event outside the sensor and a stray event are damage.
        take: the number of the one take that is read, from 1; None for all.
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
        if own[0] * own[1] > MAX_PIXELS:
            raise _absurd_size(self.path, own, str(header.sensor_size_from))
        if argument is not None and argument != own:
            text = f"its {header.sensor_size_from} says {own[0]}x{own[1]}"
            warnings.warn(
                f"{self.path}: {text}, so the sensor size {argument[0]}x{argument[1]} is not used",
                RecordingWarning,
                stacklevel=4,
            )
        return own, header.sensor_size_from

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
        if inferred is not None and max(inferred) > _MAX_INFERRED_SIDE:
            raise _absurd_size(self.path, inferred, "coordinates")
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
            for _ in self._summarised_blocks():
                pass
        return self._summary

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
            events = concatenate_events(block.events for block in self._summarised_blocks())
            if self._summary is not None:
                break
        summary = self._summary
        events = events_of_parts(events, summary.parts)
        if summary.backward_steps:
            events = sorted_by_time(events)
        self._turn_upright(events)
        return events

    def _turn_upright(self, events: EventArray) -> None:
        """Flip the rows of `events`, not yet shared, in place if the file counts them upwards."""
        if self._decoder.header.y_up and len(events):
            events["y"] = self.sensor_size[1] - 1 - events["y"]

    def _blocks_again(self, summary: Summary) -> Iterator[EventArray]:
        """Yield the good events that are read in a further pass; the first pass counted them."""
        parts, start = summary.parts, 0
        if not parts:
            return
        for block in self._decoder.blocks():
            events = self._inside(block.events) if summary.outside else block.events
            yield events_of_parts(events, parts, start)
            start += len(events)
            if start >= parts[-1].stop:  # what follows is damaged or left out
                return
        raise TruncatedRecordingError(
            str(self.path), got=f"{parts[-1].stop - start} events fewer than when the file was first read",
            expected="a file that stays as it is", todo="open it again when nothing writes to it",
        )  # fmt: skip

    def _summarised_blocks(self) -> Iterator[Block]:
        """Yield the good blocks of a complete pass; at its end cache the summary and warn once about defects.

        If the first pass finds outliers, it sets the size without them; if it finds that the file's values have another
        interpretation, it sets that. Then it caches nothing: the caller starts again.
        """
        is_checked, first_time = self._decoder.header.is_checked, self._summary is None
        maker = SummaryMaker(is_checked=is_checked, infers=self._known_size is None and not is_checked)
        yield from self._good_blocks(maker)
        size = maker.size_without_outliers()
        if size is not None:
            self._known_size, self._known_size_from = size, "inferred"
            return
        summary = maker.finish(self.take, self.path)
        if first_time:
            if not self._settle(summary):
                return
            self._check_whole(summary, maker)
        self._summary = summary
        if not first_time:
            return
        for text in defects_of(summary, self._known_size, self._known_size_from, maker.first_outside, self.take):
            warnings.warn(f"{self.path}: {text}", RecordingWarning, stacklevel=4)

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

    def _check_whole(self, summary: Summary, maker: SummaryMaker) -> None:
        """Refuse a file of which most events are outside the sensor or, when strict, some are stray."""
        if summary.outside > maker.events and not self.repair:
            raise CorruptRecordingError(
                str(self.path), got=f"{maker.first_outside} and {summary.outside - 1} more events outside the sensor",
                expected=self._pixels,
                todo="check the sensor's size (--sensor), or use the other events with --repair (repair=True)",
            )  # fmt: skip
        if summary.strays and self.strict:
            raise CorruptRecordingError(
                str(self.path), got=f"{summary.strays} stray events, the first at {summary.stray_from_us} us",
                expected=f"times near the others, {summary.t_first_us} to {summary.t_last_us} us",
                todo="leave --strict (strict=True) out",
            )  # fmt: skip

    def _good_blocks(self, maker: SummaryMaker) -> Iterator[Block]:
        """Yield the file's blocks up to its end or, with `repair`, up to its first damage; `maker` counts all."""
        try:
            for block in self._decoder.blocks():
                extent = extent_of(block.events)
                good, damage = self._check(block, extent, maker)
                maker.add(good, extent if good is block.events else extent_of(good), is_reset=block.is_reset)
                yield Block(good, block.offset)
                if damage is not None:
                    raise damage
        except (TruncatedRecordingError, CorruptRecordingError) as damage:
            if not self.repair:
                raise
            maker.damage = damage.got

    def _inside(self, events: EventArray) -> EventArray:
        """Return the events on the sensor, if its size is known."""
        width, height = self._known_size or (1 << 16, 1 << 16)
        inside = (events["x"] < width) & (events["y"] < height)
        return events if inside.all() else events[inside]

    def _check(
        self, block: Block, extent: Extent, maker: SummaryMaker
    ) -> tuple[EventArray, CorruptRecordingError | None]:
        """Return the events of `block`, of extent `extent`, before the first bad one, and the error for that one."""
        events, damage = block.events, None
        if extent.t_min_us < -MAX_TIME_US or extent.t_max_us > MAX_TIME_US:
            bad = int(np.argmax((extent.t_us < -MAX_TIME_US) | (extent.t_us > MAX_TIME_US)))
            got = f"event {maker.events + bad} at {extent.t_us[bad]} us"
            damage = self._damage(block, got, "a time of fewer than 2^62 us", TODO_DAMAGE)
            events = events[:bad]
        events, outside = self._without_outside(block, events, extent, maker)
        damage = outside or damage
        if self.strict:
            late = maker.first_backward_step(events)
            if late is not None:
                got = f"event {maker.events + late} at {events['t'][late]} us, which is older than the one before it"
                damage = self._damage(block, got, "times that never step back", "leave --strict (strict=True) out")
                events = events[:late]
        return events, damage

    def _without_outside(
        self, block: Block, events: EventArray, extent: Extent, maker: SummaryMaker
    ) -> tuple[EventArray, CorruptRecordingError | None]:
        """Return those of the `events` of `block` that are on the sensor; if strict, those before the first other one.

        `maker` counts the others, also those that no sensor has.
        """
        width, height = self._known_size or (1 << 16, 1 << 16)
        outside = np.zeros(0, np.intp)
        if extent.width > width or extent.height > height:
            outside = np.flatnonzero((events["x"] >= width) | (events["y"] >= height))
        off = outside[:0] if block.off is None else block.off.before[block.off.before <= len(events)]
        if not len(outside) + len(off):
            return events, None
        bad = int(min([*outside[:1], *off[:1]]))
        is_off = block.off is not None and len(off) > 0 and off[0] == bad
        where = block.off.first if block.off and is_off else f"x={events['x'][bad]}, y={events['y'][bad]}"
        got = f"event {maker.events + maker.outside + bad} at {where}"
        if self.strict:
            todo = "leave --strict (strict=True) out: it is skipped then"
            return events[:bad], self._damage(block, got, self._pixels, todo)
        maker.first_outside = maker.first_outside or f"{got}, in the block from byte {block.offset}"
        maker.outside += len(outside) + len(off)
        return self._inside(events) if len(outside) else events, None

    @property
    def _pixels(self) -> str:
        size = self._known_size
        return "pixels from 0 to 65535" if size is None else f"pixels of a {size[0]}x{size[1]} sensor"

    def _damage(self, block: Block, got: str, expected: str, todo: str) -> CorruptRecordingError:
        where = f"{got}, in the block from byte {block.offset}"
        return CorruptRecordingError(str(self.path), got=where, expected=expected, todo=todo)


def _absurd_size(path: Path, size: tuple[int, int], origin: str) -> RecordingError:
    return RecordingError(
        str(path), got=f"a sensor of {size[0]}x{size[1]} by its {origin}",
        expected=f"at most {_MAX_INFERRED_SIDE} pixels a side" if origin == "coordinates" else "at most 2^26 pixels",
        todo="give the size with --sensor WxH (sensor_size=(W, H)); events outside it are skipped",
    )  # fmt: skip
