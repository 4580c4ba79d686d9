"""Zeroed memory for the frames of a stream, made for many frames at once.

One array per frame would cost more than the few events of a sparse window.
"""

from collections.abc import Sequence

import numpy as np

from stdl_events.frames.counting import Counts

# A frame that the caller keeps holds its whole block, so a block is small.
BLOCK_FRAMES = 64
BLOCK_BYTES = 2 << 20


class Block:
    """Some frames side by side, all zero at first.

    Attributes:
        counts: all cells, for writing.
        frames_BCHW: the same, read-only.
        used: how many frames were handed out or are open.
    """

    def __init__(self, frames: int, shape_CHW: Sequence[int]) -> None:
        owner = np.zeros(frames * int(np.prod(shape_CHW)), np.uint16)
        self.counts: Counts = owner[:]
        # Not writeable at the owner, so that no view of a frame can be made so.
        owner.flags.writeable = False
        self.frames_BCHW: Counts = owner.reshape(frames, *shape_CHW)
        self.used = 0

    @property
    def free(self) -> int:
        """How many frames are neither handed out nor open."""
        return len(self.frames_BCHW) - self.used


class FrameMemory:
    """Blocks for frames of one shape, one after the other."""

    def __init__(self, shape_CHW: Sequence[int]) -> None:
        self._shape_CHW = shape_CHW
        frame_bytes = 2 * int(np.prod(shape_CHW))
        self._block_frames = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // frame_bytes))
        self._block: Block | None = None

    def block(self) -> Block:
        """The block with room for at least one more frame."""
        if self._block is None or not self._block.free:
            self._block = Block(self._block_frames, self._shape_CHW)
        return self._block
