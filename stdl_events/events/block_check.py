"""What a file should not hold: events outside the sensor, absurd times and, when strict, steps back in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events.decoder import Block, Decoder
from stdl_events.events.ordering import Extent, Summary, SummaryMaker, extent_of
from stdl_events.events.stream import MAX_TIME_US, EventArray, time_text
from stdl_events.events.takes import are_few

MAX_INFERRED_SIDE = 1 << 12
_POSSIBLE = "times of fewer than 2^62 us"


@dataclass(frozen=True)
class BlockCheck:
    """Takes the blocks of a file apart into good events and what is skipped, counted or an error.

    Attributes:
        path: the file, for messages.
        size: the sensor's (width, height); None if it is not known yet.
        repair: damage ends the recording instead of raising.
        strict: a backward time step, an event outside the sensor and a stray event are damage.
        is_stated: the file says the size, so that the caller cannot choose another.
    """

    path: Path
    size: tuple[int, int] | None
    repair: bool
    strict: bool
    is_stated: bool = False

    def whole(self, summary: Summary, maker: SummaryMaker) -> None:
        """Refuse a file of which most events are outside the sensor, many have no possible time or, when strict, some
        are stray.
        """
        if not are_few(maker.impossible, maker.events + maker.impossible) and not self.repair:
            more = f" and {maker.impossible - 1} more at no possible time" if maker.impossible > 1 else ""
            raise CorruptRecordingError(
                str(self.path), got=f"{maker.first_impossible}{more}", expected=_POSSIBLE,
                todo="copy the file again, or use the other events with --repair (repair=True)",
            )  # fmt: skip
        if summary.outside > maker.events and not self.repair:
            check = "correct the sensor's size in the file" if self.is_stated else "check the sensor's size (--sensor)"
            raise CorruptRecordingError(
                str(self.path), got=f"{maker.first_outside} and {summary.outside - 1} more events outside the sensor",
                expected=f"{self._pixels}{self.hint(maker)}",
                todo=f"{check}, or use the other events with --repair (repair=True)",
            )  # fmt: skip
        if summary.strays > summary.impossible and self.strict:
            raise CorruptRecordingError(
                str(self.path),
                got=f"{summary.strays - summary.impossible} stray events, the first at {summary.stray_from_us} us",
                expected=f"times near the others, {summary.t_first_us} to {summary.t_last_us} us",
                todo="leave --strict (strict=True) out",
            )  # fmt: skip

    def hint(self, maker: SummaryMaker) -> str:
        """Return what may explain the events outside the sensor, in words; nothing if nothing does."""
        if self.size is None or not maker.outside:
            return ""
        (width, height), (seen_width, seen_height) = self.size, maker.seen_size
        fits = seen_width <= height and seen_height <= width
        return f"; all are inside {height}x{width}: its width and height may be exchanged" if fits else ""

    def good_events(self, decoder: Decoder, maker: SummaryMaker) -> Iterator[EventArray]:
        """Yield the file's events up to its end or, with `repair`, up to its first damage; `maker` counts all."""
        try:
            for block in decoder.blocks():
                extent = extent_of(block.events)
                good, damage = self._check(block, extent, maker)
                maker.add(good, extent if good is block.events else extent_of(good), is_reset=block.is_reset)
                yield good
                if damage is not None:
                    raise damage
        except (TruncatedRecordingError, CorruptRecordingError) as damage:
            if not self.repair:
                raise
            maker.damage = damage.got

    def inside(self, events: EventArray) -> EventArray:
        """Return the events at possible times and on the sensor, if its size is known."""
        good = self._on_sensor(events)
        impossible = _impossible(good)
        return good[~impossible] if impossible.any() else good

    def _on_sensor(self, events: EventArray) -> EventArray:
        width, height = self.size or (1 << 16, 1 << 16)
        inside = (events["x"] < width) & (events["y"] < height)
        return events if inside.all() else events[inside]

    def _check(
        self, block: Block, extent: Extent, maker: SummaryMaker
    ) -> tuple[EventArray, CorruptRecordingError | None]:
        """Return the events of `block`, of extent `extent`, before the first bad one, and the error for that one."""
        events, damage = block.events, None
        are_possible = extent.t_min_us >= -MAX_TIME_US and extent.t_max_us <= MAX_TIME_US
        first_impossible = "" if are_possible else _first_impossible(block, maker)
        if self.strict and not are_possible:
            damage = CorruptRecordingError(
                str(self.path), got=first_impossible, expected=_POSSIBLE,
                todo="leave --strict (strict=True) out: it is left out then",
            )  # fmt: skip
            events = events[: int(np.argmax(_impossible(events)))]
        events, outside = self._without_outside(block, events, extent, maker)
        damage = outside or damage
        if not self.strict and not are_possible:
            good = self.inside(events)
            maker.first_impossible = maker.first_impossible or first_impossible
            maker.impossible += len(events) - len(good)
            events = good
        if self.strict:
            late = maker.first_backward_step(events)
            if late is not None:
                got = f"event {maker.seen + late} at {events['t'][late]} us, which is older than the one before it"
                damage = self._damage(block, got, "times that never step back", "leave --strict (strict=True) out")
                events = events[:late]
        return events, damage

    def _without_outside(
        self, block: Block, events: EventArray, extent: Extent, maker: SummaryMaker
    ) -> tuple[EventArray, CorruptRecordingError | None]:
        """Return those of the `events` of `block` that are on the sensor; if strict, those before the first other one.

        `maker` counts the others, also those that no sensor has.
        """
        width, height = self.size or (1 << 16, 1 << 16)
        outside = np.zeros(0, np.intp)
        if extent.width > width or extent.height > height:
            outside = np.flatnonzero((events["x"] >= width) | (events["y"] >= height))
        off = outside[:0] if block.off is None else block.off.before[block.off.before <= len(events)]
        if not len(outside) + len(off):
            return events, None
        bad = int(min([*outside[:1], *off[:1]]))
        is_off = block.off is not None and len(off) > 0 and off[0] == bad
        where = block.off.first if block.off and is_off else f"x={events['x'][bad]}, y={events['y'][bad]}"
        got = f"event {maker.seen + bad} at {where}"
        if self.strict:
            todo = "leave --strict (strict=True) out: it is skipped then"
            return events[:bad], self._damage(block, got, self._pixels, todo)
        maker.first_outside = maker.first_outside or f"{got}, in the block from byte {block.offset}"
        maker.outside += len(outside) + len(off)
        maker.seen_size = max(maker.seen_size[0], extent.width), max(maker.seen_size[1], extent.height)
        return self._on_sensor(events) if len(outside) else events, None

    @property
    def _pixels(self) -> str:
        size = self.size
        return "pixels from 0 to 65535" if size is None else f"pixels of a {size[0]}x{size[1]} sensor"

    def _damage(self, block: Block, got: str, expected: str, todo: str) -> CorruptRecordingError:
        where = f"{got}, in the block from byte {block.offset}"
        return CorruptRecordingError(str(self.path), got=where, expected=expected, todo=todo)


def _impossible(events: EventArray) -> npt.NDArray[np.bool_]:
    return (events["t"] < -MAX_TIME_US) | (events["t"] > MAX_TIME_US)


def _first_impossible(block: Block, maker: SummaryMaker) -> str:
    bad = int(np.argmax(_impossible(block.events)))
    return f"event {maker.seen + bad} at {time_text(block.events['t'][bad])}, in the block from byte {block.offset}"


def absurd_size(path: Path, size: tuple[int, int], origin: str) -> RecordingError:
    """Return the error for a sensor of `size`, which would exhaust the memory."""
    return RecordingError(
        str(path), got=f"a sensor of {size[0]}x{size[1]} by its {origin}",
        expected=f"at most {MAX_INFERRED_SIDE} pixels a side" if origin == "coordinates" else "at most 2^26 pixels",
        todo="give the size with --sensor WxH (sensor_size=(W, H)); events outside it are skipped",
    )  # fmt: skip
