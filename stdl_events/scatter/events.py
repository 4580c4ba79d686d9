"""Non-zero inputs as bits: packing, counting, and the pixels of a channel's ones.

Bits are packed along the pixels of each channel, the first pixel in the highest bit of its byte; missing pixels are
zeros. B batch, C channels, P pixels of a channel, Q = ceil(P / 8) bytes.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import prange

from stdl_events.scatter.compiled import compiled, inlined, run

Array: TypeAlias = npt.NDArray[Any]
Empty: TypeAlias = Callable[[int, npt.DTypeLike], Array]
"""(count, dtype) -> a flat array to be overwritten."""

Sizes: TypeAlias = dict[str, tuple[int, npt.DTypeLike]]
"""Temporary arrays: name -> (count, dtype)."""

BITS = 8
_SAMPLE, _SAMPLE_EVERY = 256, 2048
_BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
_ONES = _BYTES.sum(1).astype(np.int64)
# The places of each byte's ones, then zeros.
_PLACES = np.argsort(1 - _BYTES, axis=1, kind="stable").astype(np.int32).reshape(-1)
# Gathers the lowest bits of a word's bytes in its highest byte, in order; no two products overlap in a bit.
_GATHER, _HIGHEST_BYTE = np.uint64(sum(1 << (63 - 9 * byte) for byte in range(BITS))), np.uint64(56)

assert sys.byteorder == "little", "the first pixel is the lowest byte of a word"


@dataclasses.dataclass(frozen=True)
class Nonzeros:
    """The non-zero inputs of a convolution.

    Args:
        bits_BCQ: one bit per pixel, contiguous.
        ones_BC: number of ones of each channel, int64.
        values_BCP: the inputs' numbers, contiguous: uint8 or those of the convolution's dtype; None for ones.
        scale: all inputs are multiplied by it.
    """

    bits_BCQ: Array
    ones_BC: Array
    values_BCP: Array | None = None
    scale: float = 1.0

    @property
    def total(self) -> int:
        """Number of non-zeros."""
        return int(self.ones_BC.sum())

    @property
    def numbers(self) -> Array:
        """The inputs' numbers as a flat array, which is empty for ones."""
        return np.zeros(0, np.uint8) if self.values_BCP is None else self.values_BCP.reshape(-1)


def from_bits(bits_BCQ: Array, *, scale: float = 1.0, threads: int = 1, empty: Empty = np.empty) -> Nonzeros:
    """Nonzeros of packed spikes, each worth `scale`."""
    return Nonzeros(bits_BCQ, _counted(bits_BCQ, threads, empty), None, scale)


def from_values(values_BCP: Array, *, scale: float = 1.0, threads: int = 1, empty: Empty = np.empty) -> Nonzeros:
    """Nonzeros of counts, uint8, or of other numbers; contiguous, [B, C, P]."""
    batch, channels, pixels = values_BCP.shape
    count = -(-pixels // BITS)
    bits_BCQ = empty(batch * channels * count, np.uint8).reshape(batch, channels, count)
    run(_pack, threads, values_BCP.reshape(-1), bits_BCQ.reshape(-1), batch * channels, pixels)
    return Nonzeros(bits_BCQ, _counted(bits_BCQ, threads, empty), values_BCP, scale)


def shift(counts: Array) -> None:
    """Replace counts by the sum of those before each."""
    np.cumsum(counts, out=counts)
    counts[1:] = counts[:-1]
    counts[:1] = 0


def bytes_of(sizes: Sizes) -> int:
    """Bytes of temporary arrays."""
    return sum(count * np.dtype(dtype).itemsize for count, dtype in sizes.values())


def packing_bytes(batch: int, channels: int, pixels: int, *, has_values: bool) -> int:
    """Bytes that `from_values` allocates, or `from_bits`."""
    return batch * channels * (8 + (-(-pixels // BITS) if has_values else 0))


def sample(values: Array) -> tuple[int, int]:
    """(non-zeros, numbers) of a part of a flat array, an eighth spread over all of it: a cheap estimate of its density.

    The same array has the same estimate.
    """
    read = len(values) // _SAMPLE_EVERY * _SAMPLE
    if read == 0:
        return int(np.count_nonzero(values)), len(values)
    return int(_sampled(values)), read


def _counted(bits_BCQ: Array, threads: int, empty: Empty) -> Array:
    batch, channels, _ = bits_BCQ.shape
    ones = empty(batch * channels, np.int64)
    run(_count_ones, threads, bits_BCQ.reshape(-1), ones)
    return ones.reshape(batch, channels)


@inlined
def _sampled(values: Any) -> int:
    total = 0
    for block in range(len(values) // _SAMPLE_EVERY):
        for value in values[block * _SAMPLE_EVERY : block * _SAMPLE_EVERY + _SAMPLE]:
            total += value != 0
    return total


@compiled
def _count_ones(bits: Any, ones: Any) -> None:
    count = len(bits) // len(ones)
    for row in prange(len(ones)):
        total = 0
        for byte in range(row * count, (row + 1) * count):
            total += _ONES[bits[byte]]
        ones[row] = total


@compiled
def _pack(values: Any, bits: Any, rows: int, pixels: int) -> None:
    count = (pixels + BITS - 1) // BITS
    for row in prange(rows):
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        values_P = values[row * pixels : (row + 1) * pixels]
        for pixel in range(pixels):
            fired_P[pixel] = values_P[pixel] != 0
        for q in range(count):
            bits[row * count + q] = (words_Q[q] * _GATHER) >> _HIGHEST_BYTE


@inlined
def find_pixels(bits: Any, start: int, count: int, pixels: Any) -> int:
    """Write the places of the ones of `count` bytes to `pixels`, int32; returns how many there are.

    `pixels` has room for 7 more.
    """
    at = 0
    for byte in range(count):
        value = np.int64(bits[start + byte])
        for place in range(BITS):
            pixels[at + place] = _PLACES[value * BITS + place] + np.int32(byte * BITS)
        at += _ONES[value]
    return at
