"""Transforms of clips: pure functions of count frames, each with one draw for all steps of a clip.

Frames are [..., H, W] and keep their type; where time matters, [T, ..., H, W]. Random transforms draw from the
generator passed to them, so that all frames of a clip change alike and a run is reproducible.
`functools.partial` makes a function one step of Tonic's `Compose`: `partial(random_flip_x, rng=rng)`.

Binary and capped counts come from `FrameSpec.cap`.

Shape letters: T steps, H rows, W columns.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError
from stdl_events.events.transforms import NotNegative, Positive, Share, draw_event_drop
from stdl_events.frames.resize import resize

Frames = npt.NDArray[Any]


def crop(frames: Frames, *, left: NotNegative, top: NotNegative, width: Positive, height: Positive) -> Frames:
    """Return the part [top, top + height) x [left, left + width), as a view.

    Raises:
        FrameSpecError: the part exceeds the frame.
    """
    rows, columns = frames.shape[-2:]
    if not (left >= 0 and top >= 0 and 1 <= width <= columns - left and 1 <= height <= rows - top):
        raise FrameSpecError(
            "crop", got=f"{width}x{height} at ({left}, {top})", expected=f"a part of a frame of {columns}x{rows}",
            todo="correct its size or place",
        )  # fmt: skip
    return frames[..., top : top + height, left : left + width]


def random_crop(frames: Frames, *, width: Positive, height: Positive, rng: np.random.Generator) -> Frames:
    """Crop to a random window of this size, as a view.

    Raises:
        FrameSpecError: the frames are smaller.
    """
    rows, columns = frames.shape[-2:]
    top = int(rng.integers(0, max(0, rows - height) + 1))
    left = int(rng.integers(0, max(0, columns - width) + 1))
    return crop(frames, left=left, top=top, width=width, height=height)


def random_zoom(frames: Frames, *, least: Share, rng: np.random.Generator) -> Frames:
    """Crop to a random share of the sides between `least` and 1, and enlarge to the frame's size.

    Nearest neighbour: counts keep their type, and binary frames stay binary.
    """
    rows, columns = frames.shape[-2:]
    share = rng.uniform(least, 1)
    part = random_crop(frames, width=max(1, round(share * columns)), height=max(1, round(share * rows)), rng=rng)
    return resize(part, width=columns, height=rows, method="nearest")


def shift(frames: Frames, *, dx: int, dy: int) -> Frames:
    """Shift by `dx` pixels to the right and `dy` down; the uncovered area is zero."""
    rows, columns = frames.shape[-2:]
    shifted = np.zeros_like(frames)
    if abs(dx) < columns and abs(dy) < rows:
        to_rows, from_rows = _overlap(dy, rows)
        to_columns, from_columns = _overlap(dx, columns)
        shifted[..., to_rows, to_columns] = frames[..., from_rows, from_columns]
    return shifted


def random_shift(frames: Frames, *, reach_px: NotNegative, rng: np.random.Generator) -> Frames:
    """Shift by at most `reach_px` along each axis."""
    dy, dx = reach_px - rng.integers(0, 2 * reach_px + 1, 2)
    return shift(frames, dx=int(dx), dy=int(dy))


def roll(frames: Frames, *, dx: int, dy: int) -> Frames:
    """Shift by `dx` pixels to the right and `dy` down, cyclically."""
    return np.roll(frames, (dy, dx), axis=(-2, -1))


def random_roll(frames: Frames, *, reach_px: NotNegative, rng: np.random.Generator) -> Frames:
    """Roll by at most `reach_px` along each axis."""
    dy, dx = reach_px - rng.integers(0, 2 * reach_px + 1, 2)
    return roll(frames, dx=int(dx), dy=int(dy))


def flip_x(frames: Frames) -> Frames:
    """Mirror left to right, as a view."""
    return frames[..., ::-1]


def random_flip_x(frames: Frames, *, rng: np.random.Generator, probability: Share = 0.5) -> Frames:
    """Mirror left to right in a share `probability` of all calls."""
    return flip_x(frames) if rng.random() < probability else frames


def drop_random(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """Drop every event with probability `share`: each count is thinned independently."""
    kept, counted = frames.copy(), frames > 0
    kept[counted] = rng.binomial(frames[counted], 1 - share)
    return kept


def drop_time(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """Zero a random interval of `share` of the T steps."""
    steps = len(frames)
    length = round(share * steps)
    start = int(rng.integers(0, steps - length + 1))
    kept = frames.copy()
    kept[start : start + length] = 0
    return kept


def drop_area(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """Zero a random rectangle of `share` of the frame's area, with its aspect ratio, in all steps."""
    rows, columns = frames.shape[-2:]
    height, width = round(math.sqrt(share) * rows), round(math.sqrt(share) * columns)
    top, left = int(rng.integers(0, rows - height + 1)), int(rng.integers(0, columns - width + 1))
    kept = frames.copy()
    kept[..., top : top + height, left : left + width] = 0
    return kept


def cutout(frames: Frames, *, side_px: Positive, rng: np.random.Generator) -> Frames:
    """Zero a square of `side_px` around a random pixel, as much of it as is inside, in all steps.

    Source: T. DeVries, G. Taylor, arXiv:1708.04552, section 3.2. Zero is black in static pictures.
    """
    rows, columns = frames.shape[-2:]
    top, left = (int(rng.integers(0, size)) - side_px // 2 for size in (rows, columns))
    kept = frames.copy()
    kept[..., max(0, top) : max(0, top + side_px), max(0, left) : max(0, left + side_px)] = 0
    return kept


def event_drop(frames: Frames, *, rng: np.random.Generator) -> Frames:
    """Apply a drop drawn by `draw_event_drop`: nothing, `drop_time`, `drop_area`, `drop_random`."""
    kind, share = draw_event_drop(rng)
    if kind == "time":
        return drop_time(frames, share=share, rng=rng)
    if kind == "area":
        return drop_area(frames, share=share, rng=rng)
    if kind == "random":
        return drop_random(frames, share=share, rng=rng)
    return frames


def _overlap(distance: int, size: int) -> tuple[slice, slice]:
    """Return the target and source slices of a shift along one axis."""
    return slice(max(0, distance), size + min(0, distance)), slice(max(0, -distance), size - max(0, distance))
