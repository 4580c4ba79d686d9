"""Replay of a recording, or of a part of it, at the pace of the wall clock."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stdl_events.errors import CorruptRecordingError, RecordingError, SourceLostError
from stdl_events.events.files import open_recording
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray, concatenate_events, copied

Position: TypeAlias = str | float | int | None


def span_us(recording: Recording, start: Position = None, stop: Position = None) -> tuple[int, int]:
    """Return [t0, t1) of a part of `recording`, in microseconds of its own clock.

    Args:
        start, stop: a fraction of the time from the first event to the last ("70%", or a float from 0 to 1), or an int,
            microseconds of the recording's own clock. None, 0 % and 100 % are its ends; the last event is included.

    Raises:
        RecordingError: an invalid position, `stop` before `start`, a part before or after all events, or no event.
    """
    t_first_us, t_last_us = recording.t_first_us, recording.t_last_us
    if t_first_us is None or t_last_us is None:
        raise RecordingError(
            str(recording.path), got="no events", expected="a recording with a beginning and an end",
            todo="use another recording",
        )  # fmt: skip
    t0_us = _position_us(recording, 0.0 if start is None else start, t_first_us, t_last_us)
    t1_us = _position_us(recording, 1.0 if stop is None else stop, t_first_us, t_last_us)
    if start is not None and stop is not None and t1_us < t0_us:
        raise RecordingError(
            str(recording.path), got=f"a part from {start} to {stop}", expected="a start before the stop",
            todo="exchange them",
        )  # fmt: skip
    if t1_us < t_first_us or t0_us > t_last_us + 1:  # an empty part at either end is one
        raise RecordingError(
            str(recording.path), got=f"a part from {t0_us} to {t1_us} us, in which there is nothing",
            expected=f"a part of {t_first_us} to {t_last_us} us, the recording's own clock",
            todo="use these times, or shares such as 10%",
        )  # fmt: skip
    return t0_us, t1_us


def _position_us(recording: Recording, position: str | float | int, t_first_us: int, t_last_us: int) -> int:
    if isinstance(position, int | np.integer) and not isinstance(position, bool):
        return int(position)
    text = str(position)
    try:
        fraction = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        fraction = -1.0
    if not 0.0 <= fraction <= 1.0:
        raise RecordingError(
            str(recording.path), got=f"the position {text!r}", expected="0% to 100%, or microseconds as an integer",
            todo="correct it",
        )  # fmt: skip
    if fraction == 1.0:
        return t_last_us + 1
    return t_first_us + round(fraction * (t_last_us - t_first_us))


def open_replay(
    path: str | Path,
    *,
    speed: float | None = 1.0,
    start: Position = None,
    stop: Position = None,
    loop: bool = False,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    format: str | None = None,
    stream: int | None = None,
    time_unit: str | None = None,
    columns: str | None = None,
    take: int | None = None,
    repair: bool = False,
    strict: bool = False,
) -> "ReplaySource":
    """Replay the file at `path`; `speed`, `start` and `stop` are those of `ReplaySource`.

    Args:
        loop: over and over; see `LoopedReplay`.
        sensor_size: (width, height), as for `open_recording`.
        default_sensor_size: replaces the smallest size that holds all events, if nothing else gives the size and most
            events are inside.
        format, stream, time_unit, columns, take, repair, strict: as for `open_recording`.

    Raises:
        RecordingError: see `open_recording` and `ReplaySource`.
    """
    opened = open_for_size(
        path, sensor_size=sensor_size, default_sensor_size=default_sensor_size, format=format, stream=stream,
        time_unit=time_unit, columns=columns, take=take, repair=repair, strict=strict,
    )  # fmt: skip
    return (LoopedReplay if loop else ReplaySource)(opened, speed=speed, start=start, stop=stop)


def open_for_size(
    path: str | Path,
    *,
    sensor_size: tuple[int, int] | None = None,
    default_sensor_size: tuple[int, int] | None = None,
    takes_apart: bool = False,
    **options: Any,
) -> Recording:
    """Open the file at `path` for a reader of recordings of `default_sensor_size`.

    Args:
        sensor_size, default_sensor_size: as for `open_replay`.
        takes_apart: see `Recording`.
        options: those of `open_recording`.

    Raises:
        RecordingError: see `open_recording`.
    """
    opened = open_recording(path, sensor_size=sensor_size, **options)
    opened.takes_apart = takes_apart
    if default_sensor_size is not None and opened.sensor_size_from == "inferred":
        usual = open_recording(path, sensor_size=default_sensor_size, **options)
        usual.takes_apart = takes_apart
        if _fits(usual):
            return usual
    return opened


def _fits(recording: Recording) -> bool:
    """True if most events are on the sensor."""
    try:
        return recording.summary.events >= recording.summary.outside
    except CorruptRecordingError:
        return False


class ReplaySource:
    """An `EventSource` that yields a part of a recording at the pace of the wall clock.

    Args:
        speed: recording time per wall time; None yields as fast as the caller reads.
        start, stop: the part; see `span_us`.
        chunk_us: recording time of one chunk. With a speed, a chunk is yielded once its time has passed, and empty
            chunks are yielded too.
        clock_s, sleep_s: the wall clock; for tests.

    Raises:
        RecordingError: see `span_us`; or `speed` is not above 0.
        SourceLostError: from `chunks`, where the file disappears or shrinks while it is read.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float | None = 1.0,
        start: Position = None,
        stop: Position = None,
        chunk_us: int = 2_000,
        clock_s: Callable[[], float] = time.monotonic,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise RecordingError(
                str(recording.path), got=f"the speed {speed}", expected="a number above 0, or max", todo="correct it"
            )
        assert chunk_us > 0, "a chunk takes time"
        self.recording = recording
        self.speed = speed
        self.is_part = start is not None
        self.t_start_us, self.t_stop_us = span_us(recording, start, stop)
        self._chunk_us = chunk_us
        self._clock_s = clock_s
        self._sleep_s = sleep_s
        self._t_now_us = self.t_start_us
        self._arrived_s = time.monotonic()
        self._bytes = recording.path.stat().st_size

    @property
    def sensor_size(self) -> tuple[int, int]:
        return self.recording.sensor_size

    @property
    def t_now_us(self) -> int:
        """The source's clock: every event before this time has been yielded."""
        return self._t_now_us

    @property
    def arrived_s(self) -> float:
        """When the last chunk's time had passed, as of `time.monotonic`, however late it was read."""
        return self._arrived_s

    def chunks(self) -> Iterator[EventArray]:
        """Yield the part's events in order, at the pace described in the class."""
        if self.speed is None:
            for events in self._part():
                self._t_now_us = int(events["t"][-1])
                self._arrived_s = time.monotonic()
                yield events
            self._t_now_us = self.t_stop_us
            return
        started_s = self._clock_s()
        for t_end_us, events in self._windows():
            due_s = started_s + (t_end_us - self.t_start_us) * 1e-6 / self.speed
            wait_s = due_s - self._clock_s()
            if wait_s > 0:
                self._sleep_s(wait_s)
            self._arrived_s = time.monotonic() - max(0.0, self._clock_s() - due_s)
            self._t_now_us = t_end_us
            yield events

    def _part(self) -> Iterator[EventArray]:
        """Yield the non-empty chunks of the part."""
        for events in self._recorded():
            first, last = np.searchsorted(events["t"], [self.t_start_us, self.t_stop_us])
            if first < last:
                yield events[first:last]
            if last < len(events):
                return

    def _recorded(self) -> Iterator[EventArray]:
        """Yield the recording's chunks; damage is a lost source where the file is no longer what it was."""
        try:
            yield from self.recording.chunks()
        except (RecordingError, OSError):
            lost = self._lost()
            if lost is None:
                raise
            raise lost from None

    def _lost(self) -> SourceLostError | None:
        """The error for a file that is gone, or smaller than it was; None for one that is there."""
        path = self.recording.path
        found = path.stat().st_size if path.is_file() else None
        if found is not None and found >= self._bytes:
            return None
        return SourceLostError(
            str(path), got="no such file any more" if found is None else f"{found} of {self._bytes} bytes",
            expected="the recording as it was when the replay began", todo="replay a copy that nothing else writes to",
        )  # fmt: skip

    def _windows(self) -> Iterator[tuple[int, EventArray]]:
        """Yield (end, events) of every window of `chunk_us` from the part's start to its stop, empty ones too."""
        t_end_us = self.t_start_us + self._chunk_us
        waiting: list[EventArray] = []
        for events in self._part():
            while t_end_us <= events["t"][-1]:
                cut = int(np.searchsorted(events["t"], t_end_us))
                yield min(t_end_us, self.t_stop_us), concatenate_events([*waiting, events[:cut]])
                waiting, events = [], events[cut:]
                t_end_us += self._chunk_us
            waiting.append(events)
        while waiting or t_end_us - self._chunk_us < self.t_stop_us:
            yield min(t_end_us, self.t_stop_us), concatenate_events(waiting)
            waiting = []
            t_end_us += self._chunk_us


class LoopedReplay(ReplaySource):
    """A replay that begins again at its end, while its clock goes on, until its reader stops.

    Attributes:
        rounds: number of times that the end was reached.
    """

    rounds = 0

    @property
    def t_now_us(self) -> int:
        return super().t_now_us + self.rounds * self._round_us

    @property
    def counts(self) -> Mapping[str, int]:
        """The rounds, for the summary."""
        return {"rounds": self.rounds}

    def chunks(self) -> Iterator[EventArray]:
        """Yield the part's events again and again, each time later by the length of the part.

        Raises:
            RecordingError: the part holds no event.
        """
        while True:
            found = 0
            for events in super().chunks():
                found += len(events)
                if self.rounds:
                    events = copied(events)
                    events["t"] += self.rounds * self._round_us
                yield events
            if not found:
                raise RecordingError(
                    str(self.recording.path), got="a part without events", expected="events to repeat",
                    todo="leave --loop out, or choose another part",
                )  # fmt: skip
            self.rounds += 1

    @property
    def _round_us(self) -> int:
        return self.t_stop_us - self.t_start_us
