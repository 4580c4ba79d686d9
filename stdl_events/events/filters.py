"""Filters of events: pure functions of a chunk and a state, which return both.

Every filter keeps the stream's invariants, does not modify its input, and maps an empty chunk to an empty chunk.
Tonic's transforms accept `EVENT_DTYPE` too.

Shape letters: N events, P pixels of a sensor with a border of one pixel, H rows, W columns.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
import numpy.typing as npt

from stdl_events.events.stream import EVENT_DTYPE, EventArray

LONG_AGO_US = -(1 << 62)

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]


def crop(events: EventArray, *, left: int, top: int, width: int, height: int) -> EventArray:
    """Keep the events inside a window; its top left pixel is the origin of a sensor of `width` x `height`."""
    x, y = events["x"].astype(np.int32) - left, events["y"].astype(np.int32) - top
    kept: EventArray = events[(x >= 0) & (x < width) & (y >= 0) & (y < height)]
    kept["x"] = kept["x"].astype(np.int32) - left
    kept["y"] = kept["y"].astype(np.int32) - top
    return kept


def find_hot_pixels(
    chunks: Iterable[EventArray], sensor_size: tuple[int, int], *, factor: float = 10.0, at_least: int = 10
) -> Mask:
    """Return mask_HW of the pixels that fire far more often than their neighbours.

    A pixel is hot if it has at least `at_least` events and more than `factor` times those of its second busiest
    neighbour, counted as at least one. A moving object makes several neighbours fire. The second busiest is taken so
    that two adjacent hot pixels do not hide each other.
    """
    width, height = sensor_size
    counts = np.zeros(width * height, np.int64)
    for events in chunks:
        counts += np.bincount(events["y"].astype(np.int64) * width + events["x"], minlength=counts.size)
    return hot_mask(counts.reshape(height, width), factor=factor, at_least=at_least)


def hot_mask(counts_HW: npt.NDArray[np.int64], *, factor: float = 10.0, at_least: int = 10) -> Mask:
    """Return mask_HW of the hot pixels by the number of events of each pixel; see `find_hot_pixels`."""
    height, width = counts_HW.shape
    bordered_HW = np.pad(counts_HW, 1)
    busiest_HW = np.zeros_like(counts_HW)
    second_HW = np.zeros_like(counts_HW)
    for dy, dx in product((-1, 0, 1), repeat=2):
        if (dx, dy) != (0, 0):
            neighbour_HW = bordered_HW[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
            np.maximum(second_HW, np.minimum(busiest_HW, neighbour_HW), out=second_HW)
            np.maximum(busiest_HW, neighbour_HW, out=busiest_HW)
    hot_HW: Mask = (counts_HW >= at_least) & (counts_HW > factor * np.maximum(second_HW, 1))
    return hot_HW


def drop_pixels(events: EventArray, mask_HW: Mask) -> EventArray:
    """Drop the events of the pixels in the mask."""
    kept: EventArray = events[~mask_HW[events["y"], events["x"]]]
    return kept


def no_activity(sensor_size: tuple[int, int]) -> Times:
    """Return the initial state of the filters that use each pixel's latest event time."""
    return np.full((sensor_size[0] + 2) * (sensor_size[1] + 2), LONG_AGO_US, np.int64)


def drop_background_activity(
    events: EventArray, last_us_P: Times, sensor_size: tuple[int, int], *, support_us: int
) -> tuple[EventArray, Times]:
    """Drop events without a recent neighbour; returns (events, state for the next chunk).

    An event is kept if one of its eight neighbours had an event, kept or not, earlier in the stream and at most
    `support_us` before. Noise of single pixels has no such neighbour; a moving object has.

    Args:
        last_us_P: the state returned for the previous chunk; `no_activity` for the first.

    Source: T. Delbruck, "Frame-free dynamic digital vision", 2008 (jAER's BackgroundActivityFilter).
    """
    pixel_N = pixels_of(events, sensor_size)
    kept_N = is_supported(events["t"], pixel_N, last_us_P, stride=sensor_size[0] + 2, support_us=support_us)
    return take(events, kept_N), remember(last_us_P.copy(), pixel_N, events["t"])


def drop_refractory(
    events: EventArray, last_us_P: Times, sensor_size: tuple[int, int], *, period_us: int
) -> tuple[EventArray, Times]:
    """Drop events within `period_us` of their pixel's previous event; returns (events, state for the next chunk).

    The previous event counts in either polarity, kept or not: a pixel without pauses is silenced.

    Args:
        last_us_P: the state returned for the previous chunk; `no_activity` for the first.

    Source: jAER's RefractoryFilter; the same as Tonic's RefractoryPeriod.
    """
    pixel_N = pixels_of(events, sensor_size)
    kept_N = is_rested(events["t"], pixel_N, last_us_P, period_us=period_us)
    return take(events, kept_N), remember(last_us_P.copy(), pixel_N, events["t"])


def pixels_of(events: EventArray, sensor_size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the flat index of each event's pixel on a sensor with a border of one pixel."""
    pixel_N: npt.NDArray[np.int64] = (events["y"].astype(np.int64) + 1) * (sensor_size[0] + 2) + events["x"] + 1
    return pixel_N


def take(events: EventArray, kept_N: Mask) -> EventArray:
    """Select the events of the mask, as opaque bytes: numpy is six times as fast on these as on structured elements."""
    kept: EventArray = events.view(f"V{EVENT_DTYPE.itemsize}")[kept_N].view(EVENT_DTYPE)
    return kept


def remember(last_us_P: Times, pixel_N: npt.NDArray[np.int64], t_us: Times) -> Times:
    """Write the time of each pixel's latest event into `last_us_P` in place, and return it."""
    # Times never decrease; of several events of a pixel the last one is assigned last.
    last_us_P[pixel_N] = t_us
    return last_us_P


def is_supported(
    t_us: Times, pixel_N: npt.NDArray[np.int64], last_us_P: Times, *, stride: int, support_us: int
) -> Mask:
    """Return the mask of the events that `drop_background_activity` keeps."""
    count = len(t_us)
    order_N = np.argsort(pixel_N, kind="stable")
    sorted_pixel_N, sorted_t_us = pixel_N[order_N], t_us[order_N]
    # Pixel and position in the stream as one key; a search finds a pixel's latest event before any position.
    key_N = sorted_pixel_N * count + order_N
    supported_N = np.zeros(count, np.bool_)
    for offset in (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1):
        neighbour_N = sorted_pixel_N + offset
        before_N = np.searchsorted(key_N, key_N + offset * count) - 1
        in_chunk_N = (before_N >= 0) & (sorted_pixel_N[before_N] == neighbour_N)
        seen_us_N = np.where(in_chunk_N, sorted_t_us[before_N], last_us_P[neighbour_N])
        supported_N |= sorted_t_us - seen_us_N <= support_us
    return _in_stream_order(supported_N, order_N)


def is_rested(t_us: Times, pixel_N: npt.NDArray[np.int64], last_us_P: Times, *, period_us: int) -> Mask:
    """Return the mask of the events that `drop_refractory` keeps."""
    order_N = np.argsort(pixel_N, kind="stable")
    sorted_pixel_N, sorted_t_us = pixel_N[order_N], t_us[order_N]
    before_us_N = last_us_P[sorted_pixel_N]
    again_N = np.flatnonzero(sorted_pixel_N[1:] == sorted_pixel_N[:-1]) + 1
    before_us_N[again_N] = sorted_t_us[again_N - 1]
    return _in_stream_order(sorted_t_us - before_us_N > period_us, order_N)


def _in_stream_order(sorted_N: Mask, order_N: npt.NDArray[np.intp]) -> Mask:
    mask_N = np.empty_like(sorted_N)
    mask_N[order_N] = sorted_N
    return mask_N
