"""Pictures as arrays, drawn and written as PNG with numpy and zlib alone, so that the base install draws.

Shape letters: H rows, W columns, C=3 colours.
"""

import struct
import textwrap
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.bitmap_font import ADVANCE, HEIGHT, text_mask

Pixels: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

WIDTH, MARGIN = 1100, 12
BLACK, GRAY, LIGHT = (34, 34, 34), (110, 110, 110), (204, 204, 204)
TEXT_SIZE = 2


class Canvas:
    """A white picture to draw on.

    Attributes:
        pixels_HWC: uint8.
    """

    def __init__(self, height: int, width: int = WIDTH) -> None:
        self.pixels_HWC: Pixels = np.full((height, width, 3), 255, np.uint8)

    def text(self, x: float, y: float, text: str, *, size: int = 1, colour: Colour = BLACK, align: float = 0.0) -> None:
        """Write one line; `x` is its left end, with `align` 0.5 its middle, with 1 its right end."""
        mask_HW = text_mask(text).repeat(size, axis=0).repeat(size, axis=1)
        left = max(0, round(x - align * mask_HW.shape[1]))
        target_HWC = self.pixels_HWC[round(y) : round(y) + mask_HW.shape[0], left : left + mask_HW.shape[1]]
        target_HWC[mask_HW[: target_HWC.shape[0], : target_HWC.shape[1]]] = colour

    def paste(self, x: int, y: int, picture_HWC: npt.NDArray[Any]) -> None:
        """Draw a picture with its left upper corner at (x, y): uint8, or floats from 0 to 1; gray without colours."""
        if picture_HWC.dtype != np.uint8:
            picture_HWC = (picture_HWC * 255).round().astype(np.uint8)
        if picture_HWC.ndim == 2:
            picture_HWC = picture_HWC[..., None]
        self.pixels_HWC[y : y + picture_HWC.shape[0], x : x + picture_HWC.shape[1]] = picture_HWC

    def fill(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle."""
        self.pixels_HWC[y : y + height, x : x + width] = colour

    def border(self, x: int, y: int, width: int, height: int, colour: Colour = LIGHT) -> None:
        """Draw a line of one pixel around a rectangle."""
        self.fill(x - 1, y - 1, width + 2, 1, colour)
        self.fill(x - 1, y + height, width + 2, 1, colour)
        self.fill(x - 1, y - 1, 1, height + 2, colour)
        self.fill(x + width, y - 1, 1, height + 2, colour)


def text_panel(lines: Sequence[str], size: int = TEXT_SIZE, colour: Colour = BLACK) -> Pixels:
    """Return lines of text, wrapped at the width of a page."""
    per_line = (WIDTH - 2 * MARGIN) // (size * ADVANCE)
    wrapped = [part for line in lines for part in textwrap.wrap(line, per_line, subsequent_indent="    ") or [""]]
    pitch = size * HEIGHT + 4
    canvas = Canvas(len(wrapped) * pitch + MARGIN)
    for number, line in enumerate(wrapped):
        canvas.text(MARGIN, MARGIN // 2 + number * pitch, line, size=size, colour=colour)
    return canvas.pixels_HWC


def sum_squares(counts_CHW: npt.NDArray[Any], factor: int) -> npt.NDArray[np.int64]:
    """Sum squares of `factor` pixels a side; those at the right and lower border may be smaller."""
    sums: npt.NDArray[np.int64] = counts_CHW.astype(np.int64)
    if factor == 1:
        return sums
    for axis in (1, 2):
        sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], factor), axis=axis)
    return sums


def shrink_factor(shape_CHW: Sequence[int], width: int, height: int) -> int:
    """Return the least factor of `sum_squares` whose result fits into `width` x `height`."""
    return max(-(-shape_CHW[-1] // width), -(-shape_CHW[-2] // height), 1)


def enlarged(picture: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Return `picture`, [H, W] or [H, W, C], enlarged by the largest whole factor that fits into `width` x `height`."""
    factor = max(1, min(width // picture.shape[1], height // picture.shape[0]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def png(pixels_HWC: Pixels) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    height, width, _ = pixels_HWC.shape
    rows_HB = np.zeros((height, 1 + 3 * width), np.uint8)
    rows_HB[:, 1:] = pixels_HWC.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows_HB.tobytes(), 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
