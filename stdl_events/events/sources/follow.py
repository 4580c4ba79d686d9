"""A file that is still written, as a source: its events are yielded as they are appended."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, SourceLostError, TruncatedRecordingError
from stdl_events.events.block_check import MAX_TIME_US
from stdl_events.events.decoder import Block, Header
from stdl_events.events.defects import impossible_text
from stdl_events.events.formats.pieces import Pieces
from stdl_events.events.ordering import sorted_by_time
from stdl_events.events.sources.beginning import Size, Waiting, open_beginning
from stdl_events.events.stream import EventArray, RecordingWarning, concatenate_events, copied, empty_events
from stdl_events.events.takes import are_few

# Real cameras write events some microseconds late; what is later than this is out of order in the source too.
HOLD_US = 1_000
# As in the live loop: a longer step back is a reset of the clock, and nothing is sorted across it.
_RESET_US = 1_000_000
_PIECE_BYTES = 1 << 20


def open_followed(
    path: str | Path,
    waiting: Waiting | None = None,
    *,
    idle_s: float | None = None,
    format: str | None = None,
    sensor_size: Size | None = None,
    default_sensor_size: Size | None = None,
    stream: int | None = None,
    time_unit: str | None = None,
    columns: str | None = None,
    repair: bool = False,
    strict: bool = False,
) -> "FollowSource":
    """Open the file at `path`, which another program still writes, as soon as its beginning is there.

    Args:
        waiting: for the beginning, and for all that follows; by default as long as `idle_s`.
        idle_s: see `Waiting`.
        default_sensor_size: the size if neither the file nor `sensor_size` gives one.
        repair: a file that ends inside an event, or contradicts its format, ends without an error.
        format, sensor_size, stream, time_unit, columns, strict: as for `open_recording`.

    Raises:
        RecordingError: the file is missing, compressed, of a format without appended events, or leaves open what only
            a whole file tells; or no size is given.
    """
    path, waiting = Path(path), waiting or Waiting(idle_s)
    pieces, header, size = open_beginning(
        path, waiting, format=format, sensor_size=sensor_size, default_sensor_size=default_sensor_size, stream=stream,
        time_unit=time_unit, columns=columns,
    )  # fmt: skip
    return FollowSource(path, pieces, header, size, waiting=waiting, repair=repair, strict=strict)


class FollowSource:
    """An `EventSource` of a file that is still written; returned by `open_followed`.

    Chunks are yielded as soon as events are appended, empty ones while none are. They are sorted by time: events wait
    for others that are up to `HOLD_US` late. The source ends when nothing was appended for `Waiting.idle_s`.

    Attributes:
        path: the file.
        name: of it in warnings.
        sensor_size: (width, height).
        outside: number of events outside the sensor so far, which are skipped.
        impossible: number of events without a possible time so far, which are left out.
        overload: the model is waited for, since the file keeps what is not read yet.
    """

    overload: Literal["complete"] = "complete"

    def __init__(
        self,
        path: Path,
        pieces: Pieces,
        header: Header,
        sensor_size: Size,
        *,
        waiting: Waiting,
        repair: bool = False,
        strict: bool = False,
    ) -> None:
        self.path = path
        self.name = str(path)
        self.sensor_size = sensor_size
        self.outside = self.impossible = 0
        self._events = 0
        self._pieces, self._header, self._waiting = pieces, header, waiting
        self._repair, self._strict = repair, strict
        self._held = empty_events()
        self._newest_us: int | None = None

    def chunks(self) -> Iterator[EventArray]:
        """Yield the events as they are appended.

        Raises:
            SourceLostError: the file shrinks, is replaced or disappears.
            TruncatedRecordingError: it ends inside an event; without `repair`.
            CorruptRecordingError: its bytes contradict the format; or, where `strict`, an event is outside the sensor
                or older than one before it.
        """
        try:
            for data in self._appended():
                for block in self._pieces.push(data):
                    yield from self._in_order(block)
                if not data:
                    yield empty_events()
            for block in self._pieces.finish():
                yield from self._in_order(block)
        except (TruncatedRecordingError, CorruptRecordingError) as damage:
            yield self._release(0)
            if not self._repair:
                raise
            warnings.warn(f"{self.name}: {damage.got}: kept the part before", RecordingWarning, stacklevel=2)
        yield self._release(0)
        self._say_defects()

    def _appended(self) -> Iterator[bytes]:
        """Yield the file's bytes from the first event on; b"" once in a while as long as nothing comes."""
        waiting = self._waiting
        with self.path.open("rb") as file:
            file.seek(self._pieces.next_byte)
            since_s = waiting.clock_s()
            while True:
                looked_s = waiting.clock_s()  # before the read: what is written after it is not missed at the end
                data = file.read(_PIECE_BYTES)
                if data:
                    yield data
                    since_s = waiting.clock_s()
                    continue
                self._refuse_lost(os.fstat(file.fileno()), file.tell())
                if waiting.idle_s is not None and looked_s - since_s >= waiting.idle_s:
                    return
                yield b""
                waiting.sleep_s(waiting.poll_s)

    def _refuse_lost(self, opened: os.stat_result, position: int) -> None:
        """Raise if the file shrank, or another has its name, or none."""
        got = f"{opened.st_size} of {position} bytes" if opened.st_size < position else None
        try:
            named = self.path.stat()
        except OSError:
            got = got or "no such file any more"
        else:
            if (named.st_ino, named.st_dev) != (opened.st_ino, opened.st_dev):
                got = got or "another file of the same name"
        if got is not None:
            raise SourceLostError(
                str(self.path), got=got, expected="a file to which events are appended",
                todo="start again when it is written to",
            )  # fmt: skip

    def _in_order(self, block: Block) -> Iterator[EventArray]:
        """Yield the events of `block` and those held before that no later event precedes."""
        events = self._at_possible_times(block, self._on_sensor(block))
        if not len(events):
            return
        t_us = np.ascontiguousarray(events["t"])
        if self._strict:
            self._refuse_late(block, t_us)
        self._events += len(events)
        for start, stop, is_reset in self._runs(t_us, block.is_reset):
            if is_reset:
                yield self._release(0)
            yield from self._hold(events[start:stop])

    def _runs(self, t_us: npt.NDArray[np.int64], is_reset: bool) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, stop, True after a reset) of the runs of events between resets of the clock."""
        newest_us, start = self._newest_us, 0
        while start < len(t_us):
            if is_reset or newest_us is None:
                newest_us = int(t_us[start])
            newest = np.maximum.accumulate(np.maximum(t_us[start:], newest_us))
            back = np.flatnonzero(t_us[start:] < newest - _RESET_US)
            stop = start + int(back[0]) if len(back) else len(t_us)
            if stop > start:
                yield start, stop, is_reset
            start, is_reset = stop, True

    def _refuse_late(self, block: Block, t_us: npt.NDArray[np.int64]) -> None:
        before = np.concatenate([t_us[:1] if self._newest_us is None else [self._newest_us], t_us[:-1]])
        late = np.flatnonzero(t_us < before)
        if len(late):
            got = f"an event at {t_us[late[0]]} us, which is older than the one before it"
            raise self._damage(block, got, "times that never step back", "leave --strict (strict=True) out")

    def _hold(self, events: EventArray) -> Iterator[EventArray]:
        self._held = concatenate_events([self._held, events]) if len(self._held) else events
        if (self._held["t"][1:] < self._held["t"][:-1]).any():
            self._held = sorted_by_time(self._held)
        self._newest_us = int(self._held["t"][-1])
        yield self._release(HOLD_US)

    def _release(self, hold_us: int) -> EventArray:
        """Return the held events that are at least `hold_us` older than the newest."""
        if not len(self._held):
            return empty_events()
        ready = int(np.searchsorted(self._held["t"], self._held["t"][-1] - hold_us, side="right"))
        events, self._held = self._held[:ready], self._held[ready:]
        if self._header.y_up:
            events = copied(events)
            events["y"] = self.sensor_size[1] - 1 - events["y"]
        return events

    def _on_sensor(self, block: Block) -> EventArray:
        """Return the events of `block` on the sensor; count the others."""
        width, height = self.sensor_size
        inside = (block.events["x"] < width) & (block.events["y"] < height)
        outside = len(inside) - int(np.count_nonzero(inside)) + (0 if block.off is None else len(block.off.before))
        if not outside:
            return block.events
        if self._strict:
            todo = "leave --strict (strict=True) out: they are skipped then"
            raise self._damage(block, f"{outside} events outside the sensor", f"{width}x{height} pixels", todo)
        self.outside += outside
        return block.events[inside]

    def _at_possible_times(self, block: Block, events: EventArray) -> EventArray:
        """Return those of the `events` of `block` that have a possible time; count the others."""
        possible = (events["t"] >= -MAX_TIME_US) & (events["t"] <= MAX_TIME_US)
        if possible.all():
            return events
        if self._strict:
            todo = "leave --strict (strict=True) out: it is left out then"
            raise self._damage(block, "a time of 2^62 us or more", "times of fewer than 2^62 us", todo)
        self.impossible += len(events) - int(np.count_nonzero(possible))
        return events[possible]

    def _damage(self, block: Block, got: str, expected: str, todo: str) -> CorruptRecordingError:
        where = f"{got}, in the block from byte {block.offset}"
        return CorruptRecordingError(str(self.path), got=where, expected=expected, todo=todo)

    def _say_defects(self) -> None:
        """Warn about the events that were skipped; raise if they were many."""
        texts = []
        if self.outside:
            texts.append("{} events outside the {}x{} sensor: skipped".format(self.outside, *self.sensor_size))
        if self.impossible:
            texts.append(impossible_text(self.impossible))
            if not are_few(self.impossible, self._events + self.impossible) and not self._repair:
                raise CorruptRecordingError(
                    str(self.path), got=texts[-1], expected="few of them",
                    todo="check the file, or use the other events with --repair (repair=True)",
                )  # fmt: skip
        if self._header.interpretation is not None:
            texts += self._header.interpretation.warnings()
        if self.outside > self._events and not self._repair:
            raise CorruptRecordingError(
                str(self.path), got=texts[0], expected="most of them on the sensor",
                todo="check the sensor's size (--sensor), or use the others with --repair (repair=True)",
            )  # fmt: skip
        for text in texts:
            warnings.warn(f"{self.name}: {text}", RecordingWarning, stacklevel=3)
