"""Counting events per pixel and polarity: the kernel that every frame goes through.

Counting adds into uint16 in place, so that its cost follows the events and not the size of the sensor.

Shape letters: B bins, C=2 polarities (0: darker, 1: brighter), H and W pixels of a frame (after downscaling).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events.stream import EventArray
from stdl_events.frames.spec import MAX_COUNT, FrameSpec

# Events that are counted together: few enough that their indices stay in the second-level cache, and that no pixel
# which starts at 0 can overflow.
BLOCK_EVENTS = 1 << 15

Counts = npt.NDArray[np.uint16]
Indices = npt.NDArray[np.int64]


def linear_indices(events: EventArray, spec: FrameSpec) -> Indices:
    """The position of each event's pixel and polarity in a flattened frame [C*H*W].

    Raises:
        FrameSpecError: an event lies outside the spec's sensor.
    """
    _, height, width = spec.frame_shape_CHW
    x = events["x"].astype(np.int64)
    indices = events["y"].astype(np.int64)
    if len(events) and (x.max() >= spec.sensor_size[0] or indices.max() >= spec.sensor_size[1]):
        raise FrameSpecError(
            "frame spec: sensor_size",
            got=f"events up to x={x.max()}, y={indices.max()}",
            expected=f"pixels inside {spec.sensor_size[0]}x{spec.sensor_size[1]}",
            todo="give the sensor size of the source",
        )
    if spec.downscale > 1:
        x //= spec.downscale
        indices //= spec.downscale
    indices += np.multiply(events["p"], height, dtype=np.int64)
    indices *= width
    indices += x
    return indices


def count_bins(indices: Indices, edges: Sequence[int], spec: FrameSpec) -> Counts:
    """counts_BCHW of bins that are complete: bin b holds the events [edges[b], edges[b + 1])."""
    bins = len(edges) - 1
    assert edges[-1] - edges[0] <= MAX_COUNT, "a pixel could overflow"
    shape_CHW = spec.frame_shape_CHW
    cells = shape_CHW[0] * shape_CHW[1] * shape_CHW[2]
    offsets = np.repeat(np.arange(bins) * cells, np.diff(edges))
    counts = np.zeros(bins * cells, np.uint16)
    np.add.at(counts, indices[edges[0] : edges[-1]] + offsets, np.uint16(1))
    if spec.cap is not None:
        np.minimum(counts, spec.cap, out=counts)
    return counts.reshape(bins, *shape_CHW)


class Window:
    """Counts of the window that is open.

    Attributes:
        events: how many it holds.
        empty_CHW: the counts of every window without events.
    """

    def __init__(self, spec: FrameSpec) -> None:
        self._shape_CHW = spec.frame_shape_CHW
        self._cap = spec.cap or MAX_COUNT
        self.empty_CHW: Counts = np.zeros(self._shape_CHW, np.uint16)
        self.empty_CHW.flags.writeable = False
        self._counts: npt.NDArray[Any] | None = None
        self._highest = 0
        self.events = 0

    def add(self, indices: Indices) -> None:
        """Count at most `BLOCK_EVENTS` events, given by their linear indices."""
        if self._counts is None:
            self._counts, self._highest = np.zeros(self.empty_CHW.size, np.uint16), 0
        self.events += len(indices)
        self._highest += len(indices)
        if self._highest > MAX_COUNT and self._counts.dtype == np.uint16:
            self._highest = int(self._counts.max()) + len(indices)
            if self._highest > MAX_COUNT:
                self._counts = self._counts.astype(np.int64)
        np.add.at(self._counts, indices, self._counts.dtype.type(1))

    def close(self) -> Counts:
        """The counts so far, saturated and read-only; the next `add` opens a new window."""
        counts, self._counts, events, self.events = self._counts, None, self.events, 0
        if counts is None:
            return self.empty_CHW
        if events > self._cap:
            counts = np.minimum(counts, self._cap).astype(np.uint16, copy=False)
        counts_CHW: Counts = counts.reshape(self._shape_CHW)
        counts_CHW.flags.writeable = False
        return counts_CHW
