"""Counting of a stream's windows: the open one, and all windows that start and end in one call at once."""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from stdl_events.frames.counting import BLOCK_EVENTS, Counts, Indices, Window, count_windows
from stdl_events.frames.memory import Block, FrameMemory
from stdl_events.frames.spec import FrameSpec

Times = npt.NDArray[np.int64]


class StreamWindows:
    """The non-empty windows of one stream.

    Attributes:
        empty_CHW: the counts of every window without events.
    """

    def __init__(self, spec: FrameSpec) -> None:
        self.empty_CHW: Counts = np.zeros(spec.frame_shape_CHW, np.uint16)
        self.empty_CHW.flags.writeable = False
        self._spec = spec
        self._memory = FrameMemory(spec.frame_shape_CHW)
        self._open: Window | None = None
        # Position of the open window.
        self._block = self._memory.block()

    @property
    def events(self) -> int:
        """Number of events in the open window."""
        return self._open.events if self._open is not None else 0

    def add_to_open(self, indices: Indices) -> None:
        """Count at most `BLOCK_EVENTS` events in the open window."""
        if self._open is None:
            block = self._block = self._memory.block()
            block.used += 1
            cells = self.empty_CHW.size
            self._open = Window(block.counts[(block.used - 1) * cells : block.used * cells], self._spec)
        self._open.add(indices)

    def add(self, indices: Indices, sizes: npt.NDArray[np.intp]) -> list[Counts]:
        """Count at most `BLOCK_EVENTS` events: the first `sizes[0]` in the open window, the rest in those after it.

        `indices` are modified in place. Returns counts_CHW, read-only, of all these windows but the last, now open.
        """
        assert len(indices) <= BLOCK_EVENTS
        closed: list[Counts] = []
        first = start = 0
        if self._open is not None:
            first, start = 1, int(sizes[0])
            self.add_to_open(indices[:start])
            if len(sizes) > 1:
                closed.append(self.close())
        while first < len(sizes):
            block = self._block = self._memory.block()
            taken = sizes[first : first + block.free]
            stop = start + int(taken.sum()) if len(taken) < len(sizes) else len(indices)
            closed += self._count_together(block, indices[start:stop], taken)
            first, start = first + len(taken), stop
            if first < len(sizes):
                closed.append(self.close())
        return closed

    def close(self) -> Counts:
        """Return the counts of the open window, read-only; the next `add` opens another."""
        if self._open is None:
            return self.empty_CHW
        self._open.close()
        self._open = None
        counts_CHW: Counts = self._block.frames_BCHW[self._block.used - 1]
        return counts_CHW

    def _count_together(self, block: Block, indices: Indices, sizes: npt.NDArray[np.intp]) -> list[Counts]:
        """Count into the next frames of the block; returns all but the last, which stays open."""
        cells, slot = self.empty_CHW.size, block.used
        block.used += len(sizes)
        begin, end = slot * cells, block.used * cells
        count_windows(block.counts[begin:end], indices, sizes, self._spec)
        self._open = Window(block.counts[end - cells : end], self._spec, int(sizes[-1]))
        return list(block.frames_BCHW[slot : block.used - 1])


def windows_with_events(t_us: Times, open_index: int, dt_us: int, origin_us: int) -> tuple[int, Times, Times]:
    """Return (events before the open window, indices of non-empty windows from there on, events in each)."""
    count, last = len(t_us), (int(t_us[-1]) - origin_us) // dt_us
    open_us = origin_us + open_index * dt_us
    if last - open_index < count:
        begins = t_us.searchsorted(np.arange(open_us, origin_us + (last + 1) * dt_us, dt_us))
        late = int(begins[0]) if len(begins) else count
        events = np.empty_like(begins)
        np.subtract(begins[1:], begins[:-1], out=events[:-1])
        events[-1:] = count - begins[-1:]
        filled = events.nonzero()[0]
        if len(filled) < len(events):
            events = events[filled]
        return late, filled + open_index, events
    # More windows than events: the empty windows in between are not visited.
    late = bisect_left(t_us, open_us)
    windows = (t_us[late:] - origin_us) // dt_us
    begins = np.flatnonzero(np.diff(windows, prepend=windows[0] - 1))
    return late, windows[begins], np.diff(begins, append=count - late)
