"""What layers are made of: synapses, and synapses with the neurons behind them.

B batch, C channels, H height, W width.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.notation import Op
from stdl_events.network.registries import NORMS
from stdl_events.network.spec import NetworkSpec

State: TypeAlias = tuple[Tensor, ...]
Shape: TypeAlias = tuple[int, int, int]

# Restores unit variance behind a spike whose input is standardised (OTTT's released networks, sigma_w = 1).
WS_GAIN = 2.74


class ScaledWSConv2d(nn.Conv2d):
    """Convolution whose weights are standardised per output channel and scaled by a learned gain.

    Source: Brock et al., arXiv:2101.08692, eq. (1), with OTTT's epsilon: (w - μ) / sqrt(var fan_in + 1e-4) gain, where
    var is the unbiased variance.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, **options: object) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, **options)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.ones_like(self.weight[:, :1, :1, :1], requires_grad=False))

    def standardised_weight(self) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        fan_in = self.weight[0].numel()
        return (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-4) * self.gain

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.standardised_weight(), self.bias)


class Factory:
    """What every layer of one network shares: neuron, norm, classifier, and where and how its tensors are made.

    Modules are built with `dtype` and `device` at once instead of being moved, so that they can be built under
    FakeTensorMode. Weights are drawn from `generator` alone, in the order of the layers.
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

    def synapse(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
        """Convolution and norm in front of a neuron."""
        norm = NORMS[self.norm]
        conv = self._conv(norm.convolution, inputs, outputs, kernel, stride, padding, bias=norm.bias)
        if norm.behind is None:
            return nn.Sequential(conv)
        return nn.Sequential(conv, norm.behind(outputs, self.norm_momentum, self.dtype, self.device))

    def standardised(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
        """A convolution with scaled weight standardisation, whatever the network's norm is."""
        return nn.Sequential(self._conv(ScaledWSConv2d, inputs, outputs, kernel, stride, padding, bias=True))

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


class SpikingUnit(nn.Module):
    """Convolution, norm, neuron."""

    def __init__(self, factory: Factory, shape: Shape, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.synapse = factory.synapse(shape[0], outputs, kernel, stride, padding)
        self.cell = factory.cell()
        self.gain = factory.gain()
        self.output_shape = Op("C", outputs, kernel, stride, padding).output_shape(shape)
        self.state_shapes = (self.output_shape,) * self.cell.state_count

    def step(self, x_BCHW: Tensor, state: State, shortcut_BCHW: Tensor | None = None) -> tuple[Tensor, State]:
        """`shortcut_BCHW` is added to the neuron's input current."""
        current = self.synapse(x_BCHW)
        if shortcut_BCHW is not None:
            current = current + shortcut_BCHW
        spikes, new = self.cell(current, self.cell.state_type(*state))
        return (spikes if self.gain == 1.0 else spikes * self.gain), tuple(new)
