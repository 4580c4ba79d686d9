"""Convolution and norm in lean mode: the convolution's output is computed a few channels at a time and recomputed in
backward unless it is kept, so that it is never in memory as a whole.

Batch norm runs on a few channels at a time. Its statistics are per channel, so the result is equal bit for bit.

B batch, C channels, H height, W width.
"""

from typing import TypeAlias, cast

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
from stdl_events.network.synapse import ScaledWSConv2d, Synapse

Sizes: TypeAlias = tuple[int, ...]


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
        weight, bias = self._weight(), self._conv.bias
        wanted = [needs_input, self._weight_learns(), bias is not None and bias.requires_grad]
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
        for samples in unlike(runs):
            part_x, part_weight, part_bias = torch.ops.aten.convolution_backward.default(
                in_dtype(of_samples(grad_y, samples), self._convolves_in),
                learned(samples),
                weight,
                None if bias is None else list(bias.shape),
                *self._geometry(),
                wanted,
            )
            if needs_input:
                part_x = in_dtype(part_x, self._x.dtype)
            if needs_input and onto is not None:
                onto[samples].add_(part_x)
            elif needs_input and len(runs) == 1:
                grad_x = part_x
            elif needs_input:
                if grad_x is None:
                    grad_x = (
                        grad_y
                        if grad_y.shape == self._x.shape
                        else empty(grad_y, self._x.shape, channels_last=self.channels_last)
                    )
                grad_x[samples] = part_x
            del part_x
            if wanted[1]:
                grad_weight = part_weight if grad_weight is None else grad_weight.add_(part_weight)
            accumulate(bias, part_bias)
        self._dense = None
        if grad_weight is not None:
            self._accumulate_weight(grad_weight)
        return grad_x if needs_input else None

    def _output(self, channels: slice) -> Tensor:
        """The convolution's output for some channels, computed together with the others of their group."""
        group = next(group for group in self.groups if group.start <= channels.start and channels.stop <= group.stop)
        if self._made is None or self._made[0] != group:
            self._made = None
            self._made = (group, self._convolve(group))
        return of_channels(self._made[1], slice(channels.start - group.start, channels.stop - group.start))

    def _convolve(self, channels: slice) -> Tensor:
        weight, bias, geometry = self._weight(), self._conv.bias, self._geometry()
        if channels.stop - channels.start < weight.shape[0]:
            weight = weight[channels]
        bias = None if bias is None else bias.detach()[channels].to(weight.dtype)
        runs = self._runs
        if self._scattering is not None and self._scattering.forward:
            y = weight.new_empty((self._x.shape[0], len(weight), *self.shape[2:]))
            for samples in runs:
                self._scattering.convolve(samples, weight, bias, y[samples])
            return y
        first = in_dtype(torch.convolution(self._input(runs[0]), weight, bias, *geometry), self._x.dtype)
        if len(runs) == 1:
            return first
        y = empty(first, (self._x.shape[0], *first.shape[1:]), channels_last=self.channels_last)
        y[runs[0]] = first
        del first
        for samples in unlike(runs[1:]):
            y[samples] = torch.convolution(self._input(samples), weight, bias, *geometry)
        return y

    def _choose(self) -> Scattering | None:
        runs, norm = self._runs, self._norm
        # The dense path has the norm's output, or in backward its gradient, beside the convolution's output.
        room = 0 if norm is None else self._group_bytes(channel_parts(self.shape, self._x.dtype)[0])
        learns = self._weight_learns() and presynaptic(self._x) is self._x
        found = choose(self._conv, self._x, runs, self.groups, room=room, learns=learns)
        if found is not None and found.forward and isinstance(self._x, Spikes):
            self._x.forget_fresh()
        return found

    def _unread(self, samples: slice) -> Tensor:
        """A tensor of the input's shape, where only its shape is read."""
        batch, *sizes = self._x.shape
        return self._weight().new_empty((len(range(batch)[samples]), *sizes))

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

    def _geometry(self) -> tuple[Sizes, Sizes, Sizes, bool, Sizes, int]:
        conv = self._conv
        assert isinstance(conv.padding, tuple), "the notation pads by numbers"
        return conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups

    def _weight(self) -> Tensor:
        conv = self._conv
        weight = conv.standardised_weight() if isinstance(conv, ScaledWSConv2d) else conv.weight
        return in_dtype(weight.detach(), self._convolves_in)

    def _weight_learns(self) -> bool:
        return any(parameter.requires_grad for parameter in _weight_parameters(self._conv))

    def _accumulate_weight(self, gradient: Tensor) -> None:
        if not isinstance(self._conv, ScaledWSConv2d):
            accumulate(self._conv.weight, gradient)
            return
        learned = [parameter for parameter in _weight_parameters(self._conv) if parameter.requires_grad]
        with torch.enable_grad():
            standardised = self._conv.standardised_weight()
        found = torch.autograd.grad(standardised, learned, gradient.to(standardised.dtype))
        for parameter, part in zip(learned, found, strict=True):
            accumulate(parameter, part)


def _empty_statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Room for the mean and 1 / standard deviation of each channel's batch, in the dtype of the running ones."""
    assert norm.running_mean is not None, "`supported` refuses norms without running statistics"
    mean_C, inverse_std_C = norm.running_mean.new_empty((2, norm.num_features)).unbind()
    return mean_C, inverse_std_C


def _weight_parameters(conv: nn.Conv2d) -> list[Tensor]:
    """The parameters from which the convolution's weight is computed."""
    return [conv.weight, conv.gain] if isinstance(conv, ScaledWSConv2d) else [conv.weight]
