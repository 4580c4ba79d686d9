"""Convolution and norm in lean mode: the convolution's output is computed a few channels at a time and recomputed in
backward unless it is kept, so that it is never in memory as a whole.

Batch norm runs on a few channels at a time. Its statistics are per channel, so the result is equal bit for bit.

B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from stdl_events.learning.lean.division import divided
from stdl_events.learning.lean.kernels import empty
from stdl_events.learning.lean.normed import BeforeNorm
from stdl_events.learning.lean.parts import (
    accumulate,
    accumulate_part,
    channel_parts,
    in_dtype,
    of_channels,
    of_samples,
    unlike,
)
from stdl_events.learning.lean.signals import Signal, Spikes, dense_in, presynaptic
from stdl_events.learning.lean.sparse import Scattering, choose
from stdl_events.learning.lean.weights import accumulate_weight, geometry, weight_learns, weight_of
from stdl_events.network.synapse import Synapse


class LeanSynapse:
    """One step of a synapse.

    Forward: `current` for all channels, part by part, then `pause`. Backward: `backward` for the same parts, then
    `finish`. Neurons that compute the norm themselves take `before_norm` in place of `current` and of `backward`.

    Args:
        module: convolution, then batch norm where the network has it.
        x: the input, saved for backward; its dtype is the activation dtype.
        saves_output: True to save the convolution's output for backward.
        channels_last: True if the neurons take tensors with channels last, in which oneDNN convolves without copies.

    Attributes:
        channels_last: True if input, output and gradients lie so.
        groups: runs of channels that are convolved together.
    """

    def __init__(self, module: Synapse, x: Signal, *, saves_output: bool = False, channels_last: bool = False) -> None:
        conv, norm = module.conv, cast(nn.BatchNorm2d | None, module.norm)  # `supported` refuses other norms
        self._conv, self._norm, self._x = conv, norm, x
        self._convolves_in = module.convolves_in or x.dtype
        # Without a norm backward does not need the output, and the caller of `current` may overwrite it.
        self._saves_output = saves_output and norm is not None
        division = divided(conv, x.shape, x.dtype, self._convolves_in, whole=self._saves_output)
        self.shape, self.groups, self._runs = division
        self._is_backward = False
        self._scattering = self._choose() if module.convolutions == "auto" and self._convolves_in == x.dtype else None
        self._dense: Tensor | None = None
        self._made: tuple[slice, Tensor] | None = None
        # One tensor for all parts: small ones that outlive a part would divide the heap between the large ones.
        self._statistics = None if norm is None or not norm.training else _empty_statistics(norm)
        # Channels last, a group's temporary tensors were larger; scattered convolutions write rows.
        is_whole = len(self.groups) == 1
        self.channels_last = channels_last and is_whole and self.normalises and module.convolutions != "auto"
        if norm is not None and norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)

    @property
    def has_norm(self) -> bool:
        return self._norm is not None

    @property
    def normalises(self) -> bool:
        """True if the statistics are those of the batch."""
        return self._statistics is not None

    @property
    def learns_norm(self) -> bool:
        """True if the statistics are those of the batch, and weight and bias of the norm have gradients."""
        norm = self._norm
        return self.normalises and norm is not None and norm.weight.requires_grad and norm.bias.requires_grad

    def before_norm(self, channels: slice) -> BeforeNorm:
        """The output of some channels in front of its norm, in place of `current` and of `backward`."""
        assert self._norm is not None and self._statistics is not None, "`normalises` is true"  # noqa: PT018
        return BeforeNorm(self._output(channels), self._norm, channels, self._statistics, self._saves_output)

    def current(self, channels: slice) -> Tensor:
        """The normalised output of some channels, which the caller may overwrite."""
        y, norm = self._output(channels), self._norm
        if norm is None:
            return y
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
        out, mean, inverse_std = torch.native_batch_norm(
            y.contiguous(),
            norm.weight[channels],
            norm.bias[channels],
            norm.running_mean[channels],
            norm.running_var[channels],
            norm.training,
            norm.momentum if norm.momentum is not None else 0.0,
            norm.eps,
        )
        if self._statistics is not None:
            for whole, part in zip(self._statistics, (mean, inverse_std), strict=True):
                whole[channels] = part
        return out

    def pause(self) -> None:
        """End of forward: free the tensors that backward recomputes."""
        self._is_backward = True
        self._dense = None
        if not self._saves_output:
            self._made = None

    def backward(self, channels: slice, gradient_BCHW: Tensor) -> Tensor:
        """The gradient of the convolution's output from that of `current`, for some channels; equal without norm."""
        norm = self._norm
        if norm is None:
            return gradient_BCHW
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
        learned = norm.weight.requires_grad, norm.bias.requires_grad
        if not norm.training and not any(learned):
            # With frozen statistics the norm is a scale and an offset: its input is not needed for its gradient.
            scale_C = norm.weight[channels] / (norm.running_var[channels] + norm.eps).sqrt()
            return (gradient_BCHW * scale_C[:, None, None]).to(gradient_BCHW.dtype)
        mean, inverse_std = (whole[channels] for whole in self._statistics) if self._statistics else (None, None)
        grad_y, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            gradient_BCHW.contiguous(),
            self._output(channels).contiguous(),
            norm.weight[channels],
            norm.running_mean[channels],
            norm.running_var[channels],
            mean,
            inverse_std,
            norm.training,
            norm.eps,
            [True, *learned],
        )
        accumulate_part(norm.weight, channels, grad_weight)
        accumulate_part(norm.bias, channels, grad_bias)
        return grad_y

    def finish(self, grad_y: Tensor, *, needs_input: bool, onto: Tensor | None = None) -> Tensor | None:
        """Accumulate the weights' gradients from that of the convolution's output; return the input's if needed.

        Args:
            grad_y: overwritten; where the input has the same shape, its gradient is written in place.
            onto: tensor for an in-place add of the input's gradient, which is returned instead of a new one.
        """
        self._made = None
        weight, bias = weight_of(self._conv, self._convolves_in), self._conv.bias
        wanted = [needs_input, weight_learns(self._conv), bias is not None and bias.requires_grad]
        if not any(wanted):
            return None
        learned = self._input if presynaptic(self._x) is self._x else presynaptic(self._x).dense
        runs = self._runs
        grad_x = onto
        grad_weight: Tensor | None = None
        if wanted[1] and self._scattering is not None and self._scattering.weights and grad_y.is_contiguous():
            grad_weight = self._scattering.weight_gradient(runs, grad_y, weight)
            accumulate(bias, grad_y.sum((0, 2, 3)) if wanted[2] else None)
            wanted, learned = [needs_input, False, False], self._unread
            runs = runs if needs_input else []
        if needs_input and onto is None and len(runs) > 1:
            fits = grad_y.shape == self._x.shape
            grad_x = grad_y if fits else empty(grad_y, self._x.shape, channels_last=self.channels_last)
        for samples in unlike(runs):
            shaped = grad_x[samples] if grad_x is not None and len(runs) > 1 else None
            part_x, part_weight, part_bias = self._part_backward(
                in_dtype(of_samples(grad_y, samples), self._convolves_in),
                partial(learned, samples),
                weight,
                wanted,
                shaped,
            )
            if needs_input and onto is not None:
                onto[samples].add_(in_dtype(part_x, self._x.dtype))
            elif needs_input and grad_x is not None:
                grad_x[samples] = part_x
            elif needs_input:
                grad_x = in_dtype(part_x, self._x.dtype)
            del part_x
            if wanted[1]:
                grad_weight = part_weight if grad_weight is None else grad_weight.add_(part_weight)
            accumulate(bias, part_bias)
        self._dense = None
        if grad_weight is not None:
            accumulate_weight(self._conv, grad_weight)
        return grad_x if needs_input else None

    def _part_backward(
        self, grad_y: Tensor, x: Callable[[], Tensor], weight: Tensor, wanted: list[bool], shaped: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of input, weight and bias for some samples; None where not wanted.

        Args:
            shaped: a tensor of the input's shape, which is not read. With it the weight's gradient is taken first, so
                that the unpacked input is freed before the input's gradient needs memory.
        """
        sizes = None if self._conv.bias is None else list(self._conv.bias.shape)
        behind = (weight, sizes, *geometry(self._conv))
        backward = torch.ops.aten.convolution_backward.default
        if shaped is None or shaped.dtype != grad_y.dtype or not (wanted[0] and wanted[1]):
            return backward(grad_y, x(), *behind, wanted)
        _, of_weight, of_bias = backward(grad_y, x(), *behind, [False, *wanted[1:]])
        of_x, _, _ = backward(grad_y, shaped, *behind, [True, False, False])
        return of_x, of_weight, of_bias

    def _output(self, channels: slice) -> Tensor:
        """The convolution's output for some channels, computed together with the others of their group."""
        group = next(group for group in self.groups if group.start <= channels.start and channels.stop <= group.stop)
        if self._made is None or self._made[0] != group:
            self._made = None
            self._made = (group, self._convolve(group))
        return of_channels(self._made[1], slice(channels.start - group.start, channels.stop - group.start))

    def _convolve(self, channels: slice) -> Tensor:
        weight, bias, places = weight_of(self._conv, self._convolves_in), self._conv.bias, geometry(self._conv)
        if channels.stop - channels.start < weight.shape[0]:
            weight = weight[channels]
        bias = None if bias is None else bias.detach()[channels].to(weight.dtype)
        runs = self._runs
        if self._scattering is not None and self._scattering.forward:
            y = weight.new_empty((self._x.shape[0], len(weight), *self.shape[2:]))
            for samples in runs:
                self._scattering.convolve(samples, weight, bias, y[samples])
            return y
        first = in_dtype(torch.convolution(self._input(runs[0]), weight, bias, *places), self._x.dtype)
        if len(runs) == 1:
            return first
        y = empty(first, (self._x.shape[0], *first.shape[1:]), channels_last=self.channels_last)
        y[runs[0]] = first
        del first
        for samples in unlike(runs[1:]):
            y[samples] = torch.convolution(self._input(samples), weight, bias, *places)
        return y

    def _choose(self) -> Scattering | None:
        runs, norm = self._runs, self._norm
        # The dense path has the norm's output, or in backward its gradient, beside the convolution's output.
        room = 0 if norm is None else self._group_bytes(channel_parts(self.shape, self._x.dtype)[0])
        learns = weight_learns(self._conv) and presynaptic(self._x) is self._x
        found = choose(self._conv, self._x, runs, self.groups, room=room, learns=learns)
        if found is not None and found.forward and isinstance(self._x, Spikes):
            self._x.forget_fresh()
        return found

    def _unread(self, samples: slice) -> Tensor:
        """A tensor of the input's shape, where only its shape is read."""
        batch, *sizes = self._x.shape
        return weight_of(self._conv, self._convolves_in).new_empty((len(range(batch)[samples]), *sizes))

    def _group_bytes(self, channels: slice) -> int:
        batch, _, height, width = self.shape
        return batch * (channels.stop - channels.start) * height * width * self._x.dtype.itemsize

    def _input(self, samples: slice) -> Tensor:
        if self._dense is not None:
            return self._dense
        dense = dense_in(self._convolves_in, self._x, samples, channels_last=self.channels_last)
        if len(self._runs) == 1 and (self._is_backward or len(self.groups) > 1):
            self._dense = dense  # small enough to keep until its next use
        return dense


def _empty_statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Room for the mean and 1 / standard deviation of each channel's batch, in the dtype of the running ones."""
    assert norm.running_mean is not None, "`supported` refuses norms without running statistics"
    mean_C, inverse_std_C = norm.running_mean.new_empty((2, norm.num_features)).unbind()
    return mean_C, inverse_std_C
