"""`Framer`: a stream of events to frames, chunk by chunk; the same code offline and live."""

from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EVENT_DTYPE, EventArray
from stdl_events.frames.counting import BLOCK_EVENTS, Counts, linear_indices
from stdl_events.frames.selection import Selection
from stdl_events.frames.spec import FrameSpec
from stdl_events.frames.stream_windows import StreamWindows, windows_with_events

# A gap in time becomes one frame per window. More windows than this per call mean a damaged clock or a wrong dt_us.
MAX_WINDOWS_AT_ONCE = 1_000_000
# Short chunks of one window are counted together: counting costs as much for each as for 2000 events. The events that
# wait are few, so that a window is closed no later for it.
MAX_HELD_BYTES = (1 << 12) * EVENT_DTYPE.itemsize


@dataclass(slots=True, eq=False)
class Frame:
    """One window of a stream; read-only.

    Not a frozen dataclass: creating one takes longer than counting the events of a sparse window.

    Attributes:
        index: position on the spec's grid: t // dt_us from its zero on for time windows, events seen // N for count
            windows.
        t_start_us, t_end_us: the window, half open. Count windows: first event's time, last event's time + 1.
        counts_CHW: read-only; empty windows share one array, and consecutive frames share a block of memory.
        steps: T of the spec, from which `clip` and `step` follow.
        events: number of events in the window, before the cap; 0 if its maker does not count them.
        session: number of the stream, since another one has windows of the same indices.
    """

    index: int
    t_start_us: int
    t_end_us: int
    counts_CHW: Counts
    steps: int
    events: int = 0
    session: int = 0

    @property
    def clip(self) -> int:
        return self.index // self.steps

    @property
    def step(self) -> int:
        return self.index % self.steps


class Framer:
    """Cuts a stream into the windows of `spec`, one chunk at a time.

    The frames depend on the events alone, not on the chunks. They run without gaps from the window of the first event
    to that of the last.

    Args:
        origin_us: zero of the grid of the first stream, if it is a part of a recording, see `grid_origin_us`; None is
            its first event. Other grids have their own.

    Attributes:
        late_events: events that arrived after the clock had closed their window; they are in no frame.

    Raises:
        FrameSpecError: the spec is of kind "recording".
    """

    def __init__(self, spec: FrameSpec, *, origin_us: int | None = None) -> None:
        if spec.kind != "stream":
            raise FrameSpecError(
                "framer",
                got="a spec of kind recording",
                expected="kind stream",
                todo="give dt_us or events_per_frame, or use recording_frames on the whole recording",
            )
        self.spec = spec
        self.late_events = 0
        self._select = Selection.of(spec)
        self._plain = spec.plain
        self._windows = StreamWindows(self._plain)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._index: int | None = None
        self._origin_us = self._t_start_us = self._t_last_us = self._session = 0
        self._given_us = origin_us
        # The open time window; without one, no time lies in it.
        self._open_us = self._end_us = 0

    @property
    def filtered_events(self) -> int:
        """Number of events dropped by the filters."""
        return self._select.filtered_events

    @property
    def cropped_events(self) -> int:
        """Number of events dropped by the geometry: outside the window, or not picked."""
        return self._select.cropped_events

    @property
    def open_events(self) -> int:
        """Number of events in the open window, which is no frame yet."""
        return self._windows.events + self._held_bytes // EVENT_DTYPE.itemsize

    def push(self, events: EventArray) -> list[Frame]:
        """Return all windows that these events close, empty ones too. The first event after a window closes it.

        Raises:
            FrameSpecError: the events span more than `MAX_WINDOWS_AT_ONCE` windows, or some of this window, which are
                counted now, are outside the sensor.
        """
        events = self._select(events)
        if not len(events):
            return []
        times_us = events["t"]
        first_us, last_us = times_us.item(0), times_us.item(-1)
        if self._open_us <= first_us and last_us < self._end_us:
            # The common case of a live source: its chunks are shorter than a window.
            self._hold(events)
            return []
        frames: list[Frame] = []
        cut = self._cut_by_time if self.spec.dt_us else self._cut_by_count
        if self.spec.dt_us:
            if self._index is None and self.spec.grid == "recording":
                self._origin_us = first_us if self._given_us is None else self._given_us
            self._refuse_leap(first_us, last_us, self.spec.dt_us)
        for start in range(0, len(events), BLOCK_EVENTS):
            cut(events[start : start + BLOCK_EVENTS], frames)
        self._find_open()
        return frames

    def advance_to(self, t_us: int) -> list[Frame]:
        """Return the windows that end at or before `t_us`, closed by the clock: no earlier event will arrive.

        Count windows have no clock, and no window opens before the first event: both return no frames.
        """
        if self._index is None or not self.spec.dt_us or t_us < self._end_us:
            return []
        self._refuse_leap(t_us, t_us, self.spec.dt_us)
        frames: list[Frame] = []
        self._close_until((t_us - self._origin_us) // self.spec.dt_us, frames)
        self._find_open()
        return frames

    def finish(self) -> list[Frame]:
        """Return the open window, if it holds events, at the end of a source. The next push starts a new stream."""
        frames: list[Frame] = []
        self._count_held()
        if self._index is not None and self._windows.events:
            if self.spec.dt_us:
                self._close_until(self._index + 1, frames)
            else:
                self._close_open_count_window(frames)
        self._session += self._index is not None
        self._index = self._given_us = None
        self._find_open()
        self._select.restart()
        return frames

    def _find_open(self) -> None:
        dt_us = self.spec.dt_us
        if dt_us is None or self._index is None:
            self._open_us = self._end_us = 0
        else:
            self._open_us = self._origin_us + self._index * dt_us
            self._end_us = self._open_us + dt_us

    def _cut_by_time(self, events: EventArray, frames: list[Frame]) -> None:
        dt_us = self.spec.dt_us
        assert dt_us
        times_us, origin_us = events["t"], self._origin_us
        first, last = (int(times_us[0]) - origin_us) // dt_us, (int(times_us[-1]) - origin_us) // dt_us
        if self._index is None:
            self._index = first
        if self._index <= first == last:
            self._close_until(first, frames)
            self._hold(events)
            return
        self._count_held()
        late, windows, sizes = windows_with_events(times_us, self._index, dt_us, origin_us)
        self.late_events += late
        if not len(windows):
            return
        indices = linear_indices(events[late:] if late else events, self._plain)
        first, last = int(windows[0]), int(windows[-1])
        if first > self._index:
            self._close_until(first, frames)
        events_in = sizes.tolist()
        events_in[0] += self._windows.events
        closed = self._windows.add(indices, sizes)
        del events_in[-1]
        if last - first > len(closed):
            closed, events_in = self._with_empty(closed, events_in, windows)
        if closed:
            self._append(closed, events_in, frames)

    def _hold(self, events: EventArray) -> None:
        """Add events to the open window; they are counted when there are enough of them."""
        if events.nbytes > MAX_HELD_BYTES:
            self._count_held()
            self._count(events)
            return
        # What waits is a copy, since the caller may use its array again. As bytes: numpy copies structured elements
        # field by field, which takes longer than counting them.
        self._held.append(events.tobytes())
        self._held_bytes += events.nbytes
        if self._held_bytes > MAX_HELD_BYTES:
            self._count_held()

    def _count_held(self) -> None:
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._count(np.frombuffer(held, EVENT_DTYPE))

    def _count(self, events: EventArray) -> None:
        for start in range(0, len(events), BLOCK_EVENTS):
            self._windows.add_to_open(linear_indices(events[start : start + BLOCK_EVENTS], self._plain))

    def _with_empty(
        self, closed: list[Counts], events_in: list[int], windows: npt.NDArray[np.int64]
    ) -> tuple[list[Counts], list[int]]:
        """Return the counts and the numbers of events of all windows before the last, empty ones too."""
        counts = [self._windows.empty_CHW] * int(windows[-1] - windows[0])
        numbers = [0] * len(counts)
        for window, counts_CHW, events in zip((windows[:-1] - windows[0]).tolist(), closed, events_in, strict=True):
            counts[window], numbers[window] = counts_CHW, events
        return counts, numbers

    def _append(self, closed: list[Counts], events_in: list[int], frames: list[Frame]) -> None:
        """Append the closed time windows from the open one on; the next one is open then."""
        dt_us, index, origin_us = self.spec.dt_us, self._index, self._origin_us
        assert dt_us
        assert index is not None
        self._index = end = index + len(closed)
        starts_us = range(origin_us + index * dt_us, origin_us + end * dt_us, dt_us)
        ends_us = range(origin_us + (index + 1) * dt_us, origin_us + (end + 1) * dt_us, dt_us)
        steps, session = repeat(self.spec.steps), repeat(self._session)
        frames.extend(map(Frame, range(index, end), starts_us, ends_us, closed, steps, events_in, session))

    def _cut_by_count(self, events: EventArray, frames: list[Frame]) -> None:
        per_frame, count = self.spec.events_per_frame, len(events)
        assert per_frame
        if self._index is None:
            self._index = 0
        if not self._windows.events:
            self._t_start_us = int(events["t"][0])
        edges = np.array([0, *range(per_frame - self._windows.events, count, per_frame), count])
        closed = self._windows.add(linear_indices(events, self._plain), np.diff(edges))
        times_us = events["t"]
        for counts_CHW, end in zip(closed, edges[1:].tolist(), strict=False):
            self._close_count_window(counts_CHW, int(times_us[end - 1]), per_frame, frames)
            self._t_start_us = int(times_us[end])
        self._t_last_us = int(times_us[-1])
        if self._windows.events == per_frame:
            self._close_open_count_window(frames)

    def _close_open_count_window(self, frames: list[Frame]) -> None:
        events = self._windows.events
        self._close_count_window(self._windows.close(), self._t_last_us, events, frames)

    def _close_count_window(self, counts_CHW: Counts, t_last_us: int, events: int, frames: list[Frame]) -> None:
        assert self._index is not None
        index, steps = self._index, self.spec.steps
        frames.append(Frame(index, self._t_start_us, t_last_us + 1, counts_CHW, steps, events, self._session))
        self._index += 1

    def _close_until(self, index: int, frames: list[Frame]) -> None:
        """Close the time windows before `index`."""
        assert self._index is not None
        if index > self._index:
            self._count_held()
            empty, events = index - self._index - 1, self._windows.events
            closed = [self._windows.close(), *[self._windows.empty_CHW] * empty]
            self._append(closed, [events, *[0] * empty], frames)

    def _refuse_leap(self, first_us: int, last_us: int, dt_us: int) -> None:
        open_index = (first_us - self._origin_us) // dt_us if self._index is None else self._index
        windows = (last_us - self._origin_us) // dt_us - open_index
        if windows > MAX_WINDOWS_AT_ONCE:
            raise FrameSpecError(
                f"windows of {dt_us} us",
                got=f"{windows:,} windows at once, from t={self._origin_us + open_index * dt_us} to t={last_us} us",
                expected=f"at most {MAX_WINDOWS_AT_ONCE:,}",
                todo="use longer windows, or cut the stream at its gap in time",
            )
