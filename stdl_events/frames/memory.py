"""Zeroed memory for the frames of a stream, allocated for many frames at once.

An allocation per frame would cost more than counting the few events of a sparse window.
"""

from collections.abc import Sequence

import numpy as np

from stdl_events.frames.counting import Counts

# A frame keeps its whole block alive, so a block is small.
BLOCK_FRAMES = 64
BLOCK_BYTES = 2 << 20


class Block:
    """Contiguous frames, initially zero.

    Attributes:
        counts: all cells, writable.
        frames_BCHW: a read-only view.
        used: number of returned or open frames.
    """

    def __init__(self, frames: int, shape_CHW: Sequence[int]) -> None:
        owner = np.zeros(frames * int(np.prod(shape_CHW)), np.uint16)
        self.counts: Counts = owner[:]
        # Read-only at the base array, so that no view of a frame can be made writable.
        owner.flags.writeable = False
        self.frames_BCHW: Counts = owner.reshape(frames, *shape_CHW)
        self.used = 0

    @property
    def free(self) -> int:
        """Number of frames that are neither returned nor open."""
        return len(self.frames_BCHW) - self.used


class FrameMemory:
    """Consecutive blocks of frames of one shape."""

    def __init__(self, shape_CHW: Sequence[int]) -> None:
        self._shape_CHW = shape_CHW
        frame_bytes = 2 * int(np.prod(shape_CHW))
        self._block_frames = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // frame_bytes))
        self._block: Block | None = None

    def block(self) -> Block:
        """Return the block with at least one free frame."""
        if self._block is None or not self._block.free:
            self._block = Block(self._block_frames, self._shape_CHW)
        return self._block
