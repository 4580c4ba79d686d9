"""Counting of events per pixel and polarity: the kernel of all frames.

Counting adds in place to zeroed uint16 memory, so that its cost grows with the events and not with the sensor.

Shape letters: B windows, C=2 polarities (0: darker, 1: brighter), H and W pixels of a frame (after downscaling).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EVENT_DTYPE, EventArray
from stdl_events.frames.spec import MAX_COUNT, FrameSpec

# Events counted together: their indices fit into the second-level cache, and no pixel that starts at 0 can overflow.
BLOCK_EVENTS = 1 << 15

Counts = npt.NDArray[np.uint16]
Indices = npt.NDArray[np.int64]

_ONE = np.uint16(1)
# x and y are adjacent in an event: one number, y * 65536 + x, is read in half the time of two.
_YX_OFFSET = EVENT_DTYPE.fields["x"][1]  # type: ignore[index]
_YX_DTYPE = np.dtype("<u4")


def linear_indices(events: EventArray, spec: FrameSpec) -> Indices:
    """Return the index of each event's pixel and polarity in a flattened frame [C*H*W], in a new array.

    Args:
        spec: without geometry, see `FrameSpec.plain`.

    Raises:
        FrameSpecError: an event is outside the spec's sensor.
    """
    assert events.dtype == EVENT_DTYPE
    polarities, height, width = spec.frame_shape_CHW
    pixels = height * width
    # Half the bytes take half the time; only the largest sensors need more.
    narrow = polarities * pixels <= 1 << 32
    indices: npt.NDArray[Any] = events.getfield(_YX_DTYPE, _YX_OFFSET).astype(np.uint32 if narrow else np.uint64)
    _refuse_outside(indices, spec.sensor_size)
    rows = indices >> 16
    if spec.downscale > 1:
        indices &= 0xFFFF
        indices //= spec.downscale
        rows //= spec.downscale
        rows *= width
        indices += rows
    else:
        rows *= (1 << 16) - width
        indices -= rows
    brighter = events["p"].astype(indices.dtype)
    brighter *= pixels
    indices += brighter
    return indices.astype(np.int64)


def refuse_outside(events: EventArray, sensor_size: tuple[int, int]) -> None:
    """Check that every event is on the sensor.

    Raises:
        FrameSpecError: one is not.
    """
    _refuse_outside(events.getfield(_YX_DTYPE, _YX_OFFSET), sensor_size)


def _refuse_outside(yx: npt.NDArray[Any], sensor_size: tuple[int, int]) -> None:
    width, height = sensor_size
    if not (width & (width - 1) or height & (height - 1)):
        # Sides are powers of two: the OR of all values, one pass, bounds the maximum.
        bits = int(np.bitwise_or.reduce(yx))
        if bits & 0xFFFF < width and bits >> 16 < height:
            return
    x_max = int(np.maximum.reduce(yx.astype(np.uint16), initial=0))
    y_max = int(np.maximum.reduce(yx, initial=0)) >> 16
    if x_max >= width or y_max >= height:
        raise FrameSpecError(
            "frame spec: sensor_size",
            got=f"events up to x={x_max}, y={y_max}",
            expected=f"pixels inside {width}x{height}",
            todo="give the sensor size of the source",
        )


def count(counts: Counts, indices: Indices) -> None:
    """Add 1 at each index; the number of events must exclude an overflow."""
    np.add.at(counts, indices, _ONE)


def count_windows(counts: Counts, indices: Indices, sizes: npt.NDArray[np.intp], spec: FrameSpec) -> None:
    """Count events into consecutive windows of `counts` [B*C*H*W]; window b takes the next `sizes[b]` events.

    Counts must be low enough that no pixel overflows; `indices` are modified in place.
    """
    cells = counts.size // len(sizes)
    if len(sizes) > 1:
        indices += np.arange(0, counts.size, cells).repeat(sizes)
    count(counts, indices)
    if spec.cap is not None:
        for window in np.flatnonzero(sizes > spec.cap).tolist():
            capped = counts[window * cells : (window + 1) * cells]
            np.minimum(capped, spec.cap, out=capped)


class Window:
    """Counts one window of any number of events in the caller's memory, block by block.

    Attributes:
        events: number of events so far.
    """

    def __init__(self, counts: Counts, spec: FrameSpec, events: int = 0) -> None:
        """Start from `counts` [C*H*W], which hold `events` events, uncapped."""
        self.events = events
        self._counts = counts
        # No pixel has more counts than this.
        self._most = events
        self._cap = spec.cap
        self._wide: npt.NDArray[np.int64] | None = None

    def add(self, indices: Indices) -> None:
        """Count at most `BLOCK_EVENTS` events, given by their linear indices."""
        self.events += len(indices)
        if self._wide is None and self._most + len(indices) > MAX_COUNT:
            self._most = int(self._counts.max())
            if self._most + len(indices) > MAX_COUNT:
                self._wide = self._counts.astype(np.int64)
        self._most += len(indices)
        if self._wide is None:
            count(self._counts, indices)
        else:
            np.add.at(self._wide, indices, 1)

    def close(self) -> None:
        """Write the saturated counts to the memory."""
        if self._wide is not None:
            np.minimum(self._wide, self._cap or MAX_COUNT, out=self._counts, casting="unsafe")
        elif self._cap is not None and self.events > self._cap:
            np.minimum(self._counts, self._cap, out=self._counts)
