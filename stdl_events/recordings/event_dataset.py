"""Sets of recordings with the interface of Tonic's and PyTorch's datasets: `len(ds)`, `ds[i] -> (events, label)`.

Where Tonic is installed they are `tonic.Dataset`s. This module imports it, so the commands do without this module.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stdl_events.events import EVENT_DTYPE, EventArray
from stdl_events.recordings.datasets.cifar10_dvs import split_cifar10_dvs
from stdl_events.recordings.datasets.dvs_gesture import split_dvs_gesture
from stdl_events.recordings.datasets.gait_day import split_gait_day
from stdl_events.recordings.datasets.har_dvs import Side, split_har_dvs
from stdl_events.recordings.datasets.nmnist import split_nmnist
from stdl_events.recordings.entry import RecordingSet, Split, read_events

try:
    from tonic import Dataset as TonicDataset
except ModuleNotFoundError:
    TonicDataset = object

ORDERING = ("t", "x", "y", "p")


class EventDataset(TonicDataset):
    """Labelled recordings, read from disk on access. Tonic's transforms apply without changes.

    A recording whose clock was reset is one item, its takes one after another; `each_take(recordings)` divides them.

    Args:
        transform: maps the events, `EVENT_DTYPE`, of one entry's span.
        target_transform: maps the label, an int.
        transforms: maps both after that, and returns both.

    Attributes:
        recordings: the set.
        ordering: the events' fields.
        classes: names, in the order of the labels.
        sensor_size: (width, height, polarities), as in Tonic.
        location_on_system, data, targets: folder, files and labels, as in Tonic.
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
        # Without Tonic's constructor, which chooses a folder to download into.
        self.recordings = recordings
        self.classes = recordings.classes
        self.sensor_size = (*recordings.sensor_size, 2)
        self.transform, self.target_transform, self.transforms = transform, target_transform, transforms
        self.data = [str(entry.path) for entry in recordings.entries]
        self.targets = [entry.label for entry in recordings.entries]
        self.location_on_system = os.path.commonpath(map(os.path.dirname, self.data)) if self.data else ""
        self.folder_name = ""

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
        if self.transform is not None:
            events = self.transform(events)
        if self.target_transform is not None:
            label = self.target_transform(label)
        if self.transforms is not None:
            events, label = self.transforms(events, label)
        return events, label


def _side_of(split: Split, *, train: bool) -> RecordingSet:
    return split.train if train else split.test


class GaitDay(EventDataset):
    """One side of `split_gait_day` as a Tonic-style dataset; keyword arguments are those of `EventDataset`."""

    def __init__(self, root: str | Path, *, train: bool, **transforms: Callable[..., Any] | None) -> None:
        super().__init__(_side_of(split_gait_day(root), train=train), **transforms)


class HarDvs(EventDataset):
    """One of the official lists as a Tonic-style dataset; keyword arguments are those of `EventDataset`."""

    def __init__(self, root: str | Path, *, side: Side, **transforms: Callable[..., Any] | None) -> None:
        split = split_har_dvs(root, held_out="val" if side == "val" else "test")
        super().__init__(split.train if side == "train" else split.test, **transforms)


class NMnist(EventDataset):
    """One side of `split_nmnist` as a Tonic-style dataset; keyword arguments are those of `EventDataset`."""

    def __init__(self, root: str | Path, *, train: bool, **transforms: Callable[..., Any] | None) -> None:
        super().__init__(_side_of(split_nmnist(root), train=train), **transforms)


class Cifar10Dvs(EventDataset):
    """One side of `split_cifar10_dvs` as a Tonic-style dataset; keyword arguments are those of `EventDataset`."""

    def __init__(self, root: str | Path, *, train: bool, **transforms: Callable[..., Any] | None) -> None:
        super().__init__(_side_of(split_cifar10_dvs(root), train=train), **transforms)


class DvsGesture(EventDataset):
    """One side of `split_dvs_gesture` as a Tonic-style dataset; keyword arguments are those of `EventDataset`."""

    def __init__(self, root: str | Path, *, train: bool, **transforms: Callable[..., Any] | None) -> None:
        super().__init__(_side_of(split_dvs_gesture(root), train=train), **transforms)
