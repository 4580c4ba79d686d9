"""Transforms of a whole recording's events; `functools.partial` makes them steps of Tonic's `Compose`.

Tonic's own transforms accept `EVENT_DTYPE`. This module has those that Tonic lacks, draws from a global generator, or
has wrong: its `DropEventByTime` counts from time 0 instead of from the first event, its `DropEventByArea` applies the
share to the sides instead of to the area. Random transforms draw from the generator passed to them. Every transform
keeps the stream's invariants, does not modify its argument, and maps no events to no events.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from stdl_events.events.filters import crop, drop_background_activity, drop_pixels, find_hot_pixels, no_activity
from stdl_events.events.stream import EventArray

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Data = TypeVar("Data", bound=np.ndarray[Any, Any])


def drop_random(events: EventArray, *, share: Share, rng: np.random.Generator) -> EventArray:
    """Drop a share of the events, rounded to an integer number."""
    kept = np.ones(len(events), np.bool_)
    kept[rng.choice(len(events), round(share * len(events)), replace=False)] = False
    return events[kept]


def drop_time(events: EventArray, *, share: Share, rng: np.random.Generator) -> EventArray:
    """Drop the events in a random interval of `share` of the time from the first event to the last."""
    if not len(events):
        return events
    first_us, last_us = int(events["t"][0]), int(events["t"][-1])
    length_us = round(share * (last_us + 1 - first_us))
    start_us = int(rng.integers(first_us, last_us + 1 - length_us, endpoint=True))
    return events[(events["t"] < start_us) | (events["t"] >= start_us + length_us)]


def drop_area(
    events: EventArray, *, sensor_size: tuple[int, int], share: Share, rng: np.random.Generator
) -> EventArray:
    """Drop the events in a random rectangle of `share` of the sensor's area, with the sensor's aspect ratio."""
    width, height = (round(math.sqrt(share) * side) for side in sensor_size)
    left = int(rng.integers(0, sensor_size[0] - width + 1))
    top = int(rng.integers(0, sensor_size[1] - height + 1))
    inside_x = (events["x"] >= left) & (events["x"] < left + width)
    inside_y = (events["y"] >= top) & (events["y"] < top + height)
    return events[~(inside_x & inside_y)]


def draw_event_drop(rng: np.random.Generator) -> tuple[Literal["nothing", "time", "area", "random"], float]:
    """Draw one of four kinds of event drop, equally likely, and its share.

    Source: F. Gu et al., "EventDrop: data augmentation for event-based learning", 2021, with the shares of its
    released code: 0.1 to 0.9 of time or events, 0.05 to 0.25 of the area.
    """
    kind = int(rng.integers(0, 4))
    tenths, twentieths = int(rng.integers(1, 10)), int(rng.integers(1, 6))
    return (("nothing", 0.0), ("time", tenths / 10), ("area", twentieths / 20), ("random", tenths / 10))[kind]


def event_drop(events: EventArray, *, sensor_size: tuple[int, int], rng: np.random.Generator) -> EventArray:
    """Apply a drop drawn by `draw_event_drop`: nothing, `drop_time`, `drop_area`, `drop_random`.

    A drop that would remove all events removes none.
    """
    kind, share = draw_event_drop(rng)
    kept = events
    if kind == "time":
        kept = drop_time(events, share=share, rng=rng)
    elif kind == "area":
        kept = drop_area(events, sensor_size=sensor_size, share=share, rng=rng)
    elif kind == "random":
        kept = drop_random(events, share=share, rng=rng)
    return kept if len(kept) else events


def roll(events: EventArray, *, sensor_size: tuple[int, int], dx: int, dy: int) -> EventArray:
    """Shift by `dx` pixels to the right and `dy` down, cyclically."""
    rolled = events.copy()
    for name, distance, side in (("x", dx, sensor_size[0]), ("y", dy, sensor_size[1])):
        rolled[name] = (events[name].astype(np.int64) + distance) % side
    return rolled


def random_roll(
    events: EventArray, *, sensor_size: tuple[int, int], reach_px: NotNegative, rng: np.random.Generator
) -> EventArray:
    """Roll by at most `reach_px` along each axis."""
    dy, dx = reach_px - rng.integers(0, 2 * reach_px + 1, 2)
    return roll(events, sensor_size=sensor_size, dx=int(dx), dy=int(dy))


def random_crop(
    events: EventArray, *, sensor_size: tuple[int, int], width: Positive, height: Positive, rng: np.random.Generator
) -> EventArray:
    """Crop to a random window of this size; its top left pixel is the origin."""
    left = int(rng.integers(0, sensor_size[0] - width + 1))
    top = int(rng.integers(0, sensor_size[1] - height + 1))
    return crop(events, left=left, top=top, width=width, height=height)


def without_hot_pixels(
    events: EventArray, *, sensor_size: tuple[int, int], factor: Factor = 10.0, at_least: Positive = 10
) -> EventArray:
    """Drop the events of hot pixels; see `find_hot_pixels`."""
    return drop_pixels(events, find_hot_pixels([events], sensor_size, factor=factor, at_least=at_least))


def without_background(events: EventArray, *, sensor_size: tuple[int, int], support_us: Positive) -> EventArray:
    """Drop the events without a recent neighbour; see `drop_background_activity`."""
    return drop_background_activity(events, no_activity(sensor_size), sensor_size, support_us=support_us)[0]


def sometimes(
    transform: Callable[[Data], Data], *, probability: float, rng: np.random.Generator
) -> Callable[[Data], Data]:
    """Apply `transform` to a share `probability` of all calls; of events or of frames."""

    def maybe(data: Data) -> Data:
        return transform(data) if rng.random() < probability else data

    return maybe
