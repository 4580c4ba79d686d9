"""CPU kernels of neurons that keep their membrane potential in eight bits; see `network.neurons.eight_bits`.

For float32, float64 and bfloat16, whose arithmetic is in float32. Products and sums are rounded one by one, never
fused, so that the results are those of plain torch and of an exported file bit for bit. A potential and a spike have
512 values together, so backward looks the surrogate gradient up in a table, which plain torch computes: every
registered surrogate has it.
"""

import functools
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu import flat, run_on_rows, sizes
from stdl_events.learning.lean.kernels.cpu_bf16 import as_numbers, load, number_of, rounded, store
from stdl_events.learning.lean.kernels.cpu_norm import normalise, per_channel, through_norm
from stdl_events.learning.lean.kernels.cpu_rows import pack_row, spikes_row, unpack_row
from stdl_events.learning.lean.kernels.layout import BITS
from stdl_events.network.neurons.eight_bits import LEAST, MOST
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import Surrogate

VALUES = MOST - LEAST + 1
# Adding and subtracting it rounds a small number to the nearest whole one, half to even.
_ROUNDS = {torch.float32: 1.5 * 2**23, torch.float64: 1.5 * 2**52}


def fire_eight_bits_(
    current_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    decay: float,
    threshold: float,
    amount: float,
    step: float,
) -> None:
    arrays = (*flat(current_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    run_on_rows(_fire, *arrays, *sizes(current_BCHW), _numbers(current_BCHW.dtype, decay, threshold, amount, step))


def surrogate_backward_eight_bits_(
    grad_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    step: float,
    surrogate: str,
    width: float,
) -> None:
    dtype = torch.promote_types(grad_BCHW.dtype, torch.float32)
    table = _table(SURROGATES[surrogate], width, threshold, amount, step, dtype)
    run_on_rows(_look_up, *flat(grad_BCHW), *flat(kept_BCHW), *flat(bits_BCQ), *sizes(grad_BCHW), table)


def fire_eight_bits_normed_(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    neurons: list[float],
) -> None:
    arrays = (*flat(y_BCHW), *flat(spikes_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    numbers = _numbers(y_BCHW.dtype, *neurons)
    run_on_rows(_fire_normed, *arrays, *sizes(y_BCHW), per_channel(norm_C), momentum, eps, numbers)


def surrogate_backward_eight_bits_normed_(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    neurons: list[float],
    surrogate: str,
    width: float,
) -> None:
    arrays = (*flat(grad_BCHW), *flat(y_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    dtype = torch.promote_types(grad_BCHW.dtype, torch.float32)
    table = _table(SURROGATES[surrogate], width, *neurons, dtype)
    run_on_rows(_look_up_normed, *arrays, *sizes(grad_BCHW), per_channel(norm_C), table)


def _numbers(dtype: torch.dtype, decay: float, threshold: float, amount: float, step: float) -> tuple[Any, ...]:
    """Arguments of `_fire_row`, in the arithmetic's type."""
    wide = torch.promote_types(dtype, torch.float32)
    number = np.float64 if wide == torch.float64 else np.float32
    return as_numbers(number, decay * step, threshold, amount, 1 / step, LEAST, MOST, _ROUNDS[wide])


@functools.lru_cache(maxsize=64)
def _table(surrogate: Surrogate, width: float, threshold: float, amount: float, step: float, dtype: torch.dtype) -> Any:
    """The surrogate gradient of every kept integer, without a spike and then with one."""
    with torch.inference_mode(False), torch.no_grad():
        u = torch.arange(LEAST, MOST + 1).to(dtype).mul_(step)
        s = torch.tensor([[0], [1]]).to(dtype)
        return surrogate.gradient_((s * amount + u).sub_(threshold), width).flatten().numpy()


_compiled = cached_njit(parallel=True)
_row = cached_njit()


@_row
def _fire_row(y_P: Any, scale: Any, offset: Any, kept_P: Any, fired_P: Any, numbers: Any) -> None:
    factor, threshold, amount, per_step, least, most, rounds = numbers
    zero = threshold - threshold
    for p in range(len(y_P)):
        current = rounded(y_P, load(y_P, p) * scale + offset)
        # A small integer plus zero is one in the arithmetic's type.
        m = current + factor * (zero + np.float32(kept_P[p]))  # STDL eq. (1)
        fired = m >= threshold  # STDL eq. (2)
        u = ((m - amount) if fired else m) * per_step  # STDL eq. (3)
        kept_P[p] = np.int8((min(max(u, least), most) + rounds) - rounds)
        fired_P[p] = fired


@_row
def _look_up_row(grad_P: Any, kept_P: Any, fired_P: Any, table: Any) -> None:
    for p in range(len(grad_P)):
        slope = table[np.int32(fired_P[p]) * VALUES + (np.int32(kept_P[p]) - LEAST)]
        store(grad_P, p, load(grad_P, p) * slope)


@_compiled
def _fire(
    current: Any, current_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, numbers: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    zero, one = number_of(current, 0), number_of(current, 1)
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_kept = sample * current_apart + channel * pixels, sample * kept_apart + channel * pixels
        current_P, kept_P = current[at : at + pixels], kept[at_kept : at_kept + pixels]
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        _fire_row(current_P, one, zero, kept_P, fired_P, numbers)
        spikes_row(fired_P, current_P)
        pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def _fire_normed(
    y: Any, y_apart: int, spikes: Any, spikes_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, momentum: float, eps: float, numbers: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for channel in prange(channels):
        scale, offset = normalise(y, y_apart, batch, pixels, channel, norm_C, momentum, eps)
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for sample in range(batch):
            at, at_y = sample * spikes_apart + channel * pixels, sample * y_apart + channel * pixels
            at_kept = sample * kept_apart + channel * pixels
            y_P, kept_P = y[at_y : at_y + pixels], kept[at_kept : at_kept + pixels]
            _fire_row(y_P, scale, offset, kept_P, fired_P, numbers)
            if len(spikes) > 0:
                spikes_row(fired_P, spikes[at : at + pixels])
            pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def _look_up(
    grad: Any, grad_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, table: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_kept = sample * grad_apart + channel * pixels, sample * kept_apart + channel * pixels
        words_Q = np.empty(count, np.uint64)
        unpack_row(bits, sample * bits_apart + channel * count, words_Q)
        _look_up_row(grad[at : at + pixels], kept[at_kept : at_kept + pixels], words_Q.view(np.uint8), table)


@_compiled
def _look_up_normed(
    grad: Any, grad_apart: int, y: Any, y_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, table: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for channel in prange(channels):
        words_Q = np.empty(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for sample in range(batch):
            at, at_kept = sample * grad_apart + channel * pixels, sample * kept_apart + channel * pixels
            unpack_row(bits, sample * bits_apart + channel * count, words_Q)
            _look_up_row(grad[at : at + pixels], kept[at_kept : at_kept + pixels], fired_P, table)
        through_norm(grad, grad_apart, y, y_apart, batch, pixels, channel, norm_C)
