"""The sensor size of recordings that come from one sensor."""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

from stdl_events.errors import RecordingError
from stdl_events.events.geometry import Size
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.orientation import several_sizes, size_as_turned

# Of the extents of recordings of one sensor, or of its sides.
_UNLIKE = 1.5
_TELLING_EVENTS = 50


def sensor_size_of(entries: tuple[Entry, ...], given: Size | None) -> Size:
    """Return the size that all `entries` have, as they are turned, if their sensor is of the size `given` or unknown.

    Raises:
        DatasetError: they have several.
        RecordingError: none is readable, or none of a class without an option.
    """
    return _common_sensor_size(entries) if given is None else size_as_turned(entries, given)


def _common_sensor_size(entries: tuple[Entry, ...]) -> Size:
    """Return the size that the first readable recording of each class states.

    If none states it, return the smallest size that holds all events of those that are readable. The other recordings
    are checked when they are cut into clips.
    """
    stated: dict[tuple[int, int], Entry] = {}
    read: set[int] = set()
    asked: dict[int, RecordingError] = {}
    for entry in entries:
        if entry.label in read:
            continue
        try:
            recording = entry.open()
        except RecordingError as error:
            if type(error) is RecordingError:  # an option answers it; damage is named when clips are cut
                asked.setdefault(entry.label, error)
            continue
        read.add(entry.label)
        if recording.sensor_size_from != "inferred":
            stated[recording.sensor_size] = entry
    for label in asked.keys() - read:
        raise asked[label]
    if len(stated) > 1:
        raise several_sizes(entries[0].path.parent.parent, {size: entry.key for size, entry in stated.items()})
    if stated:
        return next(iter(stated))
    sizes: dict[str, Size] = {}
    telling: dict[str, Size] = {}
    for entry in entries:
        with suppress(RecordingError):
            recording = entry.open()
            sizes[entry.key] = recording.sensor_size
            if recording.summary.events >= _TELLING_EVENTS:
                telling[entry.key] = recording.sensor_size
    if not sizes:
        return entries[0].open().sensor_size  # raises why not
    if telling:
        _say_unlike(telling, entries[0].path)
    return max(width for width, _ in sizes.values()), max(height for _, height in sizes.values())


def _say_unlike(sizes: Mapping[str, Size], first: Path) -> None:
    """Warn of sizes by their events that are hardly those of one sensor."""
    wide, high = (
        next((f"{key} {width}x{height}" for key, (width, height) in sizes.items() if each(width, height)), "")
        for each in (lambda w, h: w >= _UNLIKE * h, lambda w, h: h >= _UNLIKE * w)
    )
    if wide and high:
        text = f"by their events {wide} is wide and {high} is high: x and y may be exchanged in one (--columns)"
        warnings.warn(
            f"{first.parent}: {text}, or cameras hung otherwise (--orientation)", RecordingWarning, stacklevel=5
        )
    usual = median(map(max, sizes.values()))
    key, largest = max(sizes.items(), key=lambda item: max(item[1]))
    if max(largest) >= _UNLIKE * usual:
        text = f"the sensor size is inferred from {key}, {largest[0]}x{largest[1]}, where most have events within "
        text += f"{usual:g} pixels: state it with --sensor WxH, or keep the recordings of each sensor in a folder"
        warnings.warn(f"{first.parent}: {text}", RecordingWarning, stacklevel=5)
