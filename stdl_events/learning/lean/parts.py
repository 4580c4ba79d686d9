"""Division of layers into parts, and accumulation of gradients with small temporaries."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class PartSizes:
    """Sizes of the parts in which a layer is processed, so that temporaries are small beside the layer.

    Args:
        channel_bytes: of a run of channels. Smaller parts are not worth the overhead.
        sample_bytes: of a run of samples. Convolutions have more overhead per part than elementwise operations.
        most: maximum number of parts of a layer.
    """

    channel_bytes: int = 4 * 2**20
    sample_bytes: int = 16 * 2**20
    most: int = 32


_DEFAULT = PartSizes()
_sizes: ContextVar[PartSizes] = ContextVar("part_sizes", default=_DEFAULT)
_skips_alike: ContextVar[bool] = ContextVar("skips_alike", default=False)


@contextlib.contextmanager
def part_sizes(sizes: PartSizes) -> Iterator[None]:
    """Run lean mode with other part sizes, so that small layers have as many parts as large ones."""
    token = _sizes.set(sizes)
    try:
        yield
    finally:
        _sizes.reset(token)


def current_part_sizes() -> PartSizes:
    """The sizes in force."""
    return _sizes.get()


@contextlib.contextmanager
def alike_parts_skipped() -> Iterator[None]:
    """Run lean mode for its memory alone, on tensors without data: see `unlike`."""
    token = _skips_alike.set(True)
    try:
        yield
    finally:
        _skips_alike.reset(token)


def unlike(runs: list[slice], groups: Sequence[slice] | None = None) -> list[slice]:
    """The runs that a loop has to go through: all of them or, under `alike_parts_skipped`, those that may differ.

    For loops that keep nothing of one run but what they overwrite or add up in the next, and a tensor for each group of
    runs, which the first run of the group allocates. A run allocates and releases what another did if both and the runs
    before them have the same lengths and places in groups of the same lengths. The first two runs may differ from all.

    Args:
        groups: consecutive runs share a group; None if each run is its own.
    """
    if not _skips_alike.get() or len(runs) < 3:
        return runs
    group_of = [next(group for group in groups or runs if run.stop <= group.stop) for run in runs]
    left = [(run.stop - run.start, group.stop - group.start) for run, group in zip(runs, group_of, strict=True)]
    taken: list[int] = []
    known: set[tuple[object, ...]] = set()

    def take(index: int) -> None:
        """Go through a run, behind one that leaves what the run before it leaves."""
        same_group = index > 0 and group_of[index] == group_of[index - 1]
        follows = left[taken[-1]] == left[index - 1] if taken else index == 0
        if not follows or (same_group and group_of[taken[-1]] != group_of[index]):
            take(index - 1)
        taken.append(index)

    for index, group in enumerate(group_of):
        before = () if index == 0 else (left[index - 1], group_of[index - 1] == group)
        key = (min(index, 2), before, left[index])
        if key not in known:
            known.add(key)
            take(index)
    if left[taken[-1]] != left[-1]:  # what the loop leaves behind
        take(len(runs) - 1)
    return [runs[index] for index in taken]


def accumulate(parameter: nn.Parameter | Tensor | None, gradient: Tensor | None) -> None:
    """In-place add of `gradient` to `parameter.grad`, in the parameter's dtype."""
    if parameter is None or gradient is None or not parameter.requires_grad:
        return
    before = parameter.grad
    if before is None:
        parameter.grad = gradient.to(parameter.dtype).contiguous()
    else:
        before.add_(gradient)


def accumulate_part(parameter: nn.Parameter, channels: slice, gradient: Tensor | None) -> None:
    """Add the gradient of some channels of a parameter with one number per channel."""
    if gradient is None or not parameter.requires_grad:
        return
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    parameter.grad[channels] += gradient


def of_channels(whole_BCHW: Tensor, channels: slice) -> Tensor:
    """Some channels of a tensor: itself for all of them, since a view takes as long as a small kernel."""
    return whole_BCHW if channels.stop - channels.start == whole_BCHW.shape[1] else whole_BCHW[:, channels]


def of_samples(whole_BCHW: Tensor, samples: slice) -> Tensor:
    """Some samples of a tensor: itself for all of them."""
    return whole_BCHW if samples.stop - samples.start == whole_BCHW.shape[0] else whole_BCHW[samples]


def in_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` itself if it has the dtype, which its own method takes longer to find."""
    return x if x.dtype == dtype else x.to(dtype)


def put_part(whole_BCHW: Tensor, channels: slice, part_BCHW: Tensor) -> Tensor:
    """Copy `part_BCHW` into some channels of `whole_BCHW`; a part of all channels is returned without copying."""
    if part_BCHW.shape == whole_BCHW.shape:
        return part_BCHW
    whole_BCHW[:, channels] = part_BCHW
    return whole_BCHW


def parts(count: int, bytes_each: int, part_bytes: int) -> list[slice]:
    """Cut `count` items into at most `PartSizes.most` runs of at least about `part_bytes`, as even as possible."""
    return [*_cut(count, max(1, min(count, _sizes.get().most, -(-count * bytes_each // part_bytes))))]


@functools.lru_cache(maxsize=1024)
def _cut(count: int, runs: int) -> tuple[slice, ...]:
    borders = [round(index * count / runs) for index in range(runs + 1)]
    return tuple(slice(start, stop) for start, stop in itertools.pairwise(borders))


def channel_parts(shape_BCHW: tuple[int, int, int, int], dtype: torch.dtype) -> list[slice]:
    """Runs of channels, all samples together."""
    batch, channels, height, width = shape_BCHW
    return parts(channels, batch * height * width * dtype.itemsize, _sizes.get().channel_bytes)


def sample_parts(shape_BCHW: tuple[int, int, int, int], dtype: torch.dtype) -> list[slice]:
    """Runs of samples, all channels together."""
    batch, channels, height, width = shape_BCHW
    return parts(batch, channels * height * width * dtype.itemsize, _sizes.get().sample_bytes)
