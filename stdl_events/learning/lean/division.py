"""How one step of a synapse is divided: a function of sizes alone, computed once for each.

B batch, C channels, H height, W width.
"""

import functools
from typing import NamedTuple

import torch
from torch import nn

from stdl_events.learning.lean.parts import PartSizes, channel_parts, current_part_sizes, part_sizes, sample_parts
from stdl_events.learning.lean.signals import Shape

# Convolutions with few output channels are slow, and each group unpacks the input again.
MOST_GROUPS = 8


class Division(NamedTuple):
    """The output's shape, and what of it is computed together.

    Attributes:
        groups: runs of channels that are convolved together.
        samples: runs of samples that are convolved together.
    """

    shape: Shape
    groups: list[slice]
    samples: list[slice]


def divided(conv: nn.Conv2d, shape: Shape, dtype: torch.dtype, convolves_in: torch.dtype, *, whole: bool) -> Division:
    """The division of a convolution of an input of `shape`.

    Args:
        dtype: the activation dtype.
        convolves_in: dtype of the convolution.
        whole: True for one group of all channels.
    """
    padding = conv.padding
    assert isinstance(padding, tuple), "the notation pads by numbers"
    sizes = conv.out_channels, conv.kernel_size, conv.stride, padding
    return _divided(shape, *sizes, dtype, convolves_in, whole, current_part_sizes())


@functools.lru_cache(maxsize=1024)
def _divided(
    shape: Shape,
    outputs: int,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dtype: torch.dtype,
    convolves_in: torch.dtype,
    whole: bool,
    parts: PartSizes,
) -> Division:
    batch, _, *pixels = shape
    windows = zip(pixels, kernel, stride, padding, strict=True)
    height, width = ((size + 2 * padded - across) // step + 1 for size, across, step, padded in windows)
    out = (batch, outputs, height, width)
    with part_sizes(parts):
        groups = [slice(0, outputs)] if whole else _groups(channel_parts(out, dtype))
        return Division(out, groups, sample_parts(shape, convolves_in))


def _groups(parts: list[slice]) -> list[slice]:
    """Groups of consecutive parts that are convolved together."""
    each = -(-len(parts) // MOST_GROUPS)
    runs = [parts[first : first + each] for first in range(0, len(parts), each)]
    return [slice(run[0].start, run[-1].stop) for run in runs]
