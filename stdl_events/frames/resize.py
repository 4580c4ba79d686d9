"""Resizing of frames.

Both passes of a resize are linear, so each is one matrix of weights: out = rows @ frame @ columns.T.

Shape letters: H and W rows and columns of a frame, I pixels along one axis before and O after.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError

Method = Literal["area", "bilinear", "nearest"]
Weights = npt.NDArray[np.float64]

# Fractional bits of the weights in Pillow's resize of 8-bit pixels.
WEIGHT_BITS = 22


def resize(frames: npt.NDArray[Any], *, width: int, height: int, method: Method = "bilinear") -> npt.NDArray[Any]:
    """Resize frames [..., H, W] to [..., height, width].

    Args:
        method: "area" is the mean over the covered pixels; "bilinear" weighs by a triangle, widened by the scale where
            frames shrink, so that every event counts; both return float32. "nearest" picks pixels: counts keep their
            type, and binary frames stay binary.

    Raises:
        FrameSpecError: the method is unknown, or a side is not positive.
    """
    _check_size(width, height)
    before_H, before_W = frames.shape[-2:]
    if method == "nearest":
        rows = (np.arange(height) * 2 + 1) * before_H // (2 * height)
        columns = (np.arange(width) * 2 + 1) * before_W // (2 * width)
        return frames[..., rows[:, None], columns]
    if method not in ("area", "bilinear"):
        raise FrameSpecError(
            "resize: method", got=repr(method), expected="area, bilinear or nearest", todo="choose one of them"
        )
    weights = _area_weights if method == "area" else _triangle_weights
    resized = weights(before_H, height) @ frames @ weights(before_W, width).T
    return np.asarray(resized, np.float32)


def legacy_la(frames: npt.NDArray[np.integer[Any]], *, width: int, height: int) -> npt.NDArray[np.float32]:
    """Convert count frames [..., 2, H, W] as in the published CIFAR10-DVS results of SLTT, OTTT and NDOT.

    Their code turns frames of float counts into pictures and back. A picture of two channels is grey and alpha, in
    bytes: a count n becomes -n modulo 256, so that 1 is nearly the largest value. Resizing weighs grey by alpha, so
    that channel 0 fades where channel 1 has no events. Returns values from 0 to 1, [..., 2, height, width].

    Raises:
        FrameSpecError: frames do not have two channels, or a side is not positive.

    Source: the released training scripts of SLTT (frames of spikingjelly, torchvision's ToPILImage, Resize(48) and
    ToTensor), whose arithmetic is Pillow's.
    """
    _check_size(width, height)
    if frames.ndim < 3 or frames.shape[-3] != 2:
        raise FrameSpecError(
            "legacy_la", got=f"frames of shape {frames.shape}", expected="[..., 2, H, W], darker and brighter",
            todo="give frames of both polarities",
        )  # fmt: skip
    grey = -np.asarray(frames[..., 0, :, :], np.int64) % 256
    alpha = -np.asarray(frames[..., 1, :, :], np.int64) % 256
    if frames.shape[-2:] != (height, width):
        rounded = grey * alpha + 128
        grey = _resize_bytes(((rounded >> 8) + rounded) >> 8, width, height)
        alpha = _resize_bytes(alpha, width, height)
        divided = np.minimum(255 * grey // np.maximum(alpha, 1), 255)
        grey = np.where((alpha == 0) | (alpha == 255), grey, divided)
    bytes_2HW: npt.NDArray[np.float32] = np.stack([grey, alpha], axis=-3).astype(np.float32)
    return bytes_2HW / np.float32(255)


def _resize_bytes(pixels: npt.NDArray[np.int64], width: int, height: int) -> npt.NDArray[np.int64]:
    """Resize rows first, rounding after each pass to bytes, as Pillow does."""
    half = 1 << (WEIGHT_BITS - 1)
    columns_OI = _whole_weights(pixels.shape[-1], width)
    pixels = np.clip((pixels @ columns_OI.T + half) >> WEIGHT_BITS, 0, 255)
    rows_OI = _whole_weights(pixels.shape[-2], height)
    return np.clip((rows_OI @ pixels + half) >> WEIGHT_BITS, 0, 255)


def _whole_weights(before: int, after: int) -> npt.NDArray[np.int64]:
    return np.floor(_triangle_weights(before, after) * (1 << WEIGHT_BITS) + 0.5).astype(np.int64)


def _triangle_weights(before: int, after: int) -> Weights:
    """Return [O, I]: a triangle around each new pixel's centre, with a half-width of one old or one new pixel."""
    scale = before / after
    support = max(scale, 1.0)
    centre_O = (np.arange(after) + 0.5) * scale
    distance_OI = (np.arange(before) + 0.5 - centre_O[:, None]) / support
    weights_OI = np.maximum(1 - np.abs(distance_OI), 0)
    # Pillow's rounding selects the pixels: one that the foot of a triangle only touches is excluded.
    first_O = np.maximum(np.trunc(centre_O - support + 0.5), 0)[:, None]
    last_O = np.minimum(np.trunc(centre_O + support + 0.5), before)[:, None]
    position_I = np.arange(before)
    weights_OI *= (position_I >= first_O) & (position_I < last_O)
    normalised: Weights = weights_OI / weights_OI.sum(axis=1, keepdims=True)
    return normalised


def _area_weights(before: int, after: int) -> Weights:
    """Return [O, I]: equal weights for all old pixels that a new one touches."""
    first_O = np.arange(after) * before // after
    end_O = -(-(np.arange(after) + 1) * before // after)
    position_I = np.arange(before)
    covers_OI = (position_I >= first_O[:, None]) & (position_I < end_O[:, None])
    weights: Weights = covers_OI / covers_OI.sum(axis=1, keepdims=True)
    return weights


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise FrameSpecError(
            "resize", got=f"{width}x{height}", expected="a width and a height of at least 1", todo="correct the size"
        )
