"""A stream of events to frames, chunk by chunk; the same code makes offline and live frames."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EventArray
from stdl_events.frames.counting import BLOCK_EVENTS, Counts, Window, count_bins, linear_indices
from stdl_events.frames.spec import FrameSpec

# A gap in time becomes one frame per window. More windows than this in one call is a damaged clock or a wrong dt_us.
MAX_WINDOWS_AT_ONCE = 1_000_000


@dataclass(slots=True, eq=False)
class Frame:
    """One window of a stream; nobody changes one.

    Not frozen by Python: that takes longer than counting the events of a window of a sparse stream.

    Attributes:
        index: absolute position: t // dt_us for time windows, events seen // N for count windows.
        t_start_us, t_end_us: the window, half open. Count windows: first event's time, last event's time + 1.
        counts_CHW: read-only; empty windows share one array.
        steps: T of the spec, from which `clip` and `step` follow.
    """

    index: int
    t_start_us: int
    t_end_us: int
    counts_CHW: Counts
    steps: int

    @property
    def clip(self) -> int:
        return self.index // self.steps

    @property
    def step(self) -> int:
        return self.index % self.steps


class Framer:
    """Cuts a stream into the windows of `spec`, one chunk at a time.

    The frames depend on the events alone, not on how they were cut into chunks. Frames run from the window that holds
    the first event to the one that holds the last, without holes.

    Attributes:
        late_events: events that came after their window had been closed by the clock; they are in no frame.

    Raises:
        FrameSpecError: the spec is of kind "recording".
    """

    def __init__(self, spec: FrameSpec) -> None:
        if spec.kind != "stream":
            raise FrameSpecError(
                "framer",
                got="a spec of kind recording",
                expected="kind stream",
                todo="give dt_us or events_per_frame, or use recording_frames on the whole recording",
            )
        self.spec = spec
        self.late_events = 0
        self._window = Window(spec)
        self._index: int | None = None
        self._t_start_us = self._t_last_us = 0

    def push(self, events: EventArray) -> list[Frame]:
        """All windows that these events close, empty ones too. A window is closed by the first event after it.

        Raises:
            FrameSpecError: the events span more than `MAX_WINDOWS_AT_ONCE` windows, or lie outside the sensor.
        """
        if not len(events):
            return []
        frames: list[Frame] = []
        cut = self._cut_by_time if self.spec.dt_us else self._cut_by_count
        if self.spec.dt_us:
            self._refuse_leap(int(events["t"][0]), int(events["t"][-1]), self.spec.dt_us)
        for start in range(0, len(events), BLOCK_EVENTS):
            cut(events[start : start + BLOCK_EVENTS], frames)
        return frames

    def advance_to(self, t_us: int) -> list[Frame]:
        """The windows that end at or before `t_us`, closed by the clock: no event before `t_us` is to come.

        Count windows have no clock, and nothing starts before the first event: both return no frames.
        """
        if self._index is None or not self.spec.dt_us:
            return []
        self._refuse_leap(t_us, t_us, self.spec.dt_us)
        frames: list[Frame] = []
        self._close_until(t_us // self.spec.dt_us, frames)
        return frames

    def finish(self) -> list[Frame]:
        """The open window, if it holds events, at the end of a source. The next push starts a new stream."""
        frames = [self._close()] if self._index is not None and self._window.events else []
        self._index = None
        return frames

    def _cut_by_time(self, events: EventArray, frames: list[Frame]) -> None:
        dt_us = self.spec.dt_us
        assert dt_us
        if self._index is None:
            self._index = int(events["t"][0]) // dt_us
        edges, windows = _windows_with_events(events["t"], self._index, dt_us)
        self.late_events += edges[0]
        if not windows:
            return
        indices = linear_indices(events, self.spec)
        self._close_until(windows[0], frames)
        self._window.add(indices[edges[0] : edges[1]])
        if len(windows) > 2:
            self._close_until(windows[0] + 1, frames)
            self._append_whole(count_bins(indices, edges[1:-1], self.spec), windows[1:-1], frames)
        if len(windows) > 1:
            self._close_until(windows[-1], frames)
            self._window.add(indices[edges[-2] : edges[-1]])

    def _append_whole(self, counts_BCHW: Counts, windows: list[int], frames: list[Frame]) -> None:
        """The windows that begin and end in one block, which were counted together, and the empty ones between."""
        dt_us, steps, empty_CHW = self.spec.dt_us, self.spec.steps, self._window.empty_CHW
        assert dt_us
        assert self._index is not None
        counts_BCHW.flags.writeable = False
        index = self._index
        for window, counts_CHW in zip(windows, counts_BCHW, strict=True):
            while index < window:
                frames.append(Frame(index, index * dt_us, (index + 1) * dt_us, empty_CHW, steps))
                index += 1
            frames.append(Frame(index, index * dt_us, (index + 1) * dt_us, counts_CHW, steps))
            index += 1
        self._index = index

    def _cut_by_count(self, events: EventArray, frames: list[Frame]) -> None:
        per_frame, count, start = self.spec.events_per_frame, len(events), 0
        assert per_frame
        indices = linear_indices(events, self.spec)
        if self._index is None:
            self._index = 0
        while start < count:
            if not self._window.events:
                self._t_start_us = int(events["t"][start])
            stop = min(count, start + per_frame - self._window.events)
            self._window.add(indices[start:stop])
            self._t_last_us = int(events["t"][stop - 1])
            if self._window.events == per_frame:
                frames.append(self._close())
            start = stop

    def _close_until(self, index: int, frames: list[Frame]) -> None:
        assert self._index is not None
        while self._index < index:
            frames.append(self._close())

    def _close(self) -> Frame:
        return self._frame(self._window.close())

    def _frame(self, counts_CHW: Counts) -> Frame:
        """The frame of the window that was open, with these counts; the next window is open after it."""
        index = self._index
        assert index is not None
        self._index = index + 1
        if self.spec.dt_us:
            start_us, end_us = index * self.spec.dt_us, (index + 1) * self.spec.dt_us
        else:
            start_us, end_us = self._t_start_us, self._t_last_us + 1
        return Frame(index, start_us, end_us, counts_CHW, self.spec.steps)

    def _refuse_leap(self, first_us: int, last_us: int, dt_us: int) -> None:
        open_index = first_us // dt_us if self._index is None else self._index
        windows = last_us // dt_us - open_index
        if windows > MAX_WINDOWS_AT_ONCE:
            raise FrameSpecError(
                f"windows of {dt_us} us",
                got=f"{windows:,} windows at once, from t={open_index * dt_us} to t={last_us} us",
                expected=f"at most {MAX_WINDOWS_AT_ONCE:,}",
                todo="use longer windows, or cut the stream at its gap in time",
            )


def _windows_with_events(t_us: npt.NDArray[np.int64], open_index: int, dt_us: int) -> tuple[list[int], list[int]]:
    """Where the windows that hold events begin, from the open window on, and the end of `t_us`; and their indices."""
    count, last = len(t_us), int(t_us[-1]) // dt_us
    if last - open_index < count:
        starts = np.searchsorted(t_us, np.arange(open_index, last + 2) * dt_us)
        filled = np.flatnonzero(starts[1:] != starts[:-1])
        return [*starts[filled].tolist(), count], (filled + open_index).tolist()
    # More windows than events: what is between them is not looked at.
    first = bisect_left(t_us, open_index * dt_us)
    windows = t_us[first:] // dt_us
    begins = np.flatnonzero(np.diff(windows, prepend=windows[0] - 1))
    return [*(begins + first).tolist(), count], windows[begins].tolist()
