"""Hot pixels of many recordings of one sensor, counted while they are read for something else, and said once."""

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stdl_events.events.defects import count_of
from stdl_events.events.filters import hot_mask
from stdl_events.events.stream import EventArray, RecordingWarning

# With a smaller share of all events they change nothing, and single edges look like them.
_TELLING_SHARE = 1e-3
# Events of a pixel in all recordings, below which it may be chance.
_LEAST = 30
# Where many are, the others are silent: no sensor's noise, but a recording of few pixels.
_MOST_OF_ACTIVE = 0.1
_KEPT, _NAMED = 256, 24

HotPixel = tuple[int, int, int]
"""(x, y, number of events)."""


@dataclass(frozen=True)
class HotPixels:
    """The busiest hot pixels of some recordings, and the number of all events of these."""

    events: int = 0
    pixels: tuple[HotPixel, ...] = ()


class PixelCounts:
    """Counts the events of each pixel of a sensor of `sensor_size`, those outside it at none."""

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self._width, height = sensor_size
        self._counts_P = np.zeros(self._width * height, np.int64)
        self._events = 0

    def add(self, events: EventArray) -> None:
        pixel_N = events["y"].astype(np.int64)
        pixel_N *= self._width
        pixel_N += events["x"]
        if len(pixel_N) and pixel_N.max() >= len(self._counts_P):
            pixel_N = pixel_N[pixel_N < len(self._counts_P)]
        np.add.at(self._counts_P, pixel_N, 1)
        self._events += len(events)

    def hot(self) -> HotPixels:
        """Return the hot pixels of all events so far; none where they are more than a few of the pixels that fire."""
        counts_HW = self._counts_P.reshape(-1, self._width)
        y_P, x_P = hot_mask(counts_HW, at_least=_LEAST).nonzero()
        if len(y_P) > _MOST_OF_ACTIVE * np.count_nonzero(counts_HW):
            return HotPixels(self._events)
        found = zip(x_P.tolist(), y_P.tolist(), counts_HW[y_P, x_P].tolist(), strict=True)
        return HotPixels(self._events, tuple(sorted(found, key=lambda pixel: -pixel[2])[:_KEPT]))


def say_hot_pixels(found: Iterable[HotPixels], dropped: Iterable[tuple[int, int]]) -> None:
    """Warn of the hot pixels of all recordings together, unless they have hardly an event.

    Args:
        dropped: pixels (x, y) whose events are left out already.
    """
    counts, total, known = Counter[tuple[int, int]](), 0, set(dropped)
    for one in found:
        total += one.events
        for x, y, events in one.pixels:
            if (x, y) not in known:
                counts[x, y] += events
    noise = sum(counts.values())
    if noise < _TELLING_SHARE * max(total, 1):
        return
    busiest = "+".join(f"{x}:{y}" for (x, y), _ in counts.most_common(_NAMED))
    which = f"the {_NAMED} busiest" if len(counts) > _NAMED else "it" if len(counts) == 1 else "them"
    text = (
        f"{count_of(len(counts), 'hot pixel')} with {noise:,} of {total:,} events ({noise / total:.1%}): leave {which}"
    )
    warnings.warn(f"{text} out with --filter hot_pixels={busiest}", RecordingWarning, stacklevel=3)
