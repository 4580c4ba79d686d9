"""Transforms of clips: pure functions of count frames, each with one draw for all steps of a clip.

Frames are [..., H, W] and keep their type; where time matters, [T, ..., H, W]. Random ones draw from the generator
that they are given, so that a clip changes in the same way in all its frames, and a run can be repeated.
`functools.partial` makes a function one step of Tonic's `Compose`: `partial(random_flip_x, rng=rng)`.

Counts are made binary or capped where they are made, by `FrameSpec.cap`.

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
    """The part [top, top + height) x [left, left + width), as a view.

    Raises:
        FrameSpecError: the part does not lie within the frame.
    """
    rows, columns = frames.shape[-2:]
    if not (left >= 0 and top >= 0 and 1 <= width <= columns - left and 1 <= height <= rows - top):
        raise FrameSpecError(
            "crop", got=f"{width}x{height} at ({left}, {top})", expected=f"a part of a frame of {columns}x{rows}",
            todo="correct its size or place",
        )  # fmt: skip
    return frames[..., top : top + height, left : left + width]


def random_crop(frames: Frames, *, width: Positive, height: Positive, rng: np.random.Generator) -> Frames:
    """A part of this size, anywhere.

    Raises:
        FrameSpecError: frames are smaller than that.
    """
    rows, columns = frames.shape[-2:]
    top = int(rng.integers(0, max(0, rows - height) + 1))
    left = int(rng.integers(0, max(0, columns - width) + 1))
    return crop(frames, left=left, top=top, width=width, height=height)


def random_zoom(frames: Frames, *, least: Share, rng: np.random.Generator) -> Frames:
    """A part whose sides are a share of the frame's between `least` and 1, enlarged to the frame again.

    Enlarged by picking pixels, so that counts stay counts and binary frames binary.
    """
    rows, columns = frames.shape[-2:]
    share = rng.uniform(least, 1)
    part = random_crop(frames, width=max(1, round(share * columns)), height=max(1, round(share * rows)), rng=rng)
    return resize(part, width=columns, height=rows, method="nearest")


def shift(frames: Frames, *, dx: int, dy: int) -> Frames:
    """Everything `dx` pixels to the right and `dy` down; what leaves is lost, what enters is empty."""
    rows, columns = frames.shape[-2:]
    shifted = np.zeros_like(frames)
    if abs(dx) < columns and abs(dy) < rows:
        to_rows, from_rows = _overlap(dy, rows)
        to_columns, from_columns = _overlap(dx, columns)
        shifted[..., to_rows, to_columns] = frames[..., from_rows, from_columns]
    return shifted


def random_shift(frames: Frames, *, reach_px: NotNegative, rng: np.random.Generator) -> Frames:
    """A shift of at most `reach_px` along each axis."""
    dy, dx = reach_px - rng.integers(0, 2 * reach_px + 1, 2)
    return shift(frames, dx=int(dx), dy=int(dy))


def roll(frames: Frames, *, dx: int, dy: int) -> Frames:
    """Everything `dx` pixels to the right and `dy` down; what leaves enters again on the other side."""
    return np.roll(frames, (dy, dx), axis=(-2, -1))


def random_roll(frames: Frames, *, reach_px: NotNegative, rng: np.random.Generator) -> Frames:
    """A roll of at most `reach_px` along each axis."""
    dy, dx = reach_px - rng.integers(0, 2 * reach_px + 1, 2)
    return roll(frames, dx=int(dx), dy=int(dy))


def flip_x(frames: Frames) -> Frames:
    """Left and right exchanged, as a view."""
    return frames[..., ::-1]


def random_flip_x(frames: Frames, *, rng: np.random.Generator, probability: Share = 0.5) -> Frames:
    """Left and right exchanged in a share `probability` of all calls."""
    return flip_x(frames) if rng.random() < probability else frames


def drop_random(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """Every event gone with probability `share`: each count is thinned by itself."""
    kept, counted = frames.copy(), frames > 0
    kept[counted] = rng.binomial(frames[counted], 1 - share)
    return kept


def drop_time(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """A stretch of `share` of the T steps emptied, anywhere in the clip."""
    steps = len(frames)
    length = round(share * steps)
    start = int(rng.integers(0, steps - length + 1))
    kept = frames.copy()
    kept[start : start + length] = 0
    return kept


def drop_area(frames: Frames, *, share: Share, rng: np.random.Generator) -> Frames:
    """A rectangle of `share` of the frame's area and of its proportions emptied in all steps, anywhere in the frame."""
    rows, columns = frames.shape[-2:]
    height, width = round(math.sqrt(share) * rows), round(math.sqrt(share) * columns)
    top, left = int(rng.integers(0, rows - height + 1)), int(rng.integers(0, columns - width + 1))
    kept = frames.copy()
    kept[..., top : top + height, left : left + width] = 0
    return kept


def event_drop(frames: Frames, *, rng: np.random.Generator) -> Frames:
    """One of four, as `draw_event_drop` draws: nothing, `drop_time`, `drop_area`, `drop_random`."""
    kind, share = draw_event_drop(rng)
    if kind == "time":
        return drop_time(frames, share=share, rng=rng)
    if kind == "area":
        return drop_area(frames, share=share, rng=rng)
    if kind == "random":
        return drop_random(frames, share=share, rng=rng)
    return frames


def _overlap(distance: int, size: int) -> tuple[slice, slice]:
    """Where pixels go to and come from along one axis."""
    return slice(max(0, distance), size + min(0, distance)), slice(max(0, -distance), size - max(0, distance))
