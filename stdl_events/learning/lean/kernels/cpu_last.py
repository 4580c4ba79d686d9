"""CPU kernels on tensors with channels last, in which oneDNN convolves without copies into a layout of its own.

A row is some pixels of all channels, whose numbers of each channel are repeated, so that loops over rows become vector
instructions. Of a slice of channels, whose pixels lie apart, a row is one pixel. Threads share pieces of samples.
Statistics of a channel are sums over pieces, in their order, whatever the number of threads. Otherwise as
`cpu_norm.py`.
"""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import as_array, load, store
from stdl_events.learning.lean.kernels.cpu_neurons import fire_row, surrogate_row
from stdl_events.learning.lean.kernels.cpu_rows import spikes_row
from stdl_events.learning.lean.kernels.cpu_statistics import settle, slopes
from stdl_events.learning.lean.kernels.layout import BITS, pixels_apart
from stdl_events.scatter.compiled import inlined

# Numbers of a row, about: enough for vector instructions, few enough for the processor's first cache.
ROW = 1024
# Pieces of a batch, at least where its samples are large enough.
PIECES, LEAST_ROWS = 64, 8


def placed(x_BCHW: Tensor) -> tuple[Any, int, int]:
    """The tensor's memory as a flat array, and the numbers from one sample, and from one pixel, to the next."""
    batch, channels, height, width = x_BCHW.shape
    if x_BCHW.is_contiguous(memory_format=torch.channels_last):  # numpy's views take a third of the time of torch's
        return as_array(x_BCHW).transpose(0, 2, 3, 1).reshape(-1), channels * height * width, channels
    apart = pixels_apart(x_BCHW)
    most = (batch - 1) * x_BCHW.stride(0) + (height * width - 1) * apart + channels
    return as_array(x_BCHW.as_strided((most,), (1,))), x_BCHW.stride(0), apart


def nowhere(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """The place of a tensor that is left out, from that of another."""
    array, *strides = place
    return (array[:0], *strides)


_compiled = cached_njit(parallel=True, fastmath={"contract"})


@inlined
def pieces_of(batch: int, channels: int, pixels: int) -> Any:
    """(pieces of a sample, pixels in each, pixels in a row)."""
    together = max(1, ROW // (BITS * channels)) * BITS
    rows = (pixels + together - 1) // together
    wanted = max(1, PIECES // batch)
    each = max(LEAST_ROWS, (rows + wanted - 1) // wanted)
    return (rows + each - 1) // each, each * together, together


@inlined
def _tiled(numbers_C: Any, times: int) -> Any:
    """Numbers of channels, repeated for some pixels."""
    channels = len(numbers_C)
    tiled = np.empty(times * channels, numbers_C.dtype)
    for start in range(0, len(tiled), channels):
        part_C = tiled[start : start + channels]
        for c in range(channels):
            part_C[c] = numbers_C[c]
    return tiled


@inlined
def _fold(sums_W: Any, total_C: Any) -> None:
    """Add sums of each place in a row to those of its channel."""
    channels = len(total_C)
    for start in range(0, len(sums_W), channels):
        part_C = sums_W[start : start + channels]
        for c in range(channels):
            total_C[c] += part_C[c]


@inlined
def _sums_row(y_W: Any, shift_W: Any, total_W: Any, squares_W: Any) -> None:
    for w in range(len(y_W)):
        difference = np.float64(load(y_W, w)) - np.float64(load(shift_W, w))
        total_W[w] += difference
        squares_W[w] += difference * difference


@inlined
def _products_row(grad_W: Any, y_W: Any, mean_W: Any, total_W: Any, products_W: Any) -> None:
    for w in range(len(grad_W)):
        gradient = np.float64(load(grad_W, w))
        total_W[w] += gradient
        products_W[w] += gradient * (np.float64(load(y_W, w)) - np.float64(mean_W[w]))


@inlined
def _norm_backward_row(grad_W: Any, y_W: Any, middle_W: Any, slope_W: Any, average_W: Any, scale_W: Any) -> None:
    for w in range(len(grad_W)):
        above = load(y_W, w) - middle_W[w]
        store(grad_W, w, (load(grad_W, w) - average_W[w] - above * slope_W[w]) * scale_W[w])


@inlined
def pack_pixels(fired_PC: Any, pixels: int, byte_C: Any, bits: Any, start: int, apart: int) -> None:
    """Pack pixels of all channels, whose bytes lie `apart`."""
    channels = len(byte_C)
    for first in range(0, pixels, BITS):
        for c in range(channels):
            byte_C[c] = 0
        for pixel in range(first, min(first + BITS, pixels)):
            shift = np.uint8(first + BITS - 1 - pixel)
            for c in range(channels):
                byte_C[c] |= np.uint8(fired_PC[pixel, c] << shift)
        at = start + first // BITS
        for c in range(channels):
            bits[at + c * apart] = byte_C[c]


@inlined
def unpack_pixels(bits: Any, start: int, apart: int, pixels: int, byte_C: Any, fired_PC: Any) -> None:
    channels = len(byte_C)
    for first in range(0, pixels, BITS):
        at = start + first // BITS
        for c in range(channels):
            byte_C[c] = bits[at + c * apart]
        for pixel in range(first, min(first + BITS, pixels)):
            shift = np.uint8(first + BITS - 1 - pixel)
            for c in range(channels):
                fired_PC[pixel, c] = np.uint8(byte_C[c] >> shift) & np.uint8(1)


@_compiled
def fire_normed(
    y: Any, y_apart: int, y_step: int, spikes: Any, spikes_apart: int, spikes_step: int,
    u: Any, u_apart: int, u_step: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, momentum: float, eps: float, neurons: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    pieces, each, together = pieces_of(batch, channels, pixels)
    sums = np.zeros((2, batch * pieces, channels))
    shift_C = y[:channels].copy()
    is_whole = y_step == channels
    wide = (together if is_whole else 1) * channels
    shift_W = _tiled(shift_C, wide // channels)
    for piece in prange(batch * pieces):
        sample, start = piece // pieces, piece % pieces * each
        stop = min(start + each, pixels)
        total_W, squares_W = np.zeros(wide), np.zeros(wide)
        for pixel in range(start, stop, wide // channels):
            here = min(wide, (stop - pixel) * channels)
            at = sample * y_apart + pixel * y_step
            _sums_row(y[at : at + here], shift_W, total_W, squares_W)
        _fold(total_W, sums[0, piece])
        _fold(squares_W, sums[1, piece])
    total_C, squares_C = np.zeros(channels), np.zeros(channels)
    _fold(sums[0].reshape(-1), total_C)
    _fold(sums[1].reshape(-1), squares_C)
    scale_C, offset_C = np.empty(channels, norm_C[0].dtype), np.empty(channels, norm_C[0].dtype)
    for c in range(channels):
        shift, total, squares = np.float64(load(shift_C, c)), total_C[c], squares_C[c]
        scale_C[c], offset_C[c] = settle(shift, total, squares, batch * pixels, c, norm_C, momentum, eps)
    is_whole = is_whole and u_step == channels and (len(spikes) == 0 or spikes_step == channels)
    wide = (together if is_whole else 1) * channels
    scale_W, offset_W = _tiled(scale_C, wide // channels), _tiled(offset_C, wide // channels)
    for piece in prange(batch * pieces):
        sample, start = piece // pieces, piece % pieces * each
        stop = min(start + each, pixels)
        fired_PC, byte_C = np.empty((together, channels), np.uint8), np.empty(channels, np.uint8)
        fired_W = fired_PC.reshape(-1)
        for first in range(start, stop, together):
            last = min(first + together, stop)
            for pixel in range(first, last, wide // channels):
                here, to = min(wide, (last - pixel) * channels), (pixel - first) * channels
                at, at_u = sample * y_apart + pixel * y_step, sample * u_apart + pixel * u_step
                y_W, u_W, of_W = y[at : at + here], u[at_u : at_u + here], fired_W[to : to + here]
                fire_row(y_W, scale_W, offset_W, u_W, of_W, neurons)
                if len(spikes) > 0:
                    at = sample * spikes_apart + pixel * spikes_step
                    spikes_row(of_W, spikes[at : at + here])
            pack_pixels(fired_PC, last - first, byte_C, bits, sample * bits_apart + first // BITS, count)


@_compiled
def surrogate_backward_normed(
    grad: Any, grad_apart: int, grad_step: int, y: Any, y_apart: int, y_step: int,
    u: Any, u_apart: int, u_step: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, numbers: Any, surrogate: int,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    pieces, each, together = pieces_of(batch, channels, pixels)
    wide = (together if grad_step == channels and u_step == channels and y_step == channels else 1) * channels
    sums = np.zeros((2, batch * pieces, channels))
    mean_W = _tiled(norm_C[1], wide // channels)
    for piece in prange(batch * pieces):
        sample, start = piece // pieces, piece % pieces * each
        stop = min(start + each, pixels)
        fired_PC, byte_C = np.empty((together, channels), np.uint8), np.empty(channels, np.uint8)
        fired_W = fired_PC.reshape(-1)
        total_W, products_W = np.zeros(wide), np.zeros(wide)
        for first in range(start, stop, together):
            last = min(first + together, stop)
            unpack_pixels(bits, sample * bits_apart + first // BITS, count, last - first, byte_C, fired_PC)
            for pixel in range(first, last, wide // channels):
                here, to = min(wide, (last - pixel) * channels), (pixel - first) * channels
                at, at_u = sample * grad_apart + pixel * grad_step, sample * u_apart + pixel * u_step
                at_y = sample * y_apart + pixel * y_step
                grad_W, y_W = grad[at : at + here], y[at_y : at_y + here]
                of_W = fired_W[to : to + here]
                surrogate_row(grad_W, u[at_u : at_u + here], of_W, numbers, surrogate)
                _products_row(grad_W, y_W, mean_W, total_W, products_W)
        _fold(total_W, sums[0, piece])
        _fold(products_W, sums[1, piece])
    total_C, products_C = np.zeros(channels), np.zeros(channels)
    _fold(sums[0].reshape(-1), total_C)
    _fold(sums[1].reshape(-1), products_C)
    of_C = np.empty((4, channels), norm_C[0].dtype)
    for c in range(channels):
        of_C[0, c], of_C[1, c], of_C[2, c], of_C[3, c] = slopes(total_C[c], products_C[c], batch * pixels, c, norm_C)
    middle_W, slope_W = _tiled(of_C[0], wide // channels), _tiled(of_C[1], wide // channels)
    average_W, scale_W = _tiled(of_C[2], wide // channels), _tiled(of_C[3], wide // channels)
    for piece in prange(batch * pieces):
        sample, start = piece // pieces, piece % pieces * each
        stop = min(start + each, pixels)
        for pixel in range(start, stop, wide // channels):
            here = min(wide, (stop - pixel) * channels)
            at, at_y = sample * grad_apart + pixel * grad_step, sample * y_apart + pixel * y_step
            _norm_backward_row(grad[at : at + here], y[at_y : at_y + here], middle_W, slope_W, average_W, scale_W)
