"""Norse models for tests of `import_norse`: plain ones, and ones whose computation is not that of their module list."""

from types import MethodType

import norse.torch as norse
import torch
from norse.torch.functional.reset import reset_subtract
from torch import nn
from torch.nn.utils import parametrizations

FRAMES = (2, 8, 8)
HIDDEN = 4 * 4 * 4


def parameters(**changes: object) -> norse.LIFBoxParameters:
    numbers = {"tau_mem_inv": 250.0, "v_leak": 0.0, "v_th": 0.2, "v_reset": 0.0, "alpha": 1.0} | changes
    tensors = {name: torch.as_tensor(value) for name, value in numbers.items()}
    return norse.LIFBoxParameters(**tensors, method="triangle", reset_method=reset_subtract)


def cell(**changes: object) -> norse.LIFBoxCell:
    return norse.LIFBoxCell(parameters(**changes), dt=0.001)


class Doubled(norse.LIFBoxCell):
    def forward(self, input_tensor, state=None):
        spikes, state = super().forward(input_tensor, state)
        return 2 * spikes, state


class Clamped(norse.LIFBoxCell):
    """Clamps potentials at zero; only negative currents show it."""

    def forward(self, input_tensor, state=None):
        spikes, state = super().forward(input_tensor, state)
        return spikes, state._replace(v=state.v.clamp(min=0))


class Forgetful(norse.LIFBoxCell):
    def forward(self, input_tensor, state=None):
        return super().forward(input_tensor, None)


class Renamed(norse.LIFBoxCell):
    """A subclass without changes."""


class Careful(nn.Conv2d):
    """A convolution with a `forward` of its own that computes the same."""

    def forward(self, input):
        return self._conv_forward(input, self.weight, None) + self.bias[:, None, None]


class Rectified(nn.Conv2d):
    def forward(self, input):
        return super().forward(input).relu()


class Scaled(nn.Conv2d):
    """A convolution with an additional parameter, 0 until it is trained."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, input):
        return super().forward(input) + self.shift


class NoisyInTraining(nn.Linear):
    def forward(self, input):
        return super().forward(nn.functional.dropout(input, 0.3, self.training))


class Halved(nn.AvgPool2d):
    def forward(self, input):
        return super().forward(input) / 2


class OneMask(nn.Dropout):
    """A dropout without random draws: drops every second unit in training."""

    def forward(self, input):
        mask = torch.arange(input[0].numel()).reshape(input.shape[1:]) % 2
        return input * mask * 2 if self.training else input


class Skipping(norse.SequentialState):
    def forward(self, input_tensor, state=None):
        out, state = super().forward(input_tensor, state)
        return out + input_tensor.mean((1, 2, 3))[:, None], state


class InHand(norse.SequentialState):
    """Calls its children's forward itself: the same values."""

    def forward(self, input_tensor, state=None):
        conv, neurons, pool, flatten, linear = self
        hidden, new = neurons.forward(conv.forward(input_tensor), state)
        return linear.forward(flatten.forward(pool.forward(hidden))), new


def ending(
    *modules: nn.Module, first: nn.Module | None = None, neurons: nn.Module | None = None
) -> norse.SequentialState:
    """Convolution to 4x4 pixels, neurons, `modules`."""
    return norse.SequentialState(first or nn.Conv2d(2, 4, 3, stride=2, padding=1), neurons or cell(), *modules)


def to_the_end() -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]


def pooled_before_the_cell() -> nn.Module:
    return norse.SequentialState(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), cell(), nn.Flatten(), nn.Linear(4, 3))


def pooled_twice() -> nn.Module:
    conv = nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), cell()
    return norse.SequentialState(*conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def pooled_between() -> nn.Module:
    second = nn.Conv2d(4, 5, 3, padding=1), cell()
    return ending(nn.AdaptiveAvgPool2d(1), *second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))


def silent_behind(second: nn.Module) -> nn.Module:
    """The first neurons never fire on their own weights, so that the second convolution gets zeros."""
    model = ending(second, cell(), *to_the_end())
    with torch.no_grad():
        model[0].weight.mul_(1e-6)
        model[0].bias.zero_()
    return model


def rng_neutral_hook(*_: object) -> None:
    """Does nothing."""


def with_hook(kind: str) -> nn.Module:
    model = ending(*to_the_end())
    getattr(model[1] if kind == "register_forward_hook" else model[0], kind)(rng_neutral_hook)
    return model


def with_state_hooks() -> nn.Module:
    model = ending(*to_the_end())
    model.register_forward_state_hooks(rng_neutral_hook)
    return model


def with_tensor_hook() -> nn.Module:
    model = ending(*to_the_end())
    model[0].weight.register_hook(lambda gradient: gradient * 0)
    return model


def with_its_own_forward() -> nn.Module:
    model = ending(*to_the_end())
    model[0].forward = MethodType(lambda self, x: nn.Conv2d.forward(self, x) * 2, model[0])
    return model


def with_weight_norm() -> nn.Module:
    model = ending(*to_the_end())
    parametrizations.weight_norm(model[0])
    return model


def with_one_weight_twice() -> nn.Module:
    model = ending(nn.Conv2d(4, 4, 3, padding=1), cell(), nn.Conv2d(4, 4, 3, padding=1), cell(), *to_the_end())
    model[4].weight = model[2].weight
    return model


def with_one_convolution_twice() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    return ending(conv, cell(), conv, cell(), *to_the_end())


def with_dropout_in_training_only() -> nn.Module:
    model = ending(nn.Dropout(0.4), *to_the_end())
    model.eval()
    model[2].train()
    return model


class OneState(norse.SequentialState):
    """Passes one state to both of its cells."""

    def forward(self, input_tensor, state=None):
        hidden, state = self[1](self[0](input_tensor), state)
        out, state = self[3](self[2](hidden), state)
        for module in list(self)[4:]:
            out = module(out)
        return out, state


def one_state() -> nn.Module:
    convolutions = nn.Conv2d(2, 4, 3, padding=1), cell(), nn.Conv2d(4, 4, 3, padding=1), cell()
    return OneState(*convolutions, *to_the_end())


def one_cell_twice() -> nn.Module:
    neurons, pool = cell(), nn.AvgPool2d(3, 1, 1)
    return ending(pool, nn.Conv2d(4, 4, 3, padding=1), neurons, pool, *to_the_end(), neurons=neurons)


def batch_norm(frozen: bool) -> nn.Module:
    convolutions = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), cell(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), cell()
    model = norse.SequentialState(*convolutions, nn.Dropout(0.5), *to_the_end())
    if frozen:
        model[1].eval()
    return model


def on_a_grid() -> nn.Module:
    """Weights, threshold and decay are multiples of powers of two: in every step some neurons are at the threshold."""
    model = ending(
        nn.Conv2d(4, 8, 3, padding=1),
        cell(v_th=0.25),
        nn.Flatten(),
        nn.Linear(128, 3),
        cell(v_th=0.25),
        neurons=cell(v_th=0.25),
    )
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randint(-2, 4, tensor.shape) * 0.5)
    return model


def silent() -> nn.Module:
    return ending(*to_the_end(), neurons=cell(v_th=1000.0))
