"""Corrupted recordings to clips: in the windows of the recording as it is, whatever the corruption drops."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stdl_events.events import Recording
from stdl_events.events.corruptions import Corruption, Scene
from stdl_events.events.stream import EventArray
from stdl_events.frames import Clip, Frame, Framer, FrameSpec, clips, recording_frames
from stdl_events.frames.grid import grid_origin_us
from stdl_events.frames.selection import Selection
from stdl_events.recordings.cutting import EntryClips, all_events, require_sensor
from stdl_events.recordings.entry import Entry


@dataclass(frozen=True)
class CorruptedCut:
    """A framer, as those of `FRAMERS`, of events at a level of a corruption. It reads a recording as a whole.

    The corruption comes before the filters and the geometry of the frame spec, as in a camera. A recording is corrupted
    alike in every set and on every machine: its draws depend on the seed and its key.

    Args:
        seed: of all draws.
    """

    corruption: Corruption
    level: float
    seed: int = 0

    def __call__(self, entry: Entry, recording: Recording, frame_spec: FrameSpec) -> EntryClips:
        """Return the clips of an entry whose recording is open; nothing is read before the first one.

        Raises:
            RecordingError, FrameSpecError: see `cut_clips`; also during iteration.
        """
        require_sensor(entry, recording, frame_spec)
        if frame_spec.kind == "recording":
            return EntryClips(self._whole(entry, recording, frame_spec))
        return EntryClips(clips(self._frames(entry, recording, frame_spec), frame_spec))

    def corrupted(self, entry: Entry, events: EventArray, sensor_size: tuple[int, int]) -> EventArray:
        """Return the events of an entry at this level."""
        if not len(events):
            return events
        generators = [np.random.default_rng((self.seed, salt)) for salt in (0, 1 + zlib.crc32(entry.key.encode()))]
        scene = Scene(sensor_size, int(events["t"][0]), int(events["t"][-1]) + 1, *generators)
        return self.corruption(events, self.level, scene)

    def _whole(self, entry: Entry, recording: Recording, frame_spec: FrameSpec) -> Iterator[Clip]:
        events = self.corrupted(entry, all_events(entry, recording), frame_spec.sensor_size)
        kept = Selection.of(frame_spec)(events)
        if len(kept):
            frames_TCHW = recording_frames(kept, frame_spec.plain)
            yield Clip(0, int(kept["t"][0]), int(kept["t"][-1]) + 1, frames_TCHW)

    def _frames(self, entry: Entry, recording: Recording, frame_spec: FrameSpec) -> Iterator[Frame]:
        events = all_events(entry, recording)
        corrupted = self.corrupted(entry, events, frame_spec.sensor_size)
        kept = Selection.of(frame_spec)(events)
        if not len(kept):
            return
        origin_us = grid_origin_us(recording, frame_spec, begin=entry.begin)
        framer = Framer(frame_spec, origin_us=origin_us)
        frames = framer.push(corrupted) + framer.finish()
        if frame_spec.dt_us is None or not self.corruption.keeps_time:
            yield from frames
            return
        ends_us = int(kept["t"][0]), int(kept["t"][-1])
        yield from _padded(frames, ends_us, origin_us or 0, frame_spec)


def _padded(frames: list[Frame], ends_us: tuple[int, int], origin_us: int, frame_spec: FrameSpec) -> Iterator[Frame]:
    """Yield the frames of all windows from the one of the first time to the one of the last, empty ones too."""
    dt_us = frame_spec.dt_us
    assert dt_us
    first, last = ((t_us - origin_us) // dt_us for t_us in ends_us)
    of_index = {frame.index: frame for frame in frames}
    empty_CHW = np.zeros(frame_spec.frame_shape_CHW, np.uint16)
    for index in range(first, last + 1):
        start_us = origin_us + index * dt_us
        yield of_index.get(index) or Frame(index, start_us, start_us + dt_us, empty_CHW, frame_spec.steps)
