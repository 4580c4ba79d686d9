"""Adding to gradients, with temporaries kept small."""

import itertools

import torch
from torch import Tensor, nn

# A pass goes over a layer part by part, so that its temporaries do not count beside the layer. Parts are not smaller
# than is worth the overhead, more for convolutions than for elementwise work, and not more than any layer needs.
CHANNEL_PART_BYTES = 4 * 2**20
SAMPLE_PART_BYTES = 16 * 2**20
MOST_PARTS = 32


def accumulate(parameter: nn.Parameter | Tensor | None, gradient: Tensor | None) -> None:
    """Add `gradient` to what `parameter.grad` holds, in place, in the parameter's own precision."""
    if parameter is None or gradient is None or not parameter.requires_grad:
        return
    if parameter.grad is None:
        parameter.grad = gradient.to(parameter.dtype)
    else:
        parameter.grad.add_(gradient)


def accumulate_part(parameter: nn.Parameter, channels: slice, gradient: Tensor) -> None:
    """Add the gradient of some channels of a parameter with one number per channel."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    parameter.grad[channels] += gradient


def put_part(whole_BCHW: Tensor, channels: slice, part_BCHW: Tensor) -> Tensor:
    """`whole_BCHW` with some channels replaced, in place; a part that is all channels becomes the whole itself."""
    if part_BCHW.shape == whole_BCHW.shape:
        return part_BCHW
    whole_BCHW[:, channels] = part_BCHW
    return whole_BCHW


def parts(count: int, bytes_each: int, part_bytes: int) -> list[slice]:
    """Cut `count` items into at most `MOST_PARTS` runs of at least about `part_bytes`, as even as possible."""
    runs = max(1, min(count, MOST_PARTS, -(-count * bytes_each // part_bytes)))
    borders = [round(index * count / runs) for index in range(runs + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(borders)]


def channel_parts(shape_BCHW: tuple[int, int, int, int], dtype: torch.dtype) -> list[slice]:
    """Runs of channels, all samples together."""
    batch, channels, height, width = shape_BCHW
    return parts(channels, batch * height * width * dtype.itemsize, CHANNEL_PART_BYTES)


def sample_parts(shape_BCHW: tuple[int, int, int, int], dtype: torch.dtype) -> list[slice]:
    """Runs of samples, all channels together."""
    batch, channels, height, width = shape_BCHW
    return parts(batch, channels * height * width * dtype.itemsize, SAMPLE_PART_BYTES)
