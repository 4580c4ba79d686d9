"""Clips that several runs share are loaded once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stdl_events.frames import FrameSpec
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.entry import RecordingSet
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.evaluation.ridge_beside import Ridge, ridges_of
from stdl_events.training.load_recordings import load_sides
from stdl_events.training.settings import TrainConfig

Loaded = list[tuple[RecordingSet, ClipArray]]


class SharedClips:
    """`load_sides` that keeps what it loaded last, and returns it again for the same recordings and frames.

    What it warns of is said once, when clips are loaded.
    """

    def __init__(self) -> None:
        self._asked: Any = None
        self._loaded: Loaded = []
        self._ridges: dict[Side, Ridge] = {}

    def __call__(self, config: TrainConfig, sides: Mapping[str, RecordingSet], frame_spec: FrameSpec) -> Loaded:
        asked = (config.data, config.augment.crop != "none", frame_spec, {side: _listed(sides[side]) for side in sides})
        if asked != self._asked:
            self._asked, self._loaded, self._ridges = None, [], {}  # the old clips are released before others are read
            self._loaded = load_sides(config, sides, frame_spec)
            self._asked = asked
        return self._loaded

    def ridges(self, clips: Mapping[Side, ClipArray]) -> dict[Side, Ridge]:
        """Return `ridges_of` the clips that were loaded last, fitted once; of others it is fitted anew."""
        if [id(own) for own in clips.values()] != [id(own) for _, own in self._loaded]:
            return ridges_of(clips)
        self._ridges = self._ridges or ridges_of(clips)
        return self._ridges


def _listed(recordings: RecordingSet) -> tuple[Any, ...]:
    """The recordings by what their clips depend on; readers are the dataset's."""
    plain = tuple(replace(entry, reader=None, content=None, counted=None) for entry in recordings.entries)
    return recordings.classes, recordings.sensor_size, plain
