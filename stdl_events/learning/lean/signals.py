"""Signals between layers in lean mode: the smallest tensors from which the next layer's input can be recomputed.

B batch, C channels, H height, W width, Q bytes per channel.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import BITS, empty, laid_out, lies_channels_last, unpack
from stdl_events.learning.lean.parts import in_dtype

Shape: TypeAlias = tuple[int, int, int, int]
ALL = slice(None)


class Signal(Protocol):
    """A layer's input or output, [B, C, H, W]."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its values."""
        ...

    @property
    def channels_last(self) -> bool:
        """True if its values lie channels last; so does their gradient."""
        ...

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        """The values of some samples and channels. The caller must not write into them."""
        ...


@dataclasses.dataclass(frozen=True)
class Dense:
    """Unpacked values: a frame, or values other than spikes."""

    values_BCHW: Tensor

    @property
    def channels_last(self) -> bool:
        return lies_channels_last(self.values_BCHW)

    @property
    def shape(self) -> Shape:
        return _shape(self.values_BCHW)

    @property
    def dtype(self) -> torch.dtype:
        return self.values_BCHW.dtype

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        return _part(self.values_BCHW, samples, channels)


class Spikes:
    """Zeros and ones at one bit each; the caller writes the bits.

    The first call of `dense` for all of them returns the unpacked tensor without copying, if it was written in one
    part.

    Args:
        channels_last: True if the unpacked spikes lie channels last.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, channels_last: bool = False) -> None:
        self.shape, self.dtype, self.channels_last = shape, dtype, channels_last
        batch, channels, height, width = shape
        self.bits_BCQ = torch.empty((batch, channels, -(-height * width // BITS)), dtype=torch.uint8, device=device)
        self._fresh: Tensor | None = None

    def hand_on(self, numbers_BCHW: Tensor) -> None:
        """Keep some channels' unpacked spikes, whose bits are already written. They must not be overwritten."""
        if numbers_BCHW.shape == self.shape:
            self._fresh = numbers_BCHW

    def forget_fresh(self) -> None:
        """Free the unpacked spikes, since the next layer reads the bits."""
        self._fresh = None

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        return self._values(self.dtype, samples, channels, self.channels_last)

    def dense_in(self, dtype: torch.dtype, samples: slice, *, channels_last: bool) -> Tensor:
        """Some samples, unpacked into `dtype` and the layout."""
        return self._values(dtype, samples, ALL, channels_last)

    def _values(self, dtype: torch.dtype, samples: slice, channels: slice, channels_last: bool) -> Tensor:
        batch, count, height, width = self.shape
        fresh, self._fresh = self._fresh, None
        is_whole = _covers(samples, batch) and _covers(channels, count)
        if fresh is not None and is_whole and dtype == self.dtype and channels_last == self.channels_last:
            return fresh
        del fresh  # bits are quicker to unpack into another layout than numbers are to turn
        spikes_BCP = unpack(_part(self.bits_BCQ, samples, channels), height * width, dtype, channels_last)
        return spikes_BCP.unflatten(2, (height, width))


def dense_in(dtype: torch.dtype, x: Signal, samples: slice = ALL, *, channels_last: bool) -> Tensor:
    """The values of some samples in a dtype and a layout, into which spikes and counts are written at once."""
    if isinstance(x, Spikes | Counts):
        return x.dense_in(dtype, samples, channels_last=channels_last)
    if isinstance(x, Traced):
        return dense_in(dtype, x.spikes, samples, channels_last=channels_last)
    return laid_out(in_dtype(x.dense(samples), dtype), channels_last=channels_last)


@dataclasses.dataclass(frozen=True)
class Counts:
    """Small integers, such as sums of spikes, at one byte each; the values are the integers divided by `divisor`."""

    counts_BCHW: Tensor
    dtype: torch.dtype
    divisor: int = 1

    @property
    def shape(self) -> Shape:
        return _shape(self.counts_BCHW)

    @property
    def channels_last(self) -> bool:
        return lies_channels_last(self.counts_BCHW)

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        counts = _part(self.counts_BCHW, samples, channels).to(self.dtype)
        return counts if self.divisor == 1 else counts.div_(self.divisor)

    def dense_in(self, dtype: torch.dtype, samples: slice, *, channels_last: bool) -> Tensor:
        """Some samples in a dtype and a layout."""
        counts = _part(self.counts_BCHW, samples, ALL)
        values = empty(counts, counts.shape, channels_last=channels_last, dtype=dtype).copy_(counts)
        return values if self.divisor == 1 else values.div_(self.divisor)


def _shape(x_BCHW: Tensor) -> Shape:
    batch, channels, height, width = x_BCHW.shape
    return batch, channels, height, width


def _part(whole: Tensor, samples: slice, channels: slice) -> Tensor:
    """Some samples and channels of a tensor: itself for all of them."""
    batch, count, *_ = whole.shape
    return whole if _covers(samples, batch) and _covers(channels, count) else whole[samples, channels]


def _covers(run: slice, count: int) -> bool:
    return not run.start and (run.stop is None or run.stop == count)


def _own(source: Signal, samples: slice, channels: slice) -> Tensor:
    """The values of `source` in a tensor that may be overwritten: `Dense` is cloned, the others allocate one."""
    values = source.dense(samples, channels)
    return values.clone() if isinstance(source, Dense) else values


@dataclasses.dataclass(frozen=True)
class Alike:
    """What has the shape, dtype and layout of its source."""

    source: Signal

    @property
    def shape(self) -> Shape:
        return self.source.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.source.dtype

    @property
    def channels_last(self) -> bool:
        return self.source.channels_last


@dataclasses.dataclass(frozen=True)
class Scaled(Alike):
    """A signal times a constant."""

    factor: float

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        return _own(self.source, samples, channels).mul_(self.factor)


@dataclasses.dataclass(frozen=True)
class Added(Alike):
    """The sum of two signals, recomputed at every call."""

    other: Signal

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        return self.source.dense(samples, channels) + self.other.dense(samples, channels)


@dataclasses.dataclass(frozen=True)
class Traced(Alike):
    """Spikes with their presynaptic traces; the signal's values are the spikes."""

    trace: Signal

    @property
    def spikes(self) -> Signal:
        return self.source

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        return self.spikes.dense(samples, channels)


def presynaptic(x: Signal) -> Signal:
    """The presynaptic values in the gradient of the weights behind `x`: its traces, or without traces `x` itself."""
    return x.trace if isinstance(x, Traced) else x


def moved(x: Signal, linear: Callable[[Signal], Signal]) -> Signal:
    """`linear` applied to `x` and to its trace."""
    return Traced(linear(x.spikes), linear(x.trace)) if isinstance(x, Traced) else linear(x)


def added(first: Signal, second: Signal) -> Signal:
    """The sum of two signals, at one byte each where both are integers; traces are added too."""
    total = _values_added(_values(first), _values(second))
    if isinstance(first, Traced) or isinstance(second, Traced):
        return Traced(total, Added(presynaptic(first), presynaptic(second)))
    return total


def _values(x: Signal) -> Signal:
    return x.spikes if isinstance(x, Traced) else x


def _values_added(first: Signal, second: Signal) -> Signal:
    total = first.dense() + second.dense()
    if _is_whole(first) and _is_whole(second):
        return Counts(total.to(torch.uint8), total.dtype)
    return Dense(total)


def _is_whole(signal: Signal) -> bool:
    return isinstance(signal, Spikes) or (isinstance(signal, Counts) and signal.divisor == 1)


@dataclasses.dataclass(frozen=True)
class Dropped(Alike):
    """A signal behind dropout with the mask of its sequence; the remaining values are scaled by 1 / (1 - p)."""

    mask_BCHW: Tensor
    probability: float

    def dense(self, samples: slice = ALL, channels: slice = ALL) -> Tensor:
        values = _own(self.source, samples, channels)
        return values.mul_(self.mask_BCHW[samples, channels]).mul_(1 / (1 - self.probability))


def dropout_backward(grad_BCHW: Tensor, mask_BCHW: Tensor, probability: float) -> Tensor:
    """The gradient in front of the dropout from the one behind it, in place."""
    return grad_BCHW.mul_(mask_BCHW).mul_(1 / (1 - probability))
