"""Transforms of clips that only counts of events have: their rate, polarity, pace, and the place of their motion.

Pure functions of [T, C, H, W] with one draw for a clip, as in `transforms`. Counts stay integers: where a share of an
event would remain, it is drawn whether the event does.

Shape letters: T windows of a clip, C=2 polarities, H rows, W columns.
"""

import math
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stdl_events.errors import FrameSpecError
from stdl_events.events.transforms import Factor, NotNegative, Positive, Share
from stdl_events.frames.transforms import Frames, shift

MAX_UINT8 = 255
Reach = Annotated[float, Field(ge=0, lt=1)]
Mean = Annotated[float, Field(ge=0)]


def random_rate(
    frames: Frames, *, least: Factor, most: Factor, rng: np.random.Generator, cap: Positive = MAX_UINT8
) -> Frames:
    """Multiply the rate of events by a factor between `least` and `most`, uniform in its logarithm.

    A factor of 0.3 keeps each event with probability 0.3 (binomial thinning); one of 2.3 counts each event twice, and
    with probability 0.3 once more. The expected count is the factor times the count, below the `cap`.

    Args:
        cap: counts saturate at this value, as in `FrameSpec`.

    Raises:
        FrameSpecError: `least` is above `most`.
    """
    factor = _factor_between("random_rate", least, most, rng)
    whole = math.floor(factor)
    counted = frames > 0
    counts = frames[counted].astype(np.int64)
    changed = frames.copy()
    changed[counted] = np.minimum(counts * whole + rng.binomial(counts, factor - whole), cap)
    return changed


def flip_polarity(frames: Frames) -> Frames:
    """Exchange ON and OFF events, as a view.

    Raises:
        FrameSpecError: the frames have no two polarities.
    """
    if frames.shape[-3] != 2:
        raise FrameSpecError(
            "flip_polarity", got=f"{frames.shape[-3]} channels", expected="2, one for each polarity",
            todo="use it for frames of events",
        )  # fmt: skip
    return frames[..., ::-1, :, :]


def random_flip_polarity(frames: Frames, *, rng: np.random.Generator, probability: Share = 0.5) -> Frames:
    """Exchange ON and OFF events in a share `probability` of all calls.

    The whole clip changes: brighter becomes darker. Tonic's `RandomFlipPolarity` draws for each event instead.
    """
    return flip_polarity(frames) if rng.random() < probability else frames


def random_time_warp(frames: Frames, *, reach: Reach, rng: np.random.Generator, cap: Positive = MAX_UINT8) -> Frames:
    """Speed up some parts of a clip and slow down others, along a smooth curve that keeps its ends.

    Events are counted again in T equal windows of the warped time; each goes on with its window, uniformly inside it.
    None is lost or added below the `cap`. For windows of equal time: windows of equal counts have no pace.

    Args:
        reach: greatest relative change of speed; 0 changes nothing.
        cap: counts saturate at this value, as in `FrameSpec`.
    """
    steps = len(frames)
    first, second = rng.uniform(-reach / 2, reach / 2, 2)
    ends = warped(np.linspace(0, 1, steps + 1), first, second) * steps
    changed = np.zeros(frames.shape, np.int64)
    for window, frame in enumerate(frames):
        _spread(frame.astype(np.int64), ends[window], ends[window + 1], changed, rng)
    return np.minimum(changed, cap).astype(frames.dtype)


def warped(time: npt.NDArray[np.float64], first: float, second: float) -> npt.NDArray[np.float64]:
    """Return the warped `time` in [0, 1]: increasing where |first| + |second| < 1; its slope is the inverse speed."""
    warp: npt.NDArray[np.float64] = (
        time + first * np.sin(np.pi * time) / np.pi + second * np.sin(2 * np.pi * time) / (2 * np.pi)
    )
    return warp


def random_centre(frames: Frames, *, reach_px: NotNegative, rng: np.random.Generator) -> Frames:
    """Shift a clip so that the middle of its events lies at most `reach_px` from the middle of the frame on each axis.

    The middle is the median column and row of all events of the clip. What is shifted out of the frame is lost. With it
    the place of a motion tells nothing about its class; it changes training clips alone, so `reach_px` should cover the
    places that occur in use.
    """
    dy, dx = (int(draw) for draw in rng.integers(-reach_px, reach_px + 1, 2))
    counts_HW = frames.reshape(-1, *frames.shape[-2:]).sum(0, dtype=np.int64)
    if not counts_HW.any():
        return frames
    rows, columns = counts_HW.shape
    return shift(
        frames, dx=columns // 2 - _median(counts_HW.sum(0)) + dx, dy=rows // 2 - _median(counts_HW.sum(1)) + dy
    )


def random_scale(
    frames: Frames, *, least: Factor, most: Factor, rng: np.random.Generator, cap: Positive = MAX_UINT8
) -> Frames:
    """Scale the picture about its middle by a factor between `least` and `most`, uniform in its logarithm.

    Shrunk, the counts of pixels that become one are summed, below the `cap`, and the margin is empty; enlarged, pixels
    are repeated, and what leaves the frame is lost. Counts keep their type, and binary frames stay binary.

    Args:
        least, most: such as 0.8 and 1.25.
        cap: counts saturate at this value, as in `FrameSpec`.

    Raises:
        FrameSpecError: `least` is above `most`.
    """
    factor = _factor_between("random_scale", least, most, rng)
    rows_OI, columns_OI = (_scaled_pixels(size, factor) for size in frames.shape[-2:])
    counts = rows_OI @ frames.astype(np.float32) @ columns_OI.T
    return np.minimum(counts, cap).astype(frames.dtype)


def random_noise(frames: Frames, *, most: Mean, rng: np.random.Generator, cap: Positive = MAX_UINT8) -> Frames:
    """Add background events: in each pixel, polarity and frame a Poisson number of the same mean.

    The mean is uniform between 0 and `most`, drawn once for a clip: quiet clips and noisy ones.

    Args:
        most: greatest mean number of added events, such as 0.05.
        cap: counts saturate at this value, as in `FrameSpec`.
    """
    noise = rng.poisson(rng.uniform(0, most), frames.shape)
    return np.minimum(frames + noise, cap).astype(frames.dtype)


def _factor_between(name: str, least: float, most: float, rng: np.random.Generator) -> float:
    if least > most:
        raise FrameSpecError(
            name, got=f"least={least} and most={most}", expected="least at most as large as most", todo="swap them"
        )
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def _scaled_pixels(size: int, factor: float) -> npt.NDArray[np.float32]:
    """Return which pixels I of a row become the pixels O of the scaled one: ones in a matrix of zeros [O, I]."""
    pixels, middle = np.arange(size), size / 2
    ones_OI = np.zeros((size, size), np.float32)
    if factor < 1:
        ones_OI[np.floor((pixels + 0.5 - middle) * factor + middle).astype(int), pixels] = 1
    else:
        ones_OI[pixels, np.floor((pixels + 0.5 - middle) / factor + middle).astype(int)] = 1
    return ones_OI


def _median(counts: npt.NDArray[np.int64]) -> int:
    """Return the index at which half of the counts is reached."""
    sums = counts.cumsum()
    return int(np.searchsorted(sums, sums[-1] / 2))


def _spread(
    counts: npt.NDArray[np.int64], begin: float, end: float, into: npt.NDArray[Any], rng: np.random.Generator
) -> None:
    """Add counts of events, uniform between `begin` and `end` in units of windows, to the windows `into`."""
    counted = counts > 0
    left = counts[counted]
    last = min(len(into) - 1, math.ceil(end) - 1)
    for window in range(math.floor(begin), last):
        share = min(1.0, (window + 1 - begin) / (end - begin))
        moved = rng.binomial(left, share)
        into[window][counted] += moved
        left, begin = left - moved, float(window + 1)
    into[last][counted] += left
