"""Corruptions of a recording's events, with a level each: what a worse camera, scene or mounting would have sent.

All keep the stream's invariants, do not modify their argument, and draw from the generators passed to them. At its
`identity` level a corruption returns the events as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecipeError
from stdl_events.events.stream import EventArray, concatenate_events, copied, empty_events
from stdl_events.events.transforms import drop_random

HOT_PIXEL_HZ = 100


@dataclass(frozen=True)
class Scene:
    """What a corruption may use besides the events.

    Attributes:
        sensor_size: (width, height) in pixels.
        start_us, stop_us: the time of the recording, [start, stop).
        camera: generator of what is the same in all recordings of a camera, such as its hot pixels.
        recording: generator of what differs between recordings.
    """

    sensor_size: tuple[int, int]
    start_us: int
    stop_us: int
    camera: np.random.Generator
    recording: np.random.Generator

    @property
    def seconds(self) -> float:
        return (self.stop_us - self.start_us) / 1e6


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption.

    Attributes:
        summary: one line without a full stop.
        unit: of the level, for tables.
        levels: those that are evaluated by default, from weak to strong.
        identity: the level that changes nothing.
        limits: smallest and largest level.
        apply: maps events at a level; the events are in the scene's time.
        keeps_time: the recording lasts as long as before.
    """

    summary: str
    unit: str
    levels: tuple[float, ...]
    identity: float
    limits: tuple[float, float]
    apply: Callable[[EventArray, float, Scene], EventArray]
    keeps_time: bool = True

    def __call__(self, events: EventArray, level: float, scene: Scene) -> EventArray:
        """Return the events at `level`; those at the identity level are not copied."""
        return events if level == self.identity or not len(events) else self.apply(events, level, scene)

    def check(self, level: float) -> float:
        """Return `level`.

        Raises:
            RecipeError: it is outside the limits.
        """
        low, high = self.limits
        if not low <= level <= high:
            raise RecipeError(
                f"corruption ({self.summary})", got=f"{level:g} {self.unit}", expected=f"{low:g} to {high:g}",
                todo="choose a level in between",
            )  # fmt: skip
        return level


def _dropped(events: EventArray, percent: float, scene: Scene) -> EventArray:
    return drop_random(events, share=percent / 100, rng=scene.recording)


def _with_noise(events: EventArray, per_pixel_s: float, scene: Scene) -> EventArray:
    """Add events that are uniform in time, place and polarity, their number Poisson."""
    width, height = scene.sensor_size
    rng = scene.recording
    noise = empty_events(int(rng.poisson(per_pixel_s * width * height * scene.seconds)))
    noise["x"], noise["y"] = rng.integers(0, width, len(noise)), rng.integers(0, height, len(noise))
    return _merged(events, noise, scene)


def _with_hot_pixels(events: EventArray, percent: float, scene: Scene) -> EventArray:
    """Add events of a share of the pixels, the same in all recordings; in each their number is Poisson."""
    width, height = scene.sensor_size
    pixels = scene.camera.permutation(width * height)[: round(percent / 100 * width * height)]
    counts = scene.recording.poisson(HOT_PIXEL_HZ * scene.seconds, len(pixels))
    added = empty_events(int(counts.sum()))
    added["y"], added["x"] = np.divmod(np.repeat(pixels, counts), width)
    return _merged(events, added, scene)


def _merged(events: EventArray, added: EventArray, scene: Scene) -> EventArray:
    """Draw times and polarities of the `added` events, and merge them into `events`."""
    added["t"] = scene.recording.integers(scene.start_us, scene.stop_us, len(added))
    added["p"] = scene.recording.random(len(added)) < 0.5
    return _sorted(concatenate_events([events, added]))


def _jittered(events: EventArray, sigma_us: float, scene: Scene) -> EventArray:
    """Move each event in time, by a normal distribution, within the recording's time."""
    moved = copied(events)
    times_us = events["t"] + np.rint(scene.recording.normal(0, sigma_us, len(events))).astype(np.int64)
    moved["t"] = np.clip(times_us, scene.start_us, scene.stop_us - 1)
    return _sorted(moved)


def _shifted(events: EventArray, pixels: float, scene: Scene) -> EventArray:
    """Move all events left, right, up or down, in one direction for a recording; those that leave are dropped."""
    step_x, step_y = ((1, 0), (-1, 0), (0, 1), (0, -1))[int(scene.recording.integers(4))]
    x = events["x"].astype(np.int64) + step_x * round(pixels)
    y = events["y"].astype(np.int64) + step_y * round(pixels)
    width, height = scene.sensor_size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    kept = events[inside]
    kept["x"], kept["y"] = x[inside], y[inside]
    return kept


def _faster(events: EventArray, factor: float, scene: Scene) -> EventArray:
    """Divide the times since the recording's start."""
    changed = copied(events)
    changed["t"] = scene.start_us + np.floor((events["t"] - scene.start_us) / factor).astype(np.int64)
    return changed


def _less_contrast(events: EventArray, threshold: float, scene: Scene) -> EventArray:
    """Keep the events of a pixel with a contrast threshold `threshold` times as high.

    The pixel's brightness is the sum of its polarities; an event is kept when the brightness is `threshold` or more
    away from that of the last kept one, which then is `threshold` nearer.
    """
    width = scene.sensor_size[0]
    pixel_N = events["y"].astype(np.int64) * width + events["x"]
    order_N = np.argsort(pixel_N, kind="stable")
    _, starts_P, counts_P = np.unique(pixel_N[order_N], return_index=True, return_counts=True)
    kept_N = np.zeros(len(events), np.bool_)
    sign_N = np.where(events["p"], 1, -1)[order_N]
    # Pixels with the most events first, so that those with a further event are a prefix.
    busy_P = np.argsort(-counts_P, kind="stable")
    starts_P, counts_P = starts_P[busy_P], counts_P[busy_P]
    level_P = np.zeros(len(starts_P))
    for event in range(int(counts_P.max(initial=0))):
        active = int(np.searchsorted(-counts_P, -event))
        at_P = starts_P[:active] + event
        level_P[:active] += sign_N[at_P]
        crosses_P = np.abs(level_P[:active]) >= threshold
        kept_N[order_N[at_P[crosses_P]]] = True
        level_P[:active] -= np.where(crosses_P, threshold * np.sign(level_P[:active]), 0)
    return events[kept_N]


def _sorted(events: EventArray) -> EventArray:
    order: npt.NDArray[np.intp] = np.argsort(events["t"], kind="stable")
    return events[order]


DROP = Corruption("events dropped at random", "% of events", (10, 30, 50, 70), 0, (0, 100), _dropped)
NOISE = Corruption("background noise added", "events/pixel/s", (0.1, 0.5, 2, 5), 0, (0, 1000), _with_noise)
HOT_PIXELS = Corruption(
    f"hot pixels added, {HOT_PIXEL_HZ} events/s each", "% of pixels", (0.1, 0.5, 1, 3), 0, (0, 100), _with_hot_pixels
)
JITTER = Corruption(
    "times moved at random, standard deviation", "us", (1_000, 5_000, 20_000, 50_000), 0, (0, 10**9), _jittered
)
SHIFT = Corruption("picture moved in one direction", "pixels", (2, 4, 8, 16), 0, (0, 1 << 16), _shifted)
SPEED = Corruption(
    "movements faster or slower", "times as fast", (0.5, 0.75, 1.5, 2), 1, (0.01, 100), _faster, keeps_time=False
)
CONTRAST = Corruption("contrast threshold raised", "times the threshold", (2, 3, 4), 1, (1, 1000), _less_contrast)
