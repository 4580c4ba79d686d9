"""Synapses: convolutions with the norm behind them, and the factory of all layers of one network.

B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Iterable
from typing import Self

import torch
from torch import Tensor, nn

from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.registries import NORMS
from stdl_events.network.scattered import Convolutions, convolved
from stdl_events.network.spec import NetworkSpec

# Restores unit variance behind a spike whose input is standardised (OTTT's released networks, sigma_w = 1).
WS_GAIN = 2.74


class Synapse(nn.Module):
    """From spikes or frames to the input current of neurons.

    Attributes:
        conv: the convolution.
        norm: of its output, such as batch norm; None where the network has none.
        norm_frozen: True to keep the norm in evaluation mode while the network trains: it normalises with its running
            statistics, which are not updated.
        convolves_in: dtype of the convolution, whose output is cast to the input's; None for that of the input.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.norm_frozen = False
        self.convolves_in: torch.dtype | None = None
        self.convolutions: Convolutions = "dense"

    def train(self, mode: bool = True) -> Self:
        """`nn.Module.train`, except that a frozen norm stays in evaluation mode."""
        super().train(mode)
        if self.norm is not None and self.norm_frozen:
            self.norm.eval()
        return self

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """current_BCHW."""
        current_BCHW = self._convolved(x_BCHW)
        return current_BCHW if self.norm is None else self.norm(current_BCHW)

    def _convolved(self, x_BCHW: Tensor) -> Tensor:
        if self.convolves_in is None or self.convolves_in == x_BCHW.dtype:
            weight, y_BCHW = _weight_of(self.conv), None
            if self.convolutions == "auto" and weight is not None and not torch.is_grad_enabled():
                y_BCHW = convolved(self.conv, x_BCHW, weight)
            return self.conv(x_BCHW) if y_BCHW is None else y_BCHW
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return self.conv(x_BCHW.to(self.convolves_in)).to(x_BCHW.dtype)


class ScaledWSConv2d(nn.Conv2d):
    """Convolution whose weights are standardised per output channel and scaled by a learned gain.

    Source: Brock et al., arXiv:2101.08692, eq. (1), with OTTT's epsilon: (w - μ) / sqrt(var fan_in + 1e-4) gain, where
    var is the unbiased variance. The variance of a single weight is 0, and so is its standardised weight;
    `NetworkSpec` refuses such a convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, **options: object) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, **options)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.ones_like(self.weight[:, :1, :1, :1], requires_grad=False))

    def standardised_weight(self) -> Tensor:
        fan_in = self.weight[0].numel()
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=min(1, fan_in - 1))
        return (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-4) * self.gain

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.standardised_weight(), self.bias)


def convolve_in(dtype: torch.dtype | None, modules: Iterable[nn.Module]) -> None:
    """Let all synapses of some modules convolve in `dtype`; None is the dtype of their input."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, Synapse):
                part.convolves_in = dtype


def set_convolutions(modules: Iterable[nn.Module], convolutions: Convolutions) -> None:
    """Choose the convolutions of all synapses in `modules`; see `Synapse`."""
    for module in modules:
        for synapse in module.modules():
            if isinstance(synapse, Synapse):
                synapse.convolutions = convolutions


def _weight_of(conv: nn.Conv2d) -> Callable[[], Tensor] | None:
    """The weight that `conv` convolves with; None for a class of convolutions of the caller's own."""
    if type(conv) is ScaledWSConv2d:
        return conv.standardised_weight
    return (lambda: conv.weight) if type(conv) is nn.Conv2d else None


class Factory:
    """Builds the modules of all layers of one network, with their common neuron, norm, classifier, dtype and device.

    Modules are built with `dtype` and `device` instead of being moved, so that they can be built under FakeTensorMode.
    Weights are drawn from `generator` alone, in the order of the layers.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        generator: torch.Generator,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.neuron, self.norm, self.classifier = spec.neuron, spec.norm, spec.classifier
        self.norm_momentum = spec.norm_momentum
        self.generator, self.dtype, self.device = generator, dtype, device

    def cell(self) -> NeuronCell:
        return NeuronCell(self.neuron, dtype=self.dtype, device=self.device)

    def synapse(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> Synapse:
        """Convolution and norm in front of a neuron."""
        norm = NORMS[self.norm]
        conv = self._conv(norm.convolution, inputs, outputs, kernel, stride, padding, bias=norm.bias)
        if norm.behind is None:
            return Synapse(conv)
        return Synapse(conv, norm.behind(outputs, self.norm_momentum, self.dtype, self.device))

    def standardised(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> Synapse:
        """A convolution with scaled weight standardisation, whatever the network's norm is."""
        return Synapse(self._conv(ScaledWSConv2d, inputs, outputs, kernel, stride, padding, bias=True))

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        linear = nn.Linear(inputs, outputs, dtype=self.dtype, device=self.device)
        bound = inputs**-0.5
        with torch.no_grad():
            linear.weight.uniform_(-bound, bound, generator=self.generator)
            linear.bias.zero_()
        return linear

    def scalar(self, value: float) -> nn.Parameter:
        return nn.Parameter(torch.full((), value, dtype=self.dtype, device=self.device))

    def gain(self) -> float:
        return NORMS[self.norm].gain

    def _conv(
        self, make: type[nn.Conv2d], inputs: int, outputs: int, kernel: int, stride: int, padding: int, *, bias: bool
    ) -> nn.Conv2d:
        conv = make(inputs, outputs, kernel, stride, padding, bias=bias, dtype=self.dtype, device=self.device)
        # He et al., arXiv:1502.01852, eq. (10), as the papers' released networks do.
        fan_in = inputs * kernel * kernel
        with torch.no_grad():
            conv.weight.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=self.generator)
            if conv.bias is not None:
                conv.bias.zero_()
        return conv
