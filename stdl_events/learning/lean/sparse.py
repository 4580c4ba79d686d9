"""A convolution's input that may be scattered: which signals are sparse, and the choice for one step.

The density is measured once, in forward. Backward takes the paths that forward chose, so that a recomputed output is
equal bit for bit. Fake tensors, and with them the meter, take the dense path, whose tensors are at least as large: each
scattered part has less temporary memory than the dense one would have had in its place.

B batch, C channels, H height, W width, O output channels, k kernel.
"""

import dataclasses

import torch
from torch import Tensor, nn

from stdl_events.learning.lean.signals import Counts, Dense, Scaled, Shape, Signal, Spikes, Traced
from stdl_events.network.scattered import (
    SparseInput,
    convolution_bytes,
    geometry_of,
    gradient_bytes,
    may_scatter,
    scattered,
    scattered_gradient,
)
from stdl_events.scatter import Geometry, forward_break_even, weight_break_even


@dataclasses.dataclass(frozen=True)
class Scattering:
    """What one step of one convolution scatters.

    Args:
        x: the input.
        forward: True to scatter in forward, and when the output is recomputed.
        weights: True to scatter for the weights' gradient.
    """

    x: SparseInput
    geometry: Geometry
    forward: bool
    weights: bool

    def convolve(self, samples: slice, weight_OCkk: Tensor, bias_O: Tensor | None, out: Tensor) -> None:
        """Write some output channels of some samples to `out`."""
        geometry = dataclasses.replace(self.geometry, outputs=len(weight_OCkk))
        scattered(self.x.part(samples), weight_OCkk, bias_O, geometry, out)

    def weight_gradient(self, runs: list[slice], grad_y: Tensor, weight_OCkk: Tensor) -> Tensor:
        """The gradient of the weights, from that of the whole output, contiguous."""
        total = weight_OCkk.new_empty(weight_OCkk.shape)
        scattered_gradient(self.x.part(runs[0]), grad_y[runs[0]], self.geometry, total)
        for samples in runs[1:]:
            part = weight_OCkk.new_empty(weight_OCkk.shape)
            scattered_gradient(self.x.part(samples), grad_y[samples], self.geometry, part)
            total.add_(part)
        return total


def choose(
    conv: nn.Conv2d, x: Signal, runs: list[slice], groups: list[slice], *, room: int, learns: bool
) -> Scattering | None:
    """What a step scatters; None for nothing.

    Args:
        runs: samples that are convolved together.
        groups: output channels that are convolved together.
        room: bytes of temporary tensors that the dense path has, besides the input's own.
        learns: True if the weights' gradient may be needed.
    """
    source = _sparse(x)
    geometry = None if source is None else geometry_of(conv, x.shape)
    if source is None or geometry is None:
        return None
    batch = max(run.stop - run.start for run in runs)
    narrow = dataclasses.replace(geometry, outputs=min(group.stop - group.start for group in groups))
    wide = dataclasses.replace(geometry, outputs=max(group.stop - group.start for group in groups))
    limits = forward_break_even(narrow, batch), weight_break_even(geometry, batch) if learns else 0.0
    if not source.is_at_most(max(limits)):
        return None
    count, numbers = source.nonzeros().total, source.numel
    if not isinstance(x, Dense):
        room += batch * geometry.inputs * geometry.height * geometry.width * x.dtype.itemsize
    forward = count <= limits[0] * numbers and convolution_bytes(source, wide, batch, x.dtype) <= room
    weights = learns and count <= limits[1] * numbers
    weights = weights and gradient_bytes(source, geometry, batch, x.dtype) <= room
    return Scattering(source, geometry, forward, weights) if forward or weights else None


def _sparse(x: Signal) -> SparseInput | None:
    """`x` as bits or numbers with a factor, if its values are on the CPU; traces do not matter in forward."""
    scale = 1.0
    if x.dtype not in (torch.float32, torch.float64):
        return None
    source: Signal = x.spikes if isinstance(x, Traced) else x
    while isinstance(source, Scaled):
        scale *= source.factor
        source = source.source
    shape: Shape = source.shape
    if isinstance(source, Spikes) and may_scatter(source.bits_BCQ):
        return SparseInput(shape, bits_BCQ=source.bits_BCQ, scale=scale)
    if isinstance(source, Counts) and may_scatter(source.counts_BCHW):
        return SparseInput(shape, values_BCHW=source.counts_BCHW, scale=scale / source.divisor)
    if isinstance(source, Dense) and may_scatter(source.values_BCHW):
        return SparseInput(shape, values_BCHW=source.values_BCHW, scale=scale)
    return None
