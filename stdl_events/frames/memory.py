"""Zeroed memory for the frames of a stream, used again once nobody holds a frame of it.

Fresh memory costs as much as its size, however few events a window holds: a sparse stream would spend most of its time
on zeros. Used again, a block costs as much as the events that were counted in it, whose cells are set back to 0.

Who holds a frame is told by CPython's reference counts, which every view of a frame takes part in.
"""

import sys
from collections import deque
from collections.abc import Sequence

import numpy as np

from stdl_events.frames.counting import Counts, Indices

# A frame that somebody keeps holds its block, so a block is small.
BLOCK_FRAMES = 64
BLOCK_BYTES = 2 << 20
# Blocks that wait for their frames to be dropped; above this, the oldest are left to their frames.
KEPT_BYTES = 32 << 20
# How many of them are looked at when one is needed.
LOOKED_AT = 4
# Setting single cells to 0 takes as long as setting this many in a row.
CELLS_PER_EVENT = 64


class Block:
    """Some frames side by side.

    Attributes:
        counts: all cells, for writing.
        frames_BCHW: the same, read-only, also for whoever asks numpy to let it write.
        used: how many frames were handed out or are open.
    """

    def __init__(self, frames: int, shape_CHW: Sequence[int]) -> None:
        self._owner = np.zeros(frames * int(np.prod(shape_CHW)), np.uint16)
        self.counts: Counts = self._owner[:]
        self._owner.flags.writeable = False
        self.frames_BCHW: Counts = self._owner.reshape(frames, *shape_CHW)
        self.used = 0
        self._counted: list[tuple[int, Indices]] = []
        self._events = 0
        self._references_of_its_own = self._references()

    @property
    def free(self) -> int:
        """How many frames are neither handed out nor open."""
        return len(self.frames_BCHW) - self.used

    @property
    def held(self) -> bool:
        """Whether a frame, or anything that looks into its memory, is alive."""
        return self._references() > self._references_of_its_own

    def counted(self, begin: int, indices: Indices) -> None:
        """The cells at `indices` from cell `begin` on are no longer 0."""
        self._events += len(indices)
        if self._events * CELLS_PER_EVENT < self.counts.size:
            self._counted.append((begin, indices))
        else:
            self._counted.clear()

    def clear(self) -> None:
        """All cells are 0 and no frame is used."""
        if self._counted:
            for begin, indices in self._counted:
                self.counts[begin:][indices] = 0
        elif self._events:
            self.counts.fill(0)
        self._counted, self._events, self.used = [], 0, 0

    def _references(self) -> int:
        # numpy lets a view hold the array that owns the memory, or the view that it was made from.
        return sys.getrefcount(self._owner) + sys.getrefcount(self.frames_BCHW) + sys.getrefcount(self.counts)


class FrameMemory:
    """Blocks for frames of one shape, one after the other."""

    def __init__(self, shape_CHW: Sequence[int]) -> None:
        self._shape_CHW = shape_CHW
        frame_bytes = 2 * int(np.prod(shape_CHW))
        self._block_frames = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // frame_bytes))
        self._most_kept = max(2, KEPT_BYTES // (self._block_frames * frame_bytes))
        self._full: deque[Block] = deque()
        self._block: Block | None = None

    def block(self) -> Block:
        """The block with room for at least one more frame."""
        if self._block is None:
            self._block = Block(self._block_frames, self._shape_CHW)
        elif self._block.used and not self._block.held:
            # The cells that were counted in last are the likeliest to be in the processor's cache.
            self._block.clear()
        elif not self._block.free:
            self._full.append(self._block)
            self._block = self._next()
        return self._block

    def _next(self) -> Block:
        # Blocks come free about in the order in which they were filled.
        for _ in range(min(LOOKED_AT, len(self._full))):
            block = self._full.popleft()
            if not block.held:
                block.clear()
                return block
            self._full.append(block)
        while len(self._full) >= self._most_kept:
            self._full.popleft()
        return Block(self._block_frames, self._shape_CHW)
