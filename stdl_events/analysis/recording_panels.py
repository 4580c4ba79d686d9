"""Parts of a recording's picture, each as wide as a page: event rate, heat maps, frames.

Shape letters: C=2 polarities (0: darker, 1: brighter), R bins of time, H rows, W columns, N frames.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.bitmap_font import ADVANCE
from stdl_events.analysis.camera_pictures import CameraPictures
from stdl_events.analysis.canvas import (
    BLACK,
    GRAY,
    MARGIN,
    WIDTH,
    Canvas,
    Colour,
    Pixels,
    enlarged,
    shrink_factor,
    sum_squares,
)
from stdl_events.analysis.plots import OFF_COLOUR, ON_COLOUR, full_colour, polarity_picture, rgb_of
from stdl_events.analysis.recording_survey import Rate, Survey

SHEET_COLUMNS = 6
_TITLE = 12
# Ten equal steps of matplotlib's colour map viridis.
_VIRIDIS = tuple(
    "#440154 #482475 #414487 #355f8d #2a788e #21918c #22a884 #44bf70 #7ad151 #bddf26 #fde725".split()  # noqa: SIM905
)


def rate_panel(rate: Rate) -> Pixels:
    """Draw the events per second of each polarity over time."""
    left, top, width, height = 90, 26, WIDTH - 90 - 2 * MARGIN, 150
    canvas = Canvas(top + height + 34)
    highest = max(float(rate.rate_hz_CR.max()), 1.0)
    duration_us = rate.t_last_us - rate.t_first_us + 1
    bins_W = np.minimum(np.arange(width) * duration_us // (width * rate.bin_us), rate.rate_hz_CR.shape[1] - 1)
    for polarity, colour in ((1, rgb_of(ON_COLOUR)), (0, rgb_of(OFF_COLOUR))):
        y_W = top + ((1 - rate.rate_hz_CR[polarity][bins_W] / highest) * (height - 1)).round().astype(int)
        _stairs(canvas, left, y_W, colour)
    canvas.border(left, top, width, height, GRAY)
    canvas.text(left, 4, "events/s over the seconds from the first event: brighter (red), darker (blue)", colour=GRAY)
    for share in (0.0, 0.5, 1.0):
        canvas.text(left - 6, top + (1 - share) * (height - 8), f"{share * highest:,.0f}", align=1)
    step_us = _tick_us(duration_us)
    for t_us in range(0, duration_us + 1, step_us):
        canvas.text(left + t_us * width / duration_us, top + height + 6, f"{t_us / 1e6:g}", align=0.5)
    return canvas.pixels_HWC


def _tick_us(duration_us: int) -> int:
    """Return the round distance of at least three and at most nine ticks."""
    power = 10 ** max(0, len(str(duration_us // 3 or 1)) - 1)
    return next((step * power for step in (5, 2) if 3 * step * power <= duration_us), power)


def _stairs(canvas: Canvas, left: int, y_W: npt.NDArray[np.int_], colour: Colour) -> None:
    before_W = np.concatenate([y_W[:1], y_W[:-1]])
    for x, (low, high) in enumerate(zip(np.minimum(y_W, before_W), np.maximum(y_W, before_W), strict=True)):
        canvas.fill(left + x, int(low), 1, int(high - low) + 1, colour)


def heat_panel(survey: Survey) -> Pixels:
    """Draw the events per pixel of each polarity, on a logarithmic scale."""
    half, room, bar = WIDTH // 2, (WIDTH // 2 - 120, 380), 16
    heat_CHW = sum_squares(survey.heat_CHW, shrink_factor(survey.heat_CHW.shape, *room))
    highest = max(2, int(heat_CHW.max()))
    shade_CHW = np.log(np.maximum(heat_CHW, 1)) / math.log(highest)
    colours_N = np.array([rgb_of(colour) for colour in _VIRIDIS])
    steps_N = np.linspace(0, 1, len(colours_N))
    shown: list[Pixels] = []
    for polarity in (0, 1):
        rgb_HWC = np.stack([np.interp(shade_CHW[polarity], steps_N, colours_N[:, part]) for part in range(3)], axis=-1)
        rgb_HWC[heat_CHW[polarity] == 0] = 255
        shown.append(enlarged(rgb_HWC.round().astype(np.uint8), *room))
    height, width = shown[0].shape[:2]
    canvas = Canvas(height + 40)
    for polarity, name in enumerate(("darker", "brighter")):
        x, y = polarity * half + MARGIN, 22
        events = int(survey.heat_CHW[polarity].sum())
        canvas.text(x, 6, f"{name}: {events:,} events; {survey.sensor_size[0]} x {survey.sensor_size[1]} pixels")
        canvas.paste(x, y, shown[polarity])
        canvas.border(x, y, width, height)
        scale_HWC = np.stack(
            [np.interp(np.linspace(1, 0, height), steps_N, colours_N[:, part]) for part in range(3)], -1
        )
        canvas.paste(x + width + 10, y, scale_HWC[:, None].repeat(bar, axis=1).round().astype(np.uint8))
        canvas.text(x + width + bar + 16, y, f"{highest:,}")
        canvas.text(x + width + bar + 16, y + height - 8, "1 event")
    return canvas.pixels_HWC


def frames_panel(survey: Survey, pictures: CameraPictures | None, said: Sequence[str] = ()) -> Pixels:
    """Draw the kept frames in rows; below each what was `said` of it, and the camera's picture, if there are any."""
    columns = _columns(survey.frames_NCHW.shape)
    cell = _cell(columns)
    rows = max(1, math.ceil(len(survey.frames_NCHW) / columns))
    below = shown_size(survey.frames_NCHW.shape, cell)[0] + _TITLE + 6
    side = below + (_TITLE if said else 0)
    pitch = side + picture_height(pictures, cell)
    canvas = Canvas(26 + rows * pitch)
    text = (
        f"{len(survey.frames_NCHW)} of {survey.frame_count:,} frames: pixels that became brighter (red), darker (blue)"
    )
    if said:
        text += "; below each, what was said of its clip"
    if pictures is not None:
        text += "; below each, the picture nearest in time, and how much later it was taken"
    canvas.text(WIDTH / 2, 6, text, colour=GRAY, align=0.5)
    scale = full_colour(survey.frames_NCHW)
    for number, counts_CHW in enumerate(survey.frames_NCHW):
        x = MARGIN + number % columns * (cell + 8)
        y = 26 + number // columns * pitch
        paste_frame(canvas, x, y, cell, counts_CHW, scale, f"{survey.frame_indices_N[number] + 1:,}")
        if said:
            canvas.text(x + cell / 2, y + below, said[number][: cell // ADVANCE], align=0.5)
        if pictures is not None:
            paste_picture(canvas, x, y + side, cell, pictures, number)
    return canvas.pixels_HWC


def _cell(columns: int) -> int:
    return (WIDTH - 2 * MARGIN) // columns - 8


def _columns(shape: tuple[int, ...]) -> int:
    """Return the most columns, at most `SHEET_COLUMNS`, in which a frame of `shape` [..., H, W] is not shrunk."""
    return next((columns for columns in range(SHEET_COLUMNS, 1, -1) if max(shape[-2:]) <= _cell(columns)), 1)


def paste_picture(canvas: Canvas, x: int, y: int, cell: int, pictures: CameraPictures, number: int) -> None:
    """Draw a picture below how much later than its frame it was taken."""
    shown = _as_drawn(pictures.gray_or_rgb_N[number], cell)
    canvas.text(x + cell / 2, y, f"{int(pictures.late_us_N[number]) / 1000:+.1f} ms", align=0.5)
    canvas.paste(x + (cell - shown.shape[1]) // 2, y + _TITLE, shown)


def picture_height(pictures: CameraPictures | None, cell: int) -> int:
    """Return the height of a row of `pictures` with their titles; 0 without any."""
    if pictures is None:
        return 0
    return max(_as_drawn(picture, cell).shape[0] for picture in pictures.gray_or_rgb_N) + _TITLE + 6


def _as_drawn(picture: npt.NDArray[np.uint8], cell: int) -> npt.NDArray[np.uint8]:
    step = shrink_factor(picture.shape[:2], cell, cell)
    return enlarged(picture[::step, ::step], cell, cell)


def shown_size(shape: tuple[int, ...], cell: int) -> tuple[int, int]:
    """Return (height, width) of a frame of `shape` [..., H, W] drawn by `paste_frame`."""
    shrink = shrink_factor(shape, cell, cell)
    height, width = -(-shape[-2] // shrink), -(-shape[-1] // shrink)
    enlarge = max(1, min(cell // width, cell // height))
    return height * enlarge, width * enlarge


def paste_frame(
    canvas: Canvas, x: int, y: int, cell: int, counts_CHW: npt.NDArray[np.integer], scale: float, title: str
) -> None:
    """Draw one frame below its title, in the middle of a square of `cell` pixels a side.

    Args:
        scale: the count with the full colour.
    """
    counts_CHW = sum_squares(counts_CHW, shrink_factor(counts_CHW.shape, cell, cell))
    shown = enlarged(polarity_picture(counts_CHW, scale), cell, cell)
    height, width = shown.shape[:2]
    canvas.text(x + cell / 2, y, title, colour=BLACK, align=0.5)
    x, y = x + (cell - width) // 2, y + _TITLE
    canvas.paste(x, y, shown)
    canvas.border(x, y, width, height)
