"""CPU kernels on spikes and poolings of tensors with channels last, whose loops go over the channels of a pixel."""

from typing import Any

import numpy as np
from numba import prange

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import load, store
from stdl_events.learning.lean.kernels.cpu_last import pieces_of, unpack_pixels
from stdl_events.learning.lean.kernels.cpu_rows import spikes_row
from stdl_events.learning.lean.kernels.layout import BITS

_compiled = cached_njit(parallel=True, fastmath={"contract"})


@_compiled
def unpack_last(
    spikes: Any, spikes_apart: int, bits: Any, bits_apart: int, batch: int, channels: int, pixels: int
) -> None:
    """Spikes whose pixels are side by side."""
    count = (pixels + BITS - 1) // BITS
    pieces, each, together = pieces_of(batch, channels, pixels)
    for piece in prange(batch * pieces):
        sample, start = piece // pieces, piece % pieces * each
        stop = min(start + each, pixels)
        fired_PC, byte_C = np.empty((together, channels), np.uint8), np.empty(channels, np.uint8)
        fired_W = fired_PC.reshape(-1)
        for first in range(start, stop, together):
            wide = min(together, stop - first) * channels
            unpack_pixels(bits, sample * bits_apart + first // BITS, count, wide // channels, byte_C, fired_PC)
            at = sample * spikes_apart + first * channels
            spikes_row(fired_W[:wide], spikes[at : at + wide])


@_compiled
def count_last(
    counts: Any, counts_apart: int, counts_step: int, bits: Any, bits_apart: int,
    batch: int, channels: int, height: int, width: int, window: int,
) -> None:  # fmt: skip
    """Spikes in each tile of `window` by `window` pixels."""
    wide = width * window
    count = (height * window * wide + BITS - 1) // BITS
    for row in prange(batch * height):
        sample, y = row // height, row % height
        byte_C, read = np.empty(channels, np.uint8), -1
        for line in range(window):
            pixel = (y * window + line) * wide
            for x in range(width):
                to = sample * counts_apart + (y * width + x) * counts_step
                counts_C = counts[to : to + channels]
                if line == 0:
                    counts_C[:] = 0
                for _ in range(window):
                    if pixel // BITS != read:
                        read = pixel // BITS
                        at = sample * bits_apart + read
                        for c in range(channels):
                            byte_C[c] = bits[at + c * count]
                    shift = np.uint8(BITS - 1 - pixel % BITS)
                    for c in range(channels):
                        counts_C[c] += np.uint8(byte_C[c] >> shift) & np.uint8(1)
                    pixel += 1


@_compiled
def spread_last(
    spread: Any, spread_apart: int, spread_step: int, grad: Any, grad_apart: int, grad_step: int,
    batch: int, channels: int, height: int, width: int, window: int, share: Any,
) -> None:  # fmt: skip
    """Pooling's gradient; the result is contiguous."""
    wide = width * window * channels
    for row in prange(batch * height):
        sample, y = row // height, row % height
        first_W = spread[row * window * wide : row * window * wide + wide]
        for x in range(width):
            at = sample * grad_apart + (y * width + x) * grad_step
            start = x * window * channels
            grad_C, to_C = grad[at : at + channels], first_W[start : start + channels]
            for c in range(channels):
                store(to_C, c, load(grad_C, c) / share)
            for _ in range(1, window):
                start += channels
                first_W[start : start + channels] = to_C
        for line in range(1, window):
            start = (row * window + line) * wide
            spread[start : start + wide] = first_W
