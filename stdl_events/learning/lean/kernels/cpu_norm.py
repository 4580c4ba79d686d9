"""CPU kernels of neurons behind batch norm in training: statistics, norm and neurons of a channel, one after the other.

A channel of all samples stays in the processor's cache from its statistics to its spikes, and in backward from the
surrogate gradient to the gradient of the convolution's output, so that each tensor is read from memory once. Threads
share the channels. For float32, float64 and bfloat16, whose arithmetic is in float32.

Sums are in float64, whatever the dtype, and of differences from one of the numbers, so that a large mean costs no
digits: the variance of N numbers is off by at most about N 2^-53 of itself. Running statistics, scale and offset follow
torch's `batch_norm`.
"""

from typing import Any

import numpy as np
from numba import prange
from torch import Tensor

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu import flat, run_on_rows, sizes
from stdl_events.learning.lean.kernels.cpu_bf16 import as_array, as_numbers, load, number_of, number_type, store
from stdl_events.learning.lean.kernels.cpu_last import fire_normed, nowhere, placed, surrogate_backward_normed
from stdl_events.learning.lean.kernels.cpu_neurons import FORMULAS, fire_row, surrogate_row
from stdl_events.learning.lean.kernels.cpu_rows import pack_row, spikes_row, unpack_row
from stdl_events.learning.lean.kernels.cpu_statistics import settle, slopes
from stdl_events.learning.lean.kernels.layout import BITS, lies_channels_last
from stdl_events.network.registries import SURROGATES
from stdl_events.scatter.compiled import inlined

__all__ = ["FORMULAS", "fire_normed_", "surrogate_backward_normed_"]


def fire_normed_(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    neurons: list[float],
) -> None:
    numbers = as_numbers(number_type(as_array(y_BCHW)), *neurons)
    step_normed(spikes_BCHW, y_BCHW, u_BCHW, bits_BCQ, norm_C, momentum, eps, numbers)


def step_normed(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    numbers: tuple[Any, ...],
) -> None:
    """Norm and neurons, whose numbers `fire_row` takes."""
    is_last = lies_channels_last(y_BCHW)
    place = placed if is_last else flat
    y = place(y_BCHW)
    spikes = place(spikes_BCHW) if spikes_BCHW.shape[0] else nowhere(y)
    arrays = (*y, *spikes, *place(u_BCHW), *flat(bits_BCQ))
    kernel = fire_normed if is_last else _fire_normed
    run_on_rows(kernel, *arrays, *sizes(y_BCHW), _per_channel(norm_C), momentum, eps, numbers)


def surrogate_backward_normed_(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    neurons: list[float],
    surrogate: str,
    width: float,
) -> None:
    numbers = as_numbers(number_type(as_array(grad_BCHW)), *neurons, width)
    slope_normed(grad_BCHW, y_BCHW, u_BCHW, bits_BCQ, norm_C, numbers, FORMULAS[SURROGATES[surrogate]])


def slope_normed(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    numbers: tuple[Any, ...],
    formula: int,
) -> None:
    """Backward of neurons and norm; numbers and formula as `surrogate_row` takes them."""
    is_last = lies_channels_last(grad_BCHW)
    place = placed if is_last else flat
    arrays = (*place(grad_BCHW), *place(y_BCHW), *place(u_BCHW), *flat(bits_BCQ))
    kernel = surrogate_backward_normed if is_last else _surrogate_backward_normed
    run_on_rows(kernel, *arrays, *sizes(grad_BCHW), _per_channel(norm_C), numbers, formula)


def _per_channel(norm_C: list[Tensor]) -> tuple[Any, ...]:
    """Tensors of one number per channel as arrays."""
    return tuple([(x.detach() if x.requires_grad else x).numpy() for x in norm_C])


_compiled = cached_njit(parallel=True, fastmath={"contract"})
# Sums in any order, as many at a time as a vector has room for.
_summed = cached_njit(fastmath={"contract", "nsz", "reassoc"})


@_summed
def _sums_row(y_P: Any, shift: Any) -> Any:
    """The sum of one row's differences from `shift`, and of their squares."""
    total, squares = 0.0, 0.0
    for p in range(len(y_P)):
        difference = np.float64(load(y_P, p)) - shift
        total += difference
        squares += difference * difference
    return total, squares


@_summed
def _products_row(grad_P: Any, y_P: Any, mean: Any) -> Any:
    """The sum of one row's gradients, and of their products with the numbers' differences from the mean."""
    total, products = 0.0, 0.0
    for p in range(len(grad_P)):
        gradient = np.float64(load(grad_P, p))
        total += gradient
        products += gradient * (np.float64(load(y_P, p)) - mean)
    return total, products


@inlined
def _normalise(
    y: Any, y_apart: int, batch: int, pixels: int, channel: int, norm_C: Any, momentum: float, eps: float
) -> Any:  # fmt: skip
    """Take the statistics of one channel, and update the running ones. Returns its scale and offset."""
    at = channel * pixels
    shift, total, squares = np.float64(load(y, at)), 0.0, 0.0
    for _ in range(batch):
        row_total, row_squares = _sums_row(y[at : at + pixels], shift)
        total += row_total
        squares += row_squares
        at += y_apart
    scale, offset = settle(shift, total, squares, batch * pixels, channel, norm_C, momentum, eps)
    return number_of(y, scale), number_of(y, offset)


@inlined
def _through_norm(
    grad: Any, grad_apart: int, y: Any, y_apart: int, batch: int, pixels: int, channel: int, norm_C: Any
) -> None:
    """Overwrite the gradient of one normalised channel with that of `y`; add those of its weight and bias."""
    mean = np.float64(norm_C[1][channel])
    total, products = 0.0, 0.0
    for sample in range(batch):
        at, at_y = sample * grad_apart + channel * pixels, sample * y_apart + channel * pixels
        row_total, row_products = _products_row(grad[at : at + pixels], y[at_y : at_y + pixels], mean)
        total += row_total
        products += row_products
    found = slopes(total, products, batch * pixels, channel, norm_C)
    middle, slope = number_of(y, found[0]), number_of(y, found[1])
    average, scale = number_of(y, found[2]), number_of(y, found[3])
    for sample in range(batch):
        at, at_y = sample * grad_apart + channel * pixels, sample * y_apart + channel * pixels
        grad_P, y_P = grad[at : at + pixels], y[at_y : at_y + pixels]
        for p in range(pixels):
            store(grad_P, p, (load(grad_P, p) - average - (load(y_P, p) - middle) * slope) * scale)


@_compiled
def _fire_normed(
    y: Any, y_apart: int, spikes: Any, spikes_apart: int, u: Any, u_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, momentum: float, eps: float, neurons: Any,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for channel in prange(channels):
        scale, offset = _normalise(y, y_apart, batch, pixels, channel, norm_C, momentum, eps)
        words_Q = np.zeros(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for sample in range(batch):
            at, at_y = sample * spikes_apart + channel * pixels, sample * y_apart + channel * pixels
            at_u = sample * u_apart + channel * pixels
            y_P, u_P = y[at_y : at_y + pixels], u[at_u : at_u + pixels]
            fire_row(y_P, scale, offset, u_P, fired_P, neurons)
            if len(spikes) > 0:
                spikes_row(fired_P, spikes[at : at + pixels])
            pack_row(words_Q, bits, sample * bits_apart + channel * count)


@_compiled
def _surrogate_backward_normed(
    grad: Any, grad_apart: int, y: Any, y_apart: int, u: Any, u_apart: int, bits: Any, bits_apart: int,
    batch: int, channels: int, pixels: int, norm_C: Any, numbers: Any, surrogate: int,
) -> None:  # fmt: skip
    count = (pixels + BITS - 1) // BITS
    for channel in prange(channels):
        words_Q = np.empty(count, np.uint64)
        fired_P = words_Q.view(np.uint8)
        for sample in range(batch):
            at, at_u = sample * grad_apart + channel * pixels, sample * u_apart + channel * pixels
            unpack_row(bits, sample * bits_apart + channel * count, words_Q)
            grad_P, u_P = grad[at : at + pixels], u[at_u : at_u + pixels]
            surrogate_row(grad_P, u_P, fired_P, numbers, surrogate)
        _through_norm(grad, grad_apart, y, y_apart, batch, pixels, channel, norm_C)
