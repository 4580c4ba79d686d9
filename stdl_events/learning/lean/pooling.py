"""Average pooling in lean mode: pooled spikes are their number per window, one byte each.

B batch, C channels, H height, W width.
"""

import dataclasses
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from stdl_events.learning.lean.kernels import count_, empty, spread
from stdl_events.learning.lean.parts import sample_parts, unlike
from stdl_events.learning.lean.signals import ALL, Alike, Counts, Scaled, Shape, Signal, Spikes

# What a byte counts.
_MOST = torch.iinfo(torch.uint8).max


class Window(NamedTuple):
    """A pooling's windows; the notation's are square."""

    kernel: int
    stride: int
    padding: int

    @classmethod
    def of(cls, pool: nn.AvgPool2d) -> Self:
        kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
        assert isinstance(kernel, int) and isinstance(stride, int) and isinstance(padding, int)  # noqa: PT018
        return cls(kernel, stride, padding)

    def behind(self, shape: Shape) -> Shape:
        """The shape behind the pooling."""
        batch, channels, height, width = shape
        return batch, channels, self._count(height), self._count(width)

    def tiles(self, shape: Shape) -> bool:
        """True if every pixel in front of the pooling is in one of its windows."""
        is_tile = self.kernel == self.stride and self.padding == 0
        return is_tile and shape[2] % self.kernel == 0 and shape[3] % self.kernel == 0

    def _count(self, size: int) -> int:
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


@dataclasses.dataclass(frozen=True)
class Pooled(Alike):
    """A signal behind average pooling, recomputed at every call."""

    pool: nn.AvgPool2d

    @property
    def shape(self) -> Shape:
        return Window.of(self.pool).behind(self.source.shape)

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        pooled: Tensor = self.pool(self.source.dense(samples, channels))
        return pooled


def pooled(source: Signal, pool: nn.AvgPool2d) -> Signal:
    """`source` behind average pooling. Pooled spikes are stored as their count per window, one byte each."""
    if isinstance(source, Scaled):
        return Scaled(pooled(source.source, pool), source.factor)
    window = Window.of(pool)
    pixels = window.kernel**2
    if not isinstance(source, Spikes) or pixels > _MOST:
        return Pooled(source, pool)
    counts_BCHW = empty(source.bits_BCQ, window.behind(source.shape), channels_last=source.channels_last)
    tiles = window.tiles(source.shape)
    # Plain kernels unpack the bits inside of themselves, one byte each, a part of the batch at a time.
    for samples in unlike(sample_parts(source.shape, source.dtype)):
        if tiles:
            source.forget_fresh()
            count_(source.bits_BCQ[samples], counts_BCHW[samples], window.kernel)
        else:
            counts_BCHW[samples] = pool(source.dense(samples)).mul_(pixels).round_()
    return Counts(counts_BCHW, source.dtype, pixels)


def pool_backward(grad_BCHW: Tensor, shape: Shape, pool: nn.AvgPool2d) -> Tensor:
    """The gradient in front of the pooling, of `shape`, from the one behind it."""
    window = Window.of(pool)
    if window.tiles(shape):
        return spread(grad_BCHW, window.kernel)
    # The operator reads only the shape of the pooling's input, so an expanded scalar is enough.
    like = grad_BCHW.new_empty(()).expand(shape)
    kernel, stride, padding = ([number, number] for number in window)
    gradient: Tensor = torch.ops.aten.avg_pool2d_backward(grad_BCHW, like, kernel, stride, padding, False, True, None)
    return gradient


def counts_spikes(pool: nn.Module) -> bool:
    """True for a pooling that reads packed spikes alone, whatever their shape."""
    window = Window.of(pool) if isinstance(pool, nn.AvgPool2d) else None
    return window is not None and window.kernel == window.stride
