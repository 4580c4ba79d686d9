"""CPU kernels of neurons that keep their membrane potential in eight bits; see `network.neurons.eight_bits`.

For float32, float64 and bfloat16, whose arithmetic is in float32. Products and sums are rounded one by one, never
fused, so that the results are those of plain torch and of an exported
file bit for bit. A potential and a spike have 512 values together, so backward looks the surrogate gradient up in a
table, which plain torch computes: every registered surrogate has it.
"""

import functools
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from stdl_events.learning.lean.kernels.cpu import _flat, _pack_row, _run, _sizes, _unpacked_row
from stdl_events.learning.lean.kernels.cpu_bf16 import load, number_type, store
from stdl_events.learning.lean.kernels.layout import BITS
from stdl_events.network.neurons.eight_bits import LEAST, MOST
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import Surrogate
from stdl_events.scatter.compiled import cached_njit

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
    arrays = (*_flat(current_BCHW), *_flat(kept_BCHW), *_flat(bits_BCQ))
    number = number_type(arrays[0])
    rounds = _ROUNDS[torch.promote_types(current_BCHW.dtype, torch.float32)]
    numbers = map(number, (decay * step, threshold, amount, 1 / step, LEAST, MOST, rounds))
    _run(_fire, *arrays, *_sizes(current_BCHW), *numbers)


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
    _run(_look_up, *_flat(grad_BCHW), *_flat(kept_BCHW), *_flat(bits_BCQ), *_sizes(grad_BCHW), table)


@functools.lru_cache(maxsize=64)
def _table(surrogate: Surrogate, width: float, threshold: float, amount: float, step: float, dtype: torch.dtype) -> Any:
    """The surrogate gradient of every kept integer, without a spike and then with one."""
    with torch.inference_mode(False), torch.no_grad():
        u = torch.arange(LEAST, MOST + 1).to(dtype).mul_(step)
        s = torch.tensor([[0], [1]]).to(dtype)
        return surrogate.gradient_((s * amount + u).sub_(threshold), width).flatten().numpy()


_compiled = cached_njit(parallel=True)


@_compiled
def _fire(
    current: Any, current_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int,
    factor: Any, threshold: Any, amount: Any, per_step: Any, least: Any, most: Any, rounds: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    zero = threshold - threshold
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_kept = sample * current_apart + channel * pixels, sample * kept_apart + channel * pixels
        current_P, kept_P = current[at : at + pixels], kept[at_kept : at_kept + pixels]
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for p in range(pixels):
            # A small integer plus zero is one in the arithmetic's type.
            m = load(current_P, p) + factor * (zero + np.float32(kept_P[p]))  # STDL eq. (1)
            fired = m >= threshold  # STDL eq. (2)
            u = ((m - amount) if fired else m) * per_step  # STDL eq. (3)
            kept_P[p] = np.int8((min(max(u, least), most) + rounds) - rounds)
            store(current_P, p, fired)
            fired_P[p] = fired
        _pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def _look_up(
    grad: Any, grad_apart: int, kept: Any, kept_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, table: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for row in prange(batch * channels):
        sample, channel = row // channels, row % channels
        at, at_kept = sample * grad_apart + channel * pixels, sample * kept_apart + channel * pixels
        grad_P, kept_P = grad[at : at + pixels], kept[at_kept : at_kept + pixels]
        fired_P = _unpacked_row(bits, sample * bits_apart + channel * count, count)
        for p in range(pixels):
            slope = table[np.int32(fired_P[p]) * VALUES + (np.int32(kept_P[p]) - LEAST)]
            store(grad_P, p, load(grad_P, p) * slope)
