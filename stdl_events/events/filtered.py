"""Recordings after filters or transforms."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stdl_events.events.decoder import Block, Header
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.geometry import Geometry
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray, RecordingWarning
from stdl_events.events.transform_registry import EVENT_TRANSFORMS
from stdl_events.events.transform_spec import TransformSpec, bind_transform, check_transform

GIVEN = ("rng", "sensor_size")
AS_IT_IS = Geometry()


@dataclass(frozen=True)
class _Changed:
    """Decoder of the changed events; every pass recomputes them."""

    header: Header
    passes: Callable[[], Iterator[EventArray]]

    def blocks(self) -> Iterator[Block]:
        for events in self.passes():
            yield Block(events, 0)


def filtered(recording: Recording, filters: FilterSpec, geometry: Geometry = AS_IT_IS) -> Recording:
    """Return `recording` after `filters`, then `geometry`, with its own summary, chunks and sensor size.

    It is read in bounded memory. Its summary takes one more pass over the file. Without changes it is `recording`.

    Raises:
        RecordingError: see `Recording.sensor_size`.
        FrameSpecError: the geometry does not fit the sensor.
    """
    if not filters and not geometry:
        return recording
    size = recording.sensor_size
    turned_size = geometry.size(size)

    def passes() -> Iterator[EventArray]:
        move = geometry.start(size)
        for events in map(filters.start(size), recording.chunks()):
            yield move(events) if geometry else events

    def takes() -> tuple[Recording, ...]:
        parts = recording.takes
        return tuple(filtered(part, filters, geometry) for part in parts) if len(parts) > 1 else ()

    made = changed(recording, turned_size, passes)
    made.divide = takes
    if recording.undivided is not None:
        made.undivided = lambda: filtered(recording.whole, filters, geometry)
    return made


def warn_if_inferred(recording: Recording, geometry: Geometry) -> None:
    """Warn if `geometry` depends on a sensor size that is only inferred from the events of `recording`."""
    depends = any(name != "crop" for name, _ in geometry.words)
    if depends and recording.sensor_size_from == "inferred":
        text = "the sensor size {}x{} is inferred from the events".format(*recording.sensor_size)
        warnings.warn(
            f"{recording.path}: {text}, and the geometry depends on it: state it with --sensor WxH",
            RecordingWarning,
            stacklevel=2,
        )


def transformed(recording: Recording, transforms: Sequence[TransformSpec], seed: int) -> Recording:
    """Apply `transforms` of `EVENT_TRANSFORMS` in order to `recording`; the events are held in memory.

    Args:
        seed: seed of the generator that all transforms share.

    Raises:
        RecipeError: a transform is unknown, or its settings are invalid.
        RecordingError: see `Recording.sensor_size`.
    """
    if not transforms:
        return recording
    checked = [check_transform(spec, EVENT_TRANSFORMS, GIVEN) for spec in transforms]
    sizes = [recording.sensor_size]
    for spec in checked:
        # A crop defines the sensor of the following transforms.
        width, height = (spec.settings.get(side) for side in ("width", "height"))
        sizes.append(sizes[-1] if width is None or height is None else (width, height))

    def passes() -> Iterator[EventArray]:
        events, rng = recording.read(), np.random.default_rng(seed)
        for spec, size in zip(checked, sizes, strict=False):
            events = bind_transform(spec, EVENT_TRANSFORMS, rng, sensor_size=size)(events)
        yield events

    return changed(recording, sizes[-1], passes)


def changed(recording: Recording, size: tuple[int, int], passes: Callable[[], Iterator[EventArray]]) -> Recording:
    """Return the recording whose events every pass recomputes by `passes`, of a sensor of `size`."""
    header, origin = Header(attributes=recording.attributes, is_checked=True), recording.sensor_size_from
    # Keep a size that was inferred from all events; do not infer it again from the kept ones.
    if origin == "header" or origin == "format":
        header = replace(header, sensor_size=size, sensor_size_from=origin)
    return Recording(recording.path, recording.format, _Changed(header, passes), sensor_size=size)
