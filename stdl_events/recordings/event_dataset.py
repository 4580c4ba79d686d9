"""A set of recordings with the interface of Tonic's and PyTorch's datasets.

`len(ds)`, `ds[i] -> (events, label)`, transforms.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from stdl_events.events import EVENT_DTYPE, EventArray, ReplaySource
from stdl_events.events.stream import empty_events
from stdl_events.recordings.entry import Entry, RecordingSet, Split

ORDERING = ("t", "x", "y", "p")


class EventDataset:
    """Labelled recordings, read from disk on access. Tonic's transforms apply without changes.

    Args:
        transform: maps the events, `EVENT_DTYPE`, of one entry's span.
        target_transform: maps the label, an int.
        transforms: maps both after that, and returns both.

    Attributes:
        recordings: the set.
        ordering: the events' fields.
        classes: names, in the order of the labels.
        sensor_size: (width, height, polarities), as in Tonic.
    """

    ordering = ORDERING
    dtype = EVENT_DTYPE

    def __init__(
        self,
        recordings: RecordingSet,
        *,
        transform: Callable[[EventArray], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
    ) -> None:
        self.recordings = recordings
        self.classes = recordings.classes
        self.sensor_size = (*recordings.sensor_size, 2)
        self._transform, self._target_transform, self._transforms = transform, target_transform, transforms

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return (events, label) of one entry.

        Raises:
            RecordingError: the recording is not readable.
        """
        entry = self.recordings.entries[index]
        events: Any = read_events(entry)
        label: Any = entry.label
        if self._transform is not None:
            events = self._transform(events)
        if self._target_transform is not None:
            label = self._target_transform(label)
        if self._transforms is not None:
            events, label = self._transforms(events, label)
        return events, label


def read_events(entry: Entry) -> EventArray:
    """Read all events of an entry's span into a new array."""
    recording = entry.open()
    if not recording.summary.events:
        return empty_events()
    source = ReplaySource(recording, speed=None, start=entry.span[0], stop=entry.span[1])
    return np.concatenate([empty_events(), *source.chunks()])


def side_of(split: Split, *, train: bool) -> RecordingSet:
    return split.train if train else split.test
