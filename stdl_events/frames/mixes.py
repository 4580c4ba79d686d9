"""Mixes of two clips: one clip with events of both, and the share of the first one's class in its target.

Pure functions of count frames [T, C, H, W]. Counts stay integers, so that mixed clips are clips of events.

Shape letters: T windows of a clip, C=2 polarities, H rows, W columns.
"""

import math

import numpy as np
import numpy.typing as npt

from stdl_events.events.transforms import Factor, Positive
from stdl_events.frames.event_transforms import MAX_UINT8
from stdl_events.frames.transforms import Frames


def mixup(
    one: Frames, other: Frames, *, rng: np.random.Generator, alpha: Factor = 1.0, cap: Positive = MAX_UINT8
) -> tuple[Frames, float]:
    """Overlay both clips, thinned: each event of the first is kept with probability λ, of the other with 1 - λ.

    The expected count is λ times the one and 1 - λ times the other, below the `cap`. The share is λ.

    Args:
        alpha: λ is drawn from Beta(alpha, alpha).
        cap: counts saturate at this value, as in `FrameSpec`.

    Source: H. Zhang et al., "mixup: beyond empirical risk minimization", arXiv:1710.09412, of counts instead of pixels.
    """
    share = float(rng.beta(alpha, alpha))
    mixed = np.zeros(one.shape, np.int64)
    for frames, kept in ((one, share), (other, 1 - share)):
        counted = frames > 0
        mixed[counted] += rng.binomial(frames[counted], kept)
    return np.minimum(mixed, cap).astype(one.dtype), share


def cutmix(one: Frames, other: Frames, *, rng: np.random.Generator, alpha: Factor = 1.0) -> tuple[Frames, float]:
    """Replace a random rectangle, in all windows, by that of the other clip. The share is that of the area that stays.

    Args:
        alpha: the area that is to stay is drawn from Beta(alpha, alpha); what of the rectangle is outside is cut off.

    Source: S. Yun et al., "CutMix", arXiv:1905.04899; for event frames in Y. Li et al., "Neuromorphic data augmentation
    for training spiking neural networks", arXiv:2203.06145.
    """
    rows, columns = one.shape[-2:]
    side = math.sqrt(1 - rng.beta(alpha, alpha))
    top, bottom = _part(rows, side, rng)
    left, right = _part(columns, side, rng)
    mixed = one.copy()
    mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (rows * columns)


def eventmix(
    one: Frames, other: Frames, *, rng: np.random.Generator, alpha: Factor = 1.0, parts: Positive = 3
) -> tuple[Frames, float]:
    """Replace random blobs in space and time by those of the other clip. The share is that of the events that stay.

    The blobs are where a mixture of Gaussians is above a quantile of it.

    Args:
        alpha: the volume that is to stay is drawn from Beta(alpha, alpha).
        parts: number of Gaussians.

    Source: G. Shen, D. Zhao, Y. Zeng, "EventMix", Information Sciences 644, 2023, arXiv:2205.12054, with targets by the
    number of events; sizes of the Gaussians are ours: 0.1 to 0.5 of each axis.
    """
    axes = [np.linspace(0, 1, size) for size in (one.shape[0], *one.shape[-2:])]
    density = np.zeros([len(axis) for axis in axes])
    for _ in range(parts):
        t, y, x = (np.exp(-(((axis - rng.random()) / rng.uniform(0.1, 0.5)) ** 2) / 2) for axis in axes)
        density += t[:, None, None] * y[:, None] * x
    mask_THW = density > np.quantile(density, rng.beta(alpha, alpha))
    mixed = np.where(mask_THW[:, None], other, one)
    kept, all_events = _events(one[_each_channel(~mask_THW, one)]), _events(mixed)
    return mixed, kept / all_events if all_events else 1 - float(mask_THW.mean())


def _part(size: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return the part of [0, size) of an interval of `share` of it around a random place."""
    length, middle = round(share * size), int(rng.integers(0, size))
    return max(0, middle - length // 2), min(size, middle - length // 2 + length)


def _each_channel(mask_THW: npt.NDArray[np.bool_], like: Frames) -> npt.NDArray[np.bool_]:
    return np.broadcast_to(mask_THW[:, None], like.shape)


def _events(frames: Frames) -> int:
    return int(frames.sum(dtype=np.int64))
