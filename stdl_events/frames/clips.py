"""Clips from frames: `Clips`, and `ClipGate`, the rule for complete clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from stdl_events.frames.counting import Counts
from stdl_events.frames.framer import Frame
from stdl_events.frames.spec import FrameSpec


@dataclass(frozen=True, eq=False)
class Clip:
    """T consecutive frames from step 0 on; `index` is the clip's absolute index on the grid."""

    index: int
    t_start_us: int
    t_end_us: int
    frames_TCHW: Counts


@dataclass
class ClipGate:
    """Admits the frames of clips seen from their first step on: one rule for offline clips and live inference.

    Attributes:
        incomplete: clips that began before the first frame, lost a frame, or were open at the end of the frames.
    """

    steps: int
    incomplete: int = 0
    # Each with its session.
    _previous: tuple[int, int] | None = field(default=None, repr=False)
    _open_clip: tuple[int, int] | None = field(default=None, repr=False)
    _lost_clip: tuple[int, int] | None = field(default=None, repr=False)

    def admits(self, frame: Frame) -> bool:
        """Return True if all frames of this frame's clip, up to this one, arrived in order."""
        clip = (frame.session, frame.clip)
        follows = self._previous == (frame.session, frame.index - 1)
        self._previous = (frame.session, frame.index)
        if not follows or frame.step == 0:
            self._lose_open_clip()
            if frame.step == 0:
                self._open_clip = clip
            elif self._lost_clip != clip:
                self._lost_clip = clip
                self.incomplete += 1
        admitted = self._open_clip == clip
        if frame.step == self.steps - 1:
            self._open_clip = None
        return admitted

    def finish(self) -> None:
        """End the frames; an open clip counts as incomplete."""
        self._lose_open_clip()

    def _lose_open_clip(self) -> None:
        if self._open_clip is not None:
            self._lost_clip, self._open_clip = self._open_clip, None
            self.incomplete += 1


class Clips(Iterator[Clip]):
    """The complete clips of a sequence of frames, in order; `incomplete` counts the others so far."""

    def __init__(self, frames: Iterable[Frame], spec: FrameSpec) -> None:
        self._frames = iter(frames)
        self._gate = ClipGate(spec.steps)
        self._parts: list[Frame] = []

    @property
    def incomplete(self) -> int:
        return self._gate.incomplete

    def __next__(self) -> Clip:
        for frame in self._frames:
            if not self._gate.admits(frame):
                continue
            if frame.step == 0:
                self._parts.clear()
            self._parts.append(frame)
            if frame.step == frame.steps - 1:
                frames_TCHW = np.stack([part.counts_CHW for part in self._parts])
                return Clip(frame.clip, self._parts[0].t_start_us, frame.t_end_us, frames_TCHW)
        self._gate.finish()
        raise StopIteration


def clips(frames: Iterable[Frame], spec: FrameSpec) -> Clips:
    """Return the complete clips of `frames`, those with all T frames. The others are dropped and counted."""
    return Clips(frames, spec)
