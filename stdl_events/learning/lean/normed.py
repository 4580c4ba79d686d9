"""A convolution's output in front of batch norm in training, for neurons that normalise it themselves.

B batch, C channels, H height, W width.
"""

import dataclasses

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class BeforeNorm:
    """Some channels of a convolution's output and what their norm needs.

    Args:
        norm: in training.
        statistics: mean and 1 / standard deviation of each channel's batch; forward writes them.
        is_saved: True if backward needs `y_BCHW`, which must not be overwritten then.
    """

    y_BCHW: Tensor
    norm: nn.BatchNorm2d
    channels: slice
    statistics: tuple[Tensor, Tensor]
    is_saved: bool

    @property
    def momentum(self) -> float:
        return self.norm.momentum if self.norm.momentum is not None else 0.0

    def forward_numbers(self) -> list[Tensor]:
        """Weight, bias, running mean and variance, mean and 1 / standard deviation of the batch."""
        norm, mean_C, var_C = self.norm, self.norm.running_mean, self.norm.running_var
        assert mean_C is not None and var_C is not None, "`supported` refuses norms without them"  # noqa: PT018
        return self._of_channels(norm.weight, norm.bias, mean_C, var_C, *self.statistics)

    def backward_numbers(self) -> list[Tensor]:
        """Weight, mean and 1 / standard deviation of the batch, the gradients of weight and bias."""
        weight, bias = self.norm.weight, self.norm.bias
        for parameter in (weight, bias):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        assert weight.grad is not None and bias.grad is not None  # noqa: PT018
        return self._of_channels(weight, *self.statistics, weight.grad, bias.grad)

    def _of_channels(self, *numbers_C: Tensor) -> list[Tensor]:
        is_all = self.channels.stop - self.channels.start == self.norm.num_features
        return [*numbers_C] if is_all else [x.detach()[self.channels] for x in numbers_C]
