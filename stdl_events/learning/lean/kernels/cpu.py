"""CPU kernels, compiled by numba: one pass over memory, with a tensor's rows divided among threads.

For float32, float64 and bfloat16; `cpu_bf16.py` reads and writes numbers of each.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import (
    as_array,
    as_numbers,
    is_set,
    load,
    number_of,
    number_type,
    store,
)
from stdl_events.learning.lean.kernels.cpu_last import placed
from stdl_events.learning.lean.kernels.cpu_last_spikes import count_last, spread_last, unpack_last
from stdl_events.learning.lean.kernels.cpu_neurons import FORMULAS, fire_row, surrogate_row
from stdl_events.learning.lean.kernels.cpu_rows import pack_row, spikes_row, unpack_row
from stdl_events.learning.lean.kernels.layout import BITS, empty, lies_channels_last
from stdl_events.network.registries import SURROGATES
from stdl_events.scatter.compiled import most_threads, run

# Below this many elements another thread costs more than it gains.
ITEMS_PER_THREAD = 2**14

# The ones of each byte value.
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1).astype(np.int64)


def _start_threads() -> None:
    """Start numba's threads and restore torch's thread count, which that changes."""
    number = torch.get_num_threads()
    most_threads()
    torch.set_num_threads(number)


_start_threads()


def fire_(
    current_BCHW: Tensor, u_BCHW: Tensor, bits_BCQ: Tensor, decay: float, threshold: float, amount: float
) -> None:
    arrays = (*flat(current_BCHW), *flat(u_BCHW), *flat(bits_BCQ))
    numbers = as_numbers(number_type(arrays[0]), decay, threshold, amount)
    run_on_rows(fire_in_rows, *arrays, *sizes(current_BCHW), numbers)


def surrogate_backward_(
    grad_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    surrogate: str,
    width: float,
) -> None:
    arrays = (*flat(grad_BCHW), *flat(u_BCHW), *flat(bits_BCQ))
    numbers = as_numbers(number_type(arrays[0]), threshold, amount, width)
    formula = FORMULAS[SURROGATES[surrogate]]
    run_on_rows(surrogate_backward_in_rows, *arrays, *sizes(grad_BCHW), numbers, formula)


def pack_(spikes_BCHW: Tensor, bits_BCQ: Tensor) -> None:
    run_on_rows(_pack, *flat(spikes_BCHW), *flat(bits_BCQ), *sizes(spikes_BCHW))


def unpack(bits_BCQ: Tensor, pixels: int, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    batch, channels, _ = bits_BCQ.shape
    if channels_last:
        spikes_BPC = torch.empty((batch, pixels, channels), dtype=dtype)
        run_on_rows(unpack_last, *flat(spikes_BPC), *flat(bits_BCQ), batch, channels, pixels)
        return spikes_BPC.transpose(1, 2)
    spikes_BCP = torch.empty((batch, channels, pixels), dtype=dtype)
    run_on_rows(_unpack, *flat(spikes_BCP), *flat(bits_BCQ), batch, channels, pixels)
    return spikes_BCP


def fired(bits_BCQ: Tensor) -> Tensor:
    counts_B = torch.zeros(len(bits_BCQ), dtype=torch.int64)
    run_on_rows(_fired, *flat(bits_BCQ), counts_B.numpy(), bits_BCQ[0].numel())
    return counts_B


def count_(bits_BCQ: Tensor, counts_BCHW: Tensor, window: int) -> None:
    is_last = lies_channels_last(counts_BCHW)
    kernel, place = (count_last, placed) if is_last else (_count, flat)
    run_on_rows(kernel, *place(counts_BCHW), *flat(bits_BCQ), *counts_BCHW.shape, window)


def spread(grad_BCHW: Tensor, window: int) -> Tensor:
    batch, channels, height, width = grad_BCHW.shape
    is_last = lies_channels_last(grad_BCHW)
    size = (batch, channels, height * window, width * window)
    spread_BCHW = empty(grad_BCHW, size, channels_last=is_last)
    arrays = (*placed(spread_BCHW), *placed(grad_BCHW)) if is_last else (*flat(spread_BCHW), *flat(grad_BCHW))
    kernel = spread_last if is_last else _spread
    run_on_rows(kernel, *arrays, *grad_BCHW.shape, window, number_type(arrays[0])(window * window))
    return spread_BCHW


def run_on_rows(kernel: Callable[..., None], array: Any, *args: Any) -> None:
    """Run a kernel with as many threads as its first argument, the largest, is worth."""
    run(kernel, min(torch.get_num_threads(), 1 + len(array) // ITEMS_PER_THREAD), array, *args)


def flat(x: Tensor) -> tuple[Any, int]:
    """The tensor's memory as a flat array, and the stride of its samples; each sample is contiguous."""
    batch, apart = x.shape[0], x.stride(0)
    if x.is_contiguous():  # without an operator of torch, each of which takes as long as a small kernel
        return as_array(x).reshape(-1), apart
    return as_array(x.as_strided(((batch - 1) * apart + x.numel() // batch,), (1,))), apart


def sizes(x_BCHW: Tensor) -> tuple[int, int, int]:
    batch, channels, height, width = x_BCHW.shape
    return batch, channels, height * width


_compiled = cached_njit(parallel=True, fastmath={"contract"})


@_compiled
def fire_in_rows(
    current: Any, current_apart: int, u: Any, u_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, neurons: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    zero, one = number_of(current, 0), number_of(current, 1)
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_u = sample * current_apart + channel * pixels, sample * u_apart + channel * pixels
        current_P, u_P = current[at : at + pixels], u[at_u : at_u + pixels]
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        fire_row(current_P, one, zero, u_P, fired_P, neurons)
        spikes_row(fired_P, current_P)
        pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def surrogate_backward_in_rows(
    grad: Any, grad_apart: int, u: Any, u_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, numbers: Any, surrogate: int,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_u = sample * grad_apart + channel * pixels, sample * u_apart + channel * pixels
        grad_P, u_P = grad[at : at + pixels], u[at_u : at_u + pixels]
        words_Q = np.empty(count, np.uint64)
        unpack_row(bits, sample * bits_apart + channel * count, words_Q)
        surrogate_row(grad_P, u_P, words_Q.view(np.uint8), numbers, surrogate)


@_compiled
def _pack(spikes: Any, spikes_apart: int, bits: Any, bits_apart: int, batch: int, channels: int, pixels: int) -> None:
    count = (pixels + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at = sample * spikes_apart + channel * pixels
        spikes_P = spikes[at : at + pixels]
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for p in range(pixels):
            fired_P[p] = is_set(spikes_P, p)
        pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def _unpack(spikes: Any, spikes_apart: int, bits: Any, bits_apart: int, batch: int, channels: int, pixels: int) -> None:
    count = (pixels + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at = sample * spikes_apart + channel * pixels
        spikes_P = spikes[at : at + pixels]
        words_Q = np.empty(count, np.uint64)
        unpack_row(bits, sample * bits_apart + channel * count, words_Q)
        spikes_row(words_Q.view(np.uint8), spikes_P)


@_compiled
def _fired(bits: Any, bits_apart: int, counts_B: Any, count: int) -> None:
    for sample in prange(len(counts_B)):
        total = 0
        for q in range(sample * bits_apart, sample * bits_apart + count):
            total += _ONES[bits[q]]
        counts_B[sample] = total


@_compiled
def _count(
    counts: Any, counts_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, height: int, width: int, window: int,
) -> None:  # fmt: skip
    wide = width * window
    count = (height * window * wide + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        to = sample * counts_apart + channel * height * width
        words_Q = np.empty(count, np.uint64)
        unpack_row(bits, sample * bits_apart + channel * count, words_Q)
        fired_P = words_Q.view(np.uint8)
        sums_W = np.empty(wide, np.uint8)
        for y in range(height):
            sums_W[:] = 0
            counts_W = counts[to + y * width : to + (y + 1) * width]
            for line in range(y * window, (y + 1) * window):
                fired_W = fired_P[line * wide : (line + 1) * wide]
                for x in range(wide):
                    sums_W[x] += fired_W[x]
            if window == 2:  # the usual one, in a loop that becomes vector instructions
                for x in range(width):
                    counts_W[x] = sums_W[2 * x] + sums_W[2 * x + 1]
            else:
                for x in range(width):
                    total = np.uint8(0)
                    for column in range(window):
                        total += sums_W[x * window + column]
                    counts_W[x] = total


@_compiled
def _spread(
    spread: Any, spread_apart: int, grad: Any, grad_apart: int,
    batch: int, channels: int, height: int, width: int, window: int, share: Any,
) -> None:  # fmt: skip
    wide = width * window
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at = sample * grad_apart + channel * height * width
        to = sample * spread_apart + channel * height * window * wide
        for y in range(height):
            first_W = spread[to : to + wide]
            grad_W = grad[at + y * width : at + (y + 1) * width]
            if window == 2:
                for x in range(width):
                    value = load(grad_W, x) / share
                    store(first_W, 2 * x, value)
                    store(first_W, 2 * x + 1, value)
            else:
                for x in range(width):
                    value = load(grad_W, x) / share
                    for column in range(window):
                        store(first_W, x * window + column, value)
            for line in range(1, window):
                spread[to + line * wide : to + (line + 1) * wide] = first_W
            to += window * wide
