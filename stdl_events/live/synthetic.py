"""Events from memory at a pace of their own, as from a camera, and frames of them: to measure and to compare with."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames.picture import repeated
from stdl_events.model_card import ModelCard

CHUNK_US = 2_000
# Mean counts of a pixel in a frame: a busy scene. `deploy/check_model.py` draws the same frames.
BUSY_SHARE = 0.1

# A chunk is written again after so many others. Making it anew would cost more than counting its events.
RING = 16


class SyntheticSource:
    """A `ClockedSource` of random events at a constant rate, one chunk every `CHUNK_US`.

    A chunk is yielded when its time has passed. Like a camera it does not wait: a chunk whose time is more than
    `behind_s` past is not yielded any more.

    Args:
        sensor_size: (width, height).
        events_per_s: the rate.
        seconds: the length of the stream.
        behind_s: see above.
        clock_s, sleep_s: the wall clock; for tests.

    Attributes:
        counts: `dropped_events`, of chunks that were not taken in time.
    """

    def __init__(
        self,
        sensor_size: tuple[int, int],
        events_per_s: float,
        seconds: float,
        *,
        behind_s: float = 0.05,
        clock_s: Callable[[], float] = time.monotonic,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sensor_size = sensor_size
        self.counts = {"dropped_events": 0}
        self.arrived_s, self.t_now_us = time.monotonic(), 0
        self._behind_s, self._clock_s, self._sleep_s = behind_s, clock_s, sleep_s
        self._chunks = round(seconds * 1e6 / CHUNK_US)
        chunk = _random_chunk(sensor_size, round(events_per_s * CHUNK_US * 1e-6))
        self._times_us = chunk["t"].copy()
        self._ring = [chunk.copy() for _ in range(RING)]

    def chunks(self) -> Iterator[EventArray]:
        """Yield the chunks as described in the class."""
        started_s = self._clock_s()
        for number in range(1, self._chunks + 1):
            due_s = started_s + number * CHUNK_US * 1e-6
            wait_s = due_s - self._clock_s()
            if wait_s > 0:
                self._sleep_s(wait_s)
            elif wait_s < -self._behind_s:
                self.counts["dropped_events"] += len(self._times_us)
                continue
            self.arrived_s = time.monotonic() - max(0.0, self._clock_s() - due_s)
            self.t_now_us = number * CHUNK_US
            events = self._ring[number % RING]
            events["t"] = self._times_us + (number - 1) * CHUNK_US
            yield events


def _random_chunk(sensor_size: tuple[int, int], count: int) -> EventArray:
    rng = np.random.default_rng(0)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(0, CHUNK_US, count))
    events["x"] = rng.integers(0, sensor_size[0], count)
    events["y"] = rng.integers(0, sensor_size[1], count)
    events["p"] = rng.integers(0, 2, count)
    return events


def busy_frames(card: ModelCard, count: int, batch: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Draw frames of a busy scene, [count, B, C, H, W]; of a model of pictures, random pictures."""
    generator = np.random.default_rng(seed)
    shape = (batch, *card.frame.frame_shape_CHW)
    if card.frame.kind == "picture":
        pixels_BCHW = generator.integers(0, 256, shape, np.uint8)
        return repeated(card.frame.picture.scaled(pixels_BCHW), count)
    return np.stack([generator.poisson(BUSY_SHARE, shape).astype(np.float32) for _ in range(count)])
