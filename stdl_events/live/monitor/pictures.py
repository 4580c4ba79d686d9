"""Pictures of events: each lights its pixel in the colour of its polarity, and fades.

Shape letters: H rows, W columns of a picture; one pixel of it stands for a square of the sensor's.
"""

import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stdl_events.events.stream import EventArray

# The longer side of a picture, at most.
LONGEST = 640
FADE_S = 0.08
# Brighter and darker; both are seen on white and on black.
ON, OFF = (56, 132, 232), (236, 96, 36)
_LEVELS = 127


class Picture:
    """The picture of a sensor.

    Args:
        sensor_size: (W, H) in pixels.

    Attributes:
        size: (W, H) of the picture.
    """

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self._factor = max(1, math.ceil(max(sensor_size) / LONGEST))
        self.size = (math.ceil(sensor_size[0] / self._factor), math.ceil(sensor_size[1] / self._factor))
        self._sensor_size = sensor_size
        self._light_HW = np.zeros(self.size[::-1], np.float32)

    def add(self, chunks: Sequence[EventArray], elapsed_s: float) -> None:
        """Let the picture fade for `elapsed_s`, then light the pixels of `chunks`; the last event of a pixel counts.

        Events of `chunks` have faded by the time from them to the last one.
        """
        self._light_HW *= np.float32(math.exp(-elapsed_s / FADE_S))
        for events in chunks:
            self._light(events, chunks[-1]["t"][-1])

    def _light(self, events: EventArray, t_now_us: int) -> None:
        width, height = self._sensor_size
        x, y = events["x"].astype(np.int32), events["y"].astype(np.int32)
        if x.max() >= width or y.max() >= height:
            inside = (x < width) & (y < height)
            events, x, y = events[inside], x[inside], y[inside]
        if self._factor > 1:
            x, y = x // self._factor, y // self._factor
        light = np.where(events["p"] > 0, np.float32(1), np.float32(-1))
        light *= self._faded(events["t"], t_now_us)
        self._light_HW.reshape(-1)[y * np.int32(self.size[0]) + x] = light

    @staticmethod
    def _faded(t_us: npt.NDArray[np.int64], t_now_us: int) -> npt.NDArray[np.float32] | np.float32:
        """Return what is left of the light at each time; one number for times that are as good as the same."""
        if not len(t_us) or t_us[-1] - t_us[0] < FADE_S * 1e5:
            t_us = t_us[-1:]
        age_s = np.maximum(t_now_us - t_us, 0).astype(np.float32) * np.float32(1e-6)
        return np.exp(-age_s / np.float32(FADE_S))

    @property
    def is_dark(self) -> bool:
        """True if nothing is left to fade."""
        return not (np.abs(self._light_HW) >= 0.5 / _LEVELS).any()

    def png(self) -> bytes:
        """Return the picture as PNG: a palette of both colours from clear to opaque, on nothing."""
        levels_HW = np.rint(self._light_HW * _LEVELS).astype(np.int16)
        index_HW = np.where(levels_HW < 0, _LEVELS - levels_HW, levels_HW).astype(np.uint8)
        return _indexed_png(index_HW)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _indexed_png(index_HW: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG of palette indices: 0 is clear, 1 to 127 are ON, 128 to 254 OFF, ever more opaque."""
    height, width = index_HW.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = index_HW
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"".join([
        b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), _PALETTE, _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
        _chunk(b"IEND", b""),
    ])  # fmt: skip


_PALETTE = _chunk(b"PLTE", bytes(3) + bytes(ON) * _LEVELS + bytes(OFF) * _LEVELS) + _chunk(
    b"tRNS", bytes([0, *(2 * [round(255 * level / _LEVELS) for level in range(1, _LEVELS + 1)])])
)
