"""The kernels' memory layouts, and the numbers of packed bits.

In rows: each sample contiguous, with its channels in order and each channel's pixels in order. Channels last: each
sample's pixels in order, and the channels of a pixel side by side; the pixels of a slice of channels lie apart.
"""

import torch
from torch import Tensor

BITS = 8
# Each needs a temporary tensor of its samples.
_MOST_TURNS = 16


def lies_in_rows(x_BCHW: Tensor) -> bool:
    if x_BCHW.is_contiguous():
        return True
    _, channels, height, width = x_BCHW.shape
    _, *strides = x_BCHW.stride()
    expected = zip((channels, height, width), strides, (height * width, width, 1), strict=True)
    return all(size == 1 or found == wanted for size, found, wanted in expected)


def lies_channels_last(x_BCHW: Tensor) -> bool:
    """True for tensors with channels last that do not lie in rows as well, such as those of one pixel."""
    if x_BCHW.is_contiguous():
        return False
    if x_BCHW.is_contiguous(memory_format=torch.channels_last):
        return True
    _, channels, height, width = x_BCHW.shape
    _, *strides = x_BCHW.stride()
    apart = pixels_apart(x_BCHW)
    expected = zip((channels, height, width), strides, (1, width * apart, apart), strict=True)
    lies = apart >= channels and all(size == 1 or found == wanted for size, found, wanted in expected)
    return lies and not lies_in_rows(x_BCHW)


def pixels_apart(x_BCHW: Tensor) -> int:
    """Numbers from one pixel to the next, of a tensor with channels last."""
    _, channels, height, width = x_BCHW.shape
    _, _, down, right = x_BCHW.stride()
    return right if width > 1 else down if height > 1 else channels


def in_rows(x_BCHW: Tensor) -> Tensor:
    """`x_BCHW` itself if it lies in rows, else a copy that does."""
    return x_BCHW if lies_in_rows(x_BCHW) else x_BCHW.contiguous()


def laid_out(x_BCHW: Tensor, *, channels_last: bool) -> Tensor:
    """`x_BCHW` itself if it has the layout, else a copy with it."""
    if not channels_last:
        return in_rows(x_BCHW)
    lies = lies_channels_last(x_BCHW) or (lies_in_rows(x_BCHW) and lies_in_both(x_BCHW))
    return x_BCHW if lies else x_BCHW.contiguous(memory_format=torch.channels_last)


def turned(x_BCHW: Tensor, *, channels_last: bool) -> Tensor:
    """The numbers of `x_BCHW`, which must not be used any more, in the layout; in its own memory where they fill that.

    A copy would be alive beside it.
    """
    lies_so = lies_channels_last(x_BCHW) if channels_last else lies_in_rows(x_BCHW)
    other = torch.contiguous_format if channels_last else torch.channels_last
    if lies_so or lies_in_both(x_BCHW) or not x_BCHW.is_contiguous(memory_format=other):
        return laid_out(x_BCHW, channels_last=channels_last)
    batch, channels, height, width = x_BCHW.shape
    pixels = (1, width * channels, channels) if channels_last else (height * width, width, 1)
    turned_BCHW = x_BCHW.as_strided(x_BCHW.shape, (channels * height * width, *pixels), x_BCHW.storage_offset())
    run = -(-batch // _MOST_TURNS)
    for start in range(0, batch, run):
        turned_BCHW[start : start + run] = x_BCHW[start : start + run].clone()
    return turned_BCHW


def lies_in_both(x_BCHW: Tensor) -> bool:
    """True for tensors of one channel or one pixel, whose layouts are the same."""
    _, channels, height, width = x_BCHW.shape
    return channels == 1 or height * width == 1


def empty(
    like: Tensor, shape_BCHW: tuple[int, ...], *, channels_last: bool, dtype: torch.dtype | None = None
) -> Tensor:
    """A tensor of the layout, with dtype and device of another."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape_BCHW, dtype=dtype or like.dtype, device=like.device, memory_format=layout)
