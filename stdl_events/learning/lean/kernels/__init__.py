"""Kernels of lean mode on neurons, spikes and pooling windows, each with one pass over memory.

They are torch operators, so that the meter can run them on fake tensors. The CPU has compiled kernels (`cpu.py`). CUDA
has Triton kernels for the neurons (`cuda.py`). All else runs the plain kernels (`reference.py`), against which both are
tested.

B batch, C channels, H height, W width, P pixels (H W), Q = ceil(P / 8) bytes. Tensors lie in rows, those of batch norm
and poolings on the CPU may lie channels last (`layout.py`), all of one call alike; a tensor may be a channel slice of
another. Bits are packed along the pixels of each channel, the first pixel in the highest bit of its byte; missing
pixels are zeros.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C import _len_torch_dispatch_stack
from torch._C._autograd import _profiler_enabled

from stdl_events.learning.lean.kernels.choice import OF_EIGHT_BITS, OF_NORM, fuses_norm, kernel
from stdl_events.learning.lean.kernels.layout import (
    BITS,
    empty,
    in_rows,
    laid_out,
    lies_channels_last,
    turned,
)

__all__ = [
    "BITS",
    "count_",
    "empty",
    "fire_",
    "fire_eight_bits_",
    "fire_normed_",
    "fired",
    "fuses_norm",
    "in_rows",
    "laid_out",
    "lies_channels_last",
    "pack_",
    "spread",
    "surrogate_backward_",
    "surrogate_backward_eight_bits_",
    "surrogate_backward_normed_",
    "turned",
    "unpack",
]

_operators = torch.library.Library("stdl_events", "DEF")
_operators.define(
    "fire_(Tensor(a!) current, Tensor(b!) u, Tensor(c!) bits, float decay, float threshold, float amount) -> ()"
)
_operators.define(
    "surrogate_backward_(Tensor(a!) grad, Tensor u, Tensor bits, float threshold, float amount, str surrogate, "
    "float width) -> ()"
)
_operators.define(
    "fire_eight_bits_(Tensor(a!) current, Tensor(b!) kept, Tensor(c!) bits, float decay, float threshold, "
    "float amount, float step) -> ()"
)
_operators.define(
    "surrogate_backward_eight_bits_(Tensor(a!) grad, Tensor kept, Tensor bits, float threshold, float amount, "
    "float step, str surrogate, float width) -> ()"
)
for _name in ("fire_normed_", "fire_eight_bits_normed_"):
    _operators.define(
        f"{_name}(Tensor(a!) spikes, Tensor y, Tensor(b!) u, Tensor(c!) bits, Tensor(d!)[] norm, float momentum, "
        "float eps, float[] neurons) -> ()"
    )
for _name in ("surrogate_backward_normed_", "surrogate_backward_eight_bits_normed_"):
    _operators.define(
        f"{_name}(Tensor(a!) grad, Tensor y, Tensor u, Tensor bits, Tensor(b!)[] norm, float[] neurons, "
        "str surrogate, float width) -> ()"
    )
_operators.define("pack_(Tensor spikes, Tensor(a!) bits) -> ()")
_operators.define("unpack(Tensor bits, int pixels, ScalarType dtype, bool channels_last=False) -> Tensor")
_operators.define("count_(Tensor bits, Tensor(a!) counts, int window) -> ()")
_operators.define("fired(Tensor bits) -> Tensor")
_operators.define("spread(Tensor grad, int window) -> Tensor")


def fire_(
    current_BCHW: Tensor, u_BCHW: Tensor, bits_BCQ: Tensor, decay: float, threshold: float, amount: float
) -> None:
    """One step of neurons with soft reset, in place: overwrites the current with spikes, `bits_BCQ` with packed ones.

    Args:
        u_BCHW: membrane potential after reset, updated in place.
        amount: subtracted per spike.
    """
    _run("fire_", current_BCHW, u_BCHW, bits_BCQ, decay, threshold, amount)


def surrogate_backward_(
    grad_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    surrogate: str,
    width: float,
) -> None:
    """Overwrite the gradient of the spikes with that of the current; `u_BCHW` and `bits_BCQ` are results of `fire_`."""
    _run("surrogate_backward_", grad_BCHW, u_BCHW, bits_BCQ, threshold, amount, surrogate, width)


def fire_eight_bits_(
    current_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    decay: float,
    threshold: float,
    amount: float,
    step: float,
) -> None:
    """`fire_` of neurons that keep their membrane potential in eight bits, as `network.neurons.eight_bits` defines.

    Args:
        kept_BCHW: int8, updated in place.
        step: a power of two; the kept potential is `step` times the integer.
    """
    _run("fire_eight_bits_", current_BCHW, kept_BCHW, bits_BCQ, decay, threshold, amount, step)


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
    """`surrogate_backward_` from the results of `fire_eight_bits_`."""
    numbers = (threshold, amount, step, surrogate, width)
    _run("surrogate_backward_eight_bits_", grad_BCHW, kept_BCHW, bits_BCQ, *numbers)


def fire_normed_(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    neurons: tuple[float, ...],
) -> None:
    """Batch norm in training, then `fire_` or, for potentials in int8, `fire_eight_bits_`; updates running statistics.

    Args:
        spikes_BCHW: overwritten; may be `y_BCHW`, or empty, for packed spikes alone.
        y_BCHW: the norm's input.
        norm_C: weight, bias, running mean and variance, and room for the mean and 1 / standard deviation of the batch.
        neurons: the numbers of `fire_` or `fire_eight_bits_`.
    """
    name = "fire_eight_bits_normed_" if u_BCHW.dtype == torch.int8 else "fire_normed_"
    _run(name, spikes_BCHW, y_BCHW, u_BCHW, bits_BCQ, norm_C, momentum, eps, neurons)


def surrogate_backward_normed_(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    neurons: tuple[float, ...],
    surrogate: str,
    width: float,
) -> None:
    """Overwrite the gradient of the spikes with that of the norm's input, from the results of `fire_normed_`.

    Args:
        norm_C: weight, mean and 1 / standard deviation of the batch; the gradients of weight and bias, added to.
        neurons: threshold and amount, for potentials in int8 the step too.
    """
    is_kept = u_BCHW.dtype == torch.int8
    name = "surrogate_backward_eight_bits_normed_" if is_kept else "surrogate_backward_normed_"
    _run(name, grad_BCHW, y_BCHW, u_BCHW, bits_BCQ, norm_C, neurons, surrogate, width)


def pack_(spikes_BCHW: Tensor, bits_BCQ: Tensor) -> None:
    """Pack the non-zeros of `spikes_BCHW` into `bits_BCQ`."""
    _run("pack_", spikes_BCHW, bits_BCQ)


def unpack(bits_BCQ: Tensor, pixels: int, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """spikes_BCP: zeros and ones; in rows, or with the channels of a pixel side by side."""
    spikes_BCP: Tensor = _run("unpack", bits_BCQ, pixels, dtype, channels_last)
    return spikes_BCP


def count_(bits_BCQ: Tensor, counts_BCHW: Tensor, window: int) -> None:
    """Count the packed spikes of each of the tiles of `window` by `window` pixels into `counts_BCHW`, uint8."""
    _run("count_", bits_BCQ, counts_BCHW, window)


def fired(bits_BCQ: Tensor) -> Tensor:
    """counts_B: the spikes of each sample, int64."""
    counts_B: Tensor = _run("fired", bits_BCQ)
    return counts_B


def spread(grad_BCHW: Tensor, window: int) -> Tensor:
    """The gradient of the input of average pooling over such windows, from that of the averages."""
    spread_BCHW: Tensor = _run("spread", grad_BCHW, window)
    return spread_BCHW


# Position of the surrogate's name among the arguments, counted from the second.
_SURROGATE_AT = {
    "surrogate_backward_": 4,
    "surrogate_backward_normed_": 5,
    "surrogate_backward_eight_bits_": 5,
    "surrogate_backward_eight_bits_normed_": 5,
}
_IN_PLACE = ("fire_", "surrogate_backward_", "pack_", "count_", *OF_NORM, *OF_EIGHT_BITS)


def _run(name: str, first: Tensor, *others: Any) -> Any:
    """Run a kernel; as an operator where a mode, a fake tensor or the profiler has to see it.

    Torch takes longer to call an operator written in Python than a kernel takes for a small layer.
    """
    if type(first) is Tensor and not _len_torch_dispatch_stack() and not _profiler_enabled():
        return _run_kernel(name, first, *others)
    return getattr(torch.ops.stdl_events, name)(first, *others)


def _run_kernel(name: str, first: Tensor, *others: Any) -> Any:
    dtype = first.dtype if name != "unpack" else others[1]
    surrogate = others[_SURROGATE_AT[name]] if name in _SURROGATE_AT else None
    return kernel(name, first.device, dtype, surrogate)(first, *others)


for _name in (*_IN_PLACE, "unpack", "fired", "spread"):
    _operators.impl(_name, partial(_run_kernel, _name), "CompositeExplicitAutograd")


@torch.library.register_fake("stdl_events::unpack", lib=_operators)
def _(bits_BCQ: Tensor, pixels: int, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    batch, channels, _ = bits_BCQ.shape
    if channels_last:
        return bits_BCQ.new_empty((batch, pixels, channels), dtype=dtype).transpose(1, 2)
    return bits_BCQ.new_empty((batch, channels, pixels), dtype=dtype)


@torch.library.register_fake("stdl_events::fired", lib=_operators)
def _(bits_BCQ: Tensor) -> Tensor:
    return bits_BCQ.new_empty((bits_BCQ.shape[0],), dtype=torch.int64)


@torch.library.register_fake("stdl_events::spread", lib=_operators)
def _(grad_BCHW: Tensor, window: int) -> Tensor:
    batch, channels, height, width = grad_BCHW.shape
    size = (batch, channels, height * window, width * window)
    return empty(grad_BCHW, size, channels_last=lies_channels_last(grad_BCHW))


for _name in _IN_PLACE:
    torch.library.register_fake(f"stdl_events::{_name}", lambda *arguments: None, lib=_operators)
