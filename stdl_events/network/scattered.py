"""Convolutions that follow events: torch's dense convolution, or kernels that add one row for each non-zero input.

The density of the input is measured and compared with a break-even that depends on shapes alone, so that equal inputs
take equal paths. Only tensors on the CPU in float32 and float64 are scattered: branching on the values of a device's
tensors would wait for them, and fake tensors have none.

B batch, C channels, H height, W width, P pixels (H W), Q = ceil(P / 8) bytes, O output channels, k kernel.
"""

import dataclasses
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from stdl_events import scatter
from stdl_events.scatter import Geometry, forward_break_even

Convolutions: TypeAlias = Literal["auto", "dense"]
"""`auto` scatters where the input is sparse enough, `dense` never does."""

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


@dataclasses.dataclass(frozen=True)
class SparseInput:
    """A convolution's input, whose non-zeros may be scattered.

    Args:
        shape_BCHW: its shape.
        bits_BCQ: packed spikes; None where there are numbers.
        values_BCHW: counts, uint8, or floating point numbers, contiguous.
        scale: a factor of all values.
    """

    shape_BCHW: tuple[int, int, int, int]
    bits_BCQ: Tensor | None = None
    values_BCHW: Tensor | None = None
    scale: float = 1.0

    def is_at_most(self, density: float) -> bool:
        """True if at most this share of the inputs is not zero; of numbers, a part is counted first."""
        if density <= 0:
            return False
        most = density * self.numel
        if self.values_BCHW is not None:
            sampled, of = _kernels().sample(self.values_BCHW.data.reshape(-1).numpy())
            if sampled > density * of:
                return False
        return bool(self.nonzeros().total <= most)

    @property
    def numel(self) -> int:
        """Number of its inputs."""
        return torch.Size(self.shape_BCHW).numel()

    def part(self, samples: slice) -> "SparseInput":
        """Some of its samples."""
        bits, values = (None if x is None else x[samples] for x in (self.bits_BCQ, self.values_BCHW))
        count = len(range(self.shape_BCHW[0])[samples])
        return SparseInput((count, *self.shape_BCHW[1:]), bits, values, self.scale)

    def nonzeros(self) -> Any:
        """Its non-zeros for the kernels."""
        kernels, threads = _kernels(), torch.get_num_threads()
        if self.bits_BCQ is not None:
            return kernels.from_bits(self.bits_BCQ.numpy(), scale=self.scale, threads=threads, empty=empty)
        assert self.values_BCHW is not None, "an input has bits or values"
        values_BCP = self.values_BCHW.data.flatten(2).numpy()
        return kernels.from_values(values_BCP, scale=self.scale, threads=threads, empty=empty)


def scattered(x: SparseInput, weight_OCkk: Tensor, bias_O: Tensor | None, geometry: Geometry, out: Tensor) -> None:
    """Write the convolution of `x` to `out`, contiguous."""
    bias = None if bias_O is None else bias_O.data.numpy()
    weight = weight_OCkk.data.contiguous().numpy()
    _kernels().convolve(x.nonzeros(), weight, bias, geometry, out.numpy(), threads=torch.get_num_threads(), empty=empty)


def scattered_gradient(x: SparseInput, grad_BOHW: Tensor, geometry: Geometry, out_OCkk: Tensor) -> None:
    """Write the gradient of the weights to `out_OCkk`, from that of the output; both contiguous."""
    threads = torch.get_num_threads()
    _kernels().weight_gradient(
        x.nonzeros(), grad_BOHW.numpy(), geometry, out_OCkk.numpy(), threads=threads, empty=empty
    )


def convolution_bytes(x: SparseInput, geometry: Geometry, batch: int, dtype: torch.dtype) -> int:
    """Bytes of the temporary tensors of `scattered` for so many of the samples, with all of its non-zeros in them."""
    return _bytes(_kernels().convolution_bytes, x, geometry, batch, dtype)


def gradient_bytes(x: SparseInput, geometry: Geometry, batch: int, dtype: torch.dtype) -> int:
    """The same of `scattered_gradient`."""
    return _bytes(_kernels().gradient_bytes, x, geometry, batch, dtype)


def _bytes(count: Callable[..., int], x: SparseInput, geometry: Geometry, batch: int, dtype: torch.dtype) -> int:
    options = {"has_values": x.bits_BCQ is None, "threads": torch.get_num_threads()}
    return count(geometry, batch, x.nonzeros().total, _name(dtype), **options)


def geometry_of(conv: nn.Conv2d, shape_BCHW: tuple[int, int, int, int], outputs: int | None = None) -> Geometry | None:
    """The sizes of `conv`, or of some of its output channels; None if the kernels have no such convolution."""
    sizes = (conv.kernel_size, conv.stride, conv.padding)
    plain = conv.groups == 1 and set(conv.dilation) == {1} and conv.padding_mode == "zeros"
    if not plain or any(isinstance(size, str) or len(set(size)) != 1 for size in sizes):
        return None
    kernel, stride, padding = (int(size[0]) for size in sizes)
    _, inputs, height, width = shape_BCHW
    return Geometry(inputs, conv.out_channels if outputs is None else outputs, height, width, kernel, stride, padding)


def may_scatter(x: Tensor) -> bool:
    """True for a tensor with values on the CPU that the kernels can read."""
    real = type(x) is Tensor and x.device.type == "cpu" and x.is_contiguous()
    return real and x.dtype in (torch.float32, torch.float64, torch.uint8)


def convolved(conv: nn.Conv2d, x_BCHW: Tensor, weight_OCkk: Callable[[], Tensor]) -> Tensor | None:
    """The output of `conv` without a graph if the input is sparse enough to scatter it, else None.

    Args:
        weight_OCkk: of the convolution, called only if it is scattered.
    """
    replaced = any(getattr(conv, hooks) for hooks in _HOOKS) or "forward" in vars(conv)
    if replaced or not may_scatter(x_BCHW) or x_BCHW.dtype != conv.weight.dtype or x_BCHW.dim() != 4:
        return None
    batch, channels, height, width = x_BCHW.shape
    x = SparseInput((batch, channels, height, width), values_BCHW=x_BCHW)
    geometry = geometry_of(conv, x.shape_BCHW)
    if geometry is None or not x.is_at_most(forward_break_even(geometry, batch)):
        return None
    out = x_BCHW.new_empty((batch, geometry.outputs, geometry.out_height, geometry.out_width))
    scattered(x, weight_OCkk(), conv.bias, geometry, out)
    return out


def empty(count: int, dtype: Any) -> Any:
    """A flat numpy array whose memory comes from torch, so that a count of torch's bytes sees it."""
    return torch.empty(count, dtype=getattr(torch, np.dtype(dtype).name)).numpy()


def _name(dtype: torch.dtype) -> str:
    """The name of numpy's dtype."""
    return str(dtype).removeprefix("torch.")


@functools.cache
def _kernels() -> ModuleType:
    """The kernels, with numba's threads started, which would change torch's number of threads."""
    number = torch.get_num_threads()
    scatter.most_threads()
    torch.set_num_threads(number)
    return scatter
