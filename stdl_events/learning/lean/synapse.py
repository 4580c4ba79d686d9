"""Convolution and norm in lean mode: unless it may stay, the convolution's output is made again in the backward.

Batch norm runs on a few channels at a time, which gives the same bits as all at once, since its statistics are those of
each channel.

B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from stdl_events.learning.lean.gradients import accumulate, accumulate_part, sample_parts
from stdl_events.learning.lean.signals import Signal
from stdl_events.network.layers import ScaledWSConv2d


class LeanSynapse:
    """One step of a synapse.

    Forward: `current` for all channels, then `release`. Backward: `recompute`, `backward` for all channels, `release`,
    `finish`.

    Args:
        module: convolution, then batch norm where the network has it.
        x: the input, kept as it is; its type is that of all but weights and statistics.
        stays: whether the convolution's output stays until the backward.
    """

    def __init__(self, module: nn.Sequential, x: Signal, *, stays: bool = False) -> None:
        conv, norm = module[0], module[1] if len(module) > 1 else None
        assert isinstance(conv, nn.Conv2d), "a synapse starts with its convolution"
        assert norm is None or isinstance(norm, nn.BatchNorm2d), "only batch norm follows a convolution"
        self._conv, self._norm, self._x = conv, norm, x
        # Without a norm nobody needs the output again, and whoever takes `current` may write into it.
        self._stays = stays and norm is not None
        self._dense: Tensor | None = None
        self._y: Tensor | None = self._convolve()
        batch, channels, height, width = self._y.shape
        self.shape = (batch, channels, height, width)
        self._statistics: dict[int, tuple[Tensor, Tensor]] = {}
        if norm is not None and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)

    def current(self, channels: slice) -> Tensor:
        """The normalised output of some channels, which the caller may write into."""
        assert self._y is not None, "the convolution's output was released"
        y, norm = self._y[:, channels], self._norm
        if norm is None:
            return y
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
        out, mean, inverse_std = torch.native_batch_norm(
            y.contiguous(),
            norm.weight[channels],
            norm.bias[channels],
            norm.running_mean[channels],
            norm.running_var[channels],
            True,
            norm.momentum if norm.momentum is not None else 0.0,
            norm.eps,
        )
        self._statistics[channels.start] = (mean, inverse_std)
        return out

    def recompute(self) -> None:
        """Make the convolution's output again, as far as the norm's backward needs it and it did not stay."""
        if self._norm is not None and self._y is None:
            if len(self._sample_parts()) == 1:  # small enough to be kept until `finish` needs it again
                self._dense = self._x.dense()
            self._y = self._convolve()

    def backward(self, channels: slice, gradient_BCHW: Tensor) -> Tensor:
        """From the gradient of `current` for some channels, that of the convolution's output."""
        norm = self._norm
        if norm is None:
            return gradient_BCHW
        assert self._y is not None, "recompute comes first"
        mean, inverse_std = self._statistics[channels.start]
        grad_y, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            gradient_BCHW.contiguous(),
            self._y[:, channels].contiguous(),
            norm.weight[channels],
            None,
            None,
            mean,
            inverse_std,
            True,
            norm.eps,
            [True, True, True],
        )
        accumulate_part(norm.weight, channels, grad_weight)
        accumulate_part(norm.bias, channels, grad_bias)
        return grad_y

    def recomputed_or_new(self) -> Tensor:
        """Memory of the shape of the convolution's output: its own, part by part no longer needed, or new."""
        if self._y is not None:
            return self._y
        return torch.empty(self.shape, dtype=self._x.dtype, device=self._conv.weight.device)

    def release(self) -> None:
        """Forget the convolution's output; where it stays, only when its backward is done."""
        if not self._stays:
            self._y = None
        self._stays = False

    def finish(self, grad_y: Tensor, *, needs_input: bool) -> Tensor | None:
        """From the gradient of the convolution's output, those of the weights, and of the input where it is needed."""
        weight, bias = self._weight(), self._conv.bias
        runs = self._sample_parts()
        grad_x: Tensor | None = None
        grad_weight: Tensor | None = None
        for samples in runs:
            part_x, part_weight, part_bias = torch.ops.aten.convolution_backward(
                grad_y[samples],
                self._input(samples),
                weight,
                None if bias is None else list(bias.shape),
                *self._geometry(),
                [needs_input, True, bias is not None],
            )
            if needs_input and len(runs) == 1:
                grad_x = part_x
            elif needs_input:
                grad_x = (
                    torch.empty(self._x.shape, dtype=weight.dtype, device=weight.device) if grad_x is None else grad_x
                )
                grad_x[samples] = part_x
            grad_weight = part_weight if grad_weight is None else grad_weight.add_(part_weight)
            accumulate(bias, part_bias)
        self._dense = None
        assert grad_weight is not None, "a batch has at least one sample"
        self._accumulate_weight(grad_weight)
        return grad_x

    def _convolve(self) -> Tensor:
        weight, bias, geometry = self._weight(), self._conv.bias, self._geometry()
        bias = None if bias is None else bias.detach().to(weight.dtype)
        runs = self._sample_parts()
        first = torch.ops.aten.convolution(self._input(runs[0]), weight, bias, *geometry)
        if len(runs) == 1:
            return first
        y = first.new_empty((self._x.shape[0], *first.shape[1:]))
        y[runs[0]] = first
        del first
        for samples in runs[1:]:
            y[samples] = torch.ops.aten.convolution(self._input(samples), weight, bias, *geometry)
        return y

    def _input(self, samples: slice) -> Tensor:
        return self._x.dense(samples) if self._dense is None else self._dense

    def _sample_parts(self) -> list[slice]:
        return sample_parts(self._x.shape, self._x.dtype)

    def _geometry(self) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
        padding = self._conv.padding
        assert isinstance(padding, tuple), "the notation pads by numbers"
        return list(self._conv.stride), list(padding), list(self._conv.dilation), False, [0, 0], self._conv.groups

    def _weight(self) -> Tensor:
        if isinstance(self._conv, ScaledWSConv2d):
            return self._conv.standardised_weight().detach().to(self._x.dtype)
        return self._conv.weight.detach().to(self._x.dtype)

    def _accumulate_weight(self, gradient: Tensor) -> None:
        if not isinstance(self._conv, ScaledWSConv2d):
            accumulate(self._conv.weight, gradient)
            return
        with torch.enable_grad():
            standardised = self._conv.standardised_weight()
        grad_weight, grad_gain = torch.autograd.grad(
            standardised, [self._conv.weight, self._conv.gain], gradient.to(standardised.dtype)
        )
        accumulate(self._conv.weight, grad_weight)
        accumulate(self._conv.gain, grad_gain)
