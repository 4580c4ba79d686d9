# Triton's kernels have arguments of Triton's types.
# mypy: disallow-untyped-defs=False
"""Triton kernels for the neurons of lean mode on a CUDA device, each with one pass over memory.

B batch, C channels, H height, W width, P pixels (H W), Q = ceil(P / 8) bytes per channel. Tensors may be channel slices
of larger ones: the pixels of a channel are contiguous, samples and channels have any stride. The first pixel is in the
highest bit of its byte; missing pixels are zeros.

float32 and float64 are computed in their own dtype, float16 and bfloat16 in float32. Kernels are queued on the current
device's current stream. They do not synchronise, and only `unpack` allocates.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import RECTANGLE, SIGMOID, TRIANGLE, Surrogate

# The surrogates that `surrogate_backward_` has a formula for, with their names in its kernel.
FORMULAS: dict[Surrogate, str] = {TRIANGLE: "triangle", RECTANGLE: "rectangle", SIGMOID: "sigmoid"}

# Bytes per program: 1024 pixels, 8 for each of its 128 threads.
_BYTES = 128
# Up to this many pixels, offsets that are divided have 32 bits.
_MOST_NARROW = 2**31 - 8 * _BYTES


def fire_(
    current_BCHW: Tensor, u_BCHW: Tensor, bits_BCQ: Tensor, decay: float, threshold: float, amount: float
) -> None:
    """One step of neurons with soft reset, in place: overwrites the current with spikes, `bits_BCQ` with packed ones.

    In float16 and bfloat16, m = current + decay u is rounded to its dtype before the comparison with the threshold, and
    u = m - amount s when it is stored. Torch rounds at the same places, so the same neurons fire.

    Args:
        u_BCHW: membrane potential after reset, updated in place.
        amount: subtracted per spike.
    """
    sizes, options = _launch(current_BCHW, bits_BCQ)
    strides = (*_strides(current_BCHW), *_strides(u_BCHW), *_strides(bits_BCQ))
    numbers = (decay, threshold, amount)
    _fire_kernel[_grid(bits_BCQ)](current_BCHW, u_BCHW, bits_BCQ, *strides, *sizes, *numbers, **options)


def surrogate_backward_(
    grad_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    surrogate: str,
    width: float,
) -> None:
    """Overwrite the gradient of the spikes with that of the current; `u_BCHW` and `bits_BCQ` are results of `fire_`.

    In float16 and bfloat16 only the result is rounded; torch rounds after each operation.

    Args:
        surrogate: the name of one of `FORMULAS`, see `stdl_events.network.surrogate`.
        width: as there.
    """
    sizes, options = _launch(grad_BCHW, bits_BCQ)
    strides = (*_strides(grad_BCHW), *_strides(u_BCHW), *_strides(bits_BCQ))
    numbers = (threshold, amount, width)
    kernel = _surrogate_backward_kernel[_grid(bits_BCQ)]
    kernel(
        grad_BCHW, u_BCHW, bits_BCQ, *strides, *sizes, *numbers, SURROGATE=FORMULAS[SURROGATES[surrogate]], **options
    )


def unpack(bits_BCQ: Tensor, pixels: int, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """spikes_BCP: zeros and ones; in rows."""
    assert not channels_last, "on CUDA all tensors lie in rows"
    batch, channels, _ = bits_BCQ.shape
    spikes_BCP = bits_BCQ.new_empty((batch, channels, pixels), dtype=dtype)
    sizes, options = _launch(spikes_BCP, bits_BCQ)
    del options["COMPUTE"]
    _unpack_kernel[_grid(bits_BCQ)](spikes_BCP, bits_BCQ, *_strides(spikes_BCP), *_strides(bits_BCQ), *sizes, **options)
    return spikes_BCP


def _grid(bits_BCQ: Tensor) -> tuple[int]:
    return (triton.cdiv(bits_BCQ.numel(), _BYTES),)


def _launch(values: Tensor, bits_BCQ: Tensor) -> tuple[tuple[int, int, int, int], dict[str, Any]]:
    """Sizes and compile-time constants of a kernel."""
    _, channels, row_bytes = bits_BCQ.shape
    count = bits_BCQ.numel()
    options = {
        "COMPUTE": tl.float64 if values.dtype == torch.float64 else tl.float32,
        "INDEX": tl.int32 if 8 * count <= _MOST_NARROW else tl.int64,
        "BYTES": _BYTES,
    }
    return (count, channels, row_bytes, values.shape[2:].numel()), options


def _strides(x: Tensor) -> tuple[int, int]:
    """Strides of samples and channels."""
    assert x[:1, :1].is_contiguous(), "the pixels of a channel lie in a row"
    return x.stride(0), x.stride(1)


@triton.jit
def _place(count, channels, row_bytes, pixels, INDEX: tl.constexpr, BYTES: tl.constexpr):
    """Sample, channel and byte of this program's [BYTES], pixels of its [BYTES, 8], and masks of the existing ones."""
    flat = tl.program_id(0).to(INDEX) * BYTES + tl.arange(0, BYTES)
    row = flat // row_bytes
    q = flat % row_bytes
    pixel = q[:, None] * 8 + tl.arange(0, 8)[None, :]
    there = flat < count
    seen = there[:, None] & (pixel < pixels)
    return (row // channels).to(tl.int64), (row % channels).to(tl.int64), q, pixel, there, seen


@triton.jit
def _unpacked(byte):
    """Bits of [BYTES] as bools [BYTES, 8]."""
    return ((byte.to(tl.int32)[:, None] >> (7 - tl.arange(0, 8))[None, :]) & 1) != 0


@triton.jit
def _fire_kernel(
    current_ptr, u_ptr, bits_ptr,
    current_b, current_c, u_b, u_c, bits_b, bits_c,
    count, channels, row_bytes, pixels,
    decay: tl.float64, threshold: tl.float64, amount: tl.float64,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, BYTES: tl.constexpr,
):  # fmt: skip
    b, c, q, pixel, there, seen = _place(count, channels, row_bytes, pixels, INDEX, BYTES)
    current_ptr += (b * current_b + c * current_c)[:, None] + pixel
    u_ptr += (b * u_b + c * u_c)[:, None] + pixel
    current = tl.load(current_ptr, mask=seen, other=0)
    u = tl.load(u_ptr, mask=seen, other=0)
    m = tl.fma(u.to(COMPUTE), tl.full((1, 1), decay, COMPUTE), current.to(COMPUTE))  # STDL eq. (1)
    m = m.to(current.dtype).to(COMPUTE)
    fired = (m >= tl.full((1, 1), threshold, COMPUTE)) & seen  # STDL eq. (2)
    s = fired.to(COMPUTE)
    u = m - tl.full((1, 1), amount, COMPUTE) * s  # STDL eq. (3)
    tl.store(u_ptr, u.to(current.dtype), mask=seen)
    tl.store(current_ptr, s.to(current.dtype), mask=seen)
    byte = tl.sum(fired.to(tl.int32) << (7 - tl.arange(0, 8))[None, :], axis=1)
    tl.store(bits_ptr + b * bits_b + c * bits_c + q, byte.to(tl.uint8), mask=there)


@triton.jit
def _surrogate_backward_kernel(
    grad_ptr, u_ptr, bits_ptr,
    grad_b, grad_c, u_b, u_c, bits_b, bits_c,
    count, channels, row_bytes, pixels,
    threshold: tl.float64, amount: tl.float64, width: tl.float64,
    SURROGATE: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, BYTES: tl.constexpr,
):  # fmt: skip
    b, c, q, pixel, there, seen = _place(count, channels, row_bytes, pixels, INDEX, BYTES)
    grad_ptr += (b * grad_b + c * grad_c)[:, None] + pixel
    byte = tl.load(bits_ptr + b * bits_b + c * bits_c + q, mask=there, other=0)
    u = tl.load(u_ptr + (b * u_b + c * u_c)[:, None] + pixel, mask=seen, other=0).to(COMPUTE)
    grad = tl.load(grad_ptr, mask=seen, other=0)
    taken = _unpacked(byte).to(COMPUTE) * tl.full((1, 1), amount, COMPUTE)
    distance = (taken + u) - tl.full((1, 1), threshold, COMPUTE)
    if SURROGATE == "triangle":
        past = tl.abs(distance) - tl.full((1, 1), width, COMPUTE)
        gradient = tl.where(past > 0, 0.0, past) / tl.full((1, 1), -width * width, COMPUTE)  # STDL eq. (7)
    elif SURROGATE == "rectangle":
        near = tl.abs(distance) < tl.full((1, 1), width / 2, COMPUTE)
        gradient = near.to(COMPUTE) / tl.full((1, 1), width, COMPUTE)
    else:
        tl.static_assert(SURROGATE == "sigmoid")
        slope = tl.full((1, 1), width, COMPUTE)
        sigmoid = 1 / (1 + tl.exp(-(distance * slope)))
        gradient = sigmoid * (1 - sigmoid) * slope
    tl.store(grad_ptr, (gradient * grad.to(COMPUTE)).to(grad.dtype), mask=seen)


@triton.jit
def _unpack_kernel(
    spikes_ptr, bits_ptr, spikes_b, spikes_c, bits_b, bits_c,
    count, channels, row_bytes, pixels,
    INDEX: tl.constexpr, BYTES: tl.constexpr,
):  # fmt: skip
    b, c, q, pixel, there, seen = _place(count, channels, row_bytes, pixels, INDEX, BYTES)
    byte = tl.load(bits_ptr + b * bits_b + c * bits_c + q, mask=there, other=0)
    # Triton's interpreter converts to bfloat16 from float32 only.
    s = _unpacked(byte).to(tl.float32).to(spikes_ptr.dtype.element_ty)
    tl.store(spikes_ptr + (b * spikes_b + c * spikes_c)[:, None] + pixel, s, mask=seen)
