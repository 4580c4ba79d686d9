"""The sensor size of recordings that come from one sensor."""

from contextlib import suppress

from stdl_events.errors import RecordingError
from stdl_events.events.geometry import Size
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.orientation import several_sizes, size_as_turned


def sensor_size_of(entries: tuple[Entry, ...], given: Size | None) -> Size:
    """Return the size that all `entries` have, as they are turned, if their sensor is of the size `given` or unknown.

    Raises:
        DatasetError: they have several.
        RecordingError: none is readable.
    """
    return _common_sensor_size(entries) if given is None else size_as_turned(entries, given)


def _common_sensor_size(entries: tuple[Entry, ...]) -> Size:
    """Return the size that the first readable recording of each class states.

    If none states it, return the smallest size that holds all events of those that are readable. The other recordings
    are checked when they are cut into clips.
    """
    stated: dict[tuple[int, int], Entry] = {}
    read: set[int] = set()
    for entry in entries:
        if entry.label in read:
            continue
        try:
            recording = entry.open()
        except RecordingError:
            continue  # named with all others when clips are cut
        read.add(entry.label)
        if recording.sensor_size_from != "inferred":
            stated[recording.sensor_size] = entry
    if len(stated) > 1:
        raise several_sizes(entries[0].path.parent.parent, {size: entry.key for size, entry in stated.items()})
    if stated:
        return next(iter(stated))
    sizes = []
    for entry in entries:
        with suppress(RecordingError):
            sizes.append(entry.open().sensor_size)
    if not sizes:
        return entries[0].open().sensor_size  # raises why not
    return max(size[0] for size in sizes), max(size[1] for size in sizes)
