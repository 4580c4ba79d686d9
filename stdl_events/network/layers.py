"""The layers of the notation as modules: `step(x, state) -> (out, state)` with the state as a flat tuple of tensors.

B batch, C channels, H height, W width, K classes.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from stdl_events.errors import ShapeError
from stdl_events.network.notation import NORM_FREE_KINDS, LayerSpec, Op
from stdl_events.network.residual import NormFreeBody, ResidualBody, SEWBody
from stdl_events.network.spec import Classifier, NetworkSpec
from stdl_events.network.synapse import WS_GAIN, Factory, ScaledWSConv2d, Synapse
from stdl_events.network.units import Shape, SpikingUnit, State

__all__ = [
    "WS_GAIN",
    "Body",
    "ClassifierBody",
    "ConvBody",
    "Factory",
    "Layer",
    "LinearBody",
    "NormFreeBody",
    "ResidualBody",
    "SEWBody",
    "ScaledWSConv2d",
    "SequenceDropout",
    "Shape",
    "SpikingClassifierBody",
    "SpikingUnit",
    "State",
    "Synapse",
    "SynapseBody",
    "build_layers",
]


class ConvBody(SpikingUnit):
    """`nC<k>`."""

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__(factory, shape, op.channels, op.kernel, op.stride, op.padding)


class SynapseBody(nn.Module):
    """`nS<k>`: convolution and norm, without a neuron; its output is a current."""

    state_shapes: tuple[Shape, ...] = ()

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__()
        self.synapse = factory.synapse(shape[0], op.channels, op.kernel, op.stride, op.padding)

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        return self.synapse(x_BCHW), state


class LinearBody(nn.Module):
    """`nFC` inside a network: flatten, linear, neuron."""

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__()
        self.linear = factory.linear(shape[0] * shape[1] * shape[2], op.channels)
        self.cell = factory.cell()
        self.state_shapes: tuple[Shape, ...] = ((op.channels, 1, 1),) * self.cell.state_count

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        current = self.linear(x_BCHW.flatten(1))[:, :, None, None]
        spikes, new = self.cell(current, self.cell.state_type(*state))
        return spikes, tuple(new)


class ClassifierBody(nn.Module):
    """`KFC` at the end: global average pooling and a linear layer with bias; no neuron, no state."""

    state_shapes: tuple[Shape, ...] = ()

    def __init__(self, op: Op, shape: Shape, factory: Factory) -> None:
        super().__init__()
        self.linear = factory.linear(shape[0], op.channels)

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        return self.linear(x_BCHW.mean((2, 3))), state


class SpikingClassifierBody(LinearBody):
    """`KFC` at the end of a network with a spiking classifier: flatten, linear, neuron; its spikes are the logits."""

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        spikes, new = super().step(x_BCHW, state)
        return spikes.flatten(1), new


class SequenceDropout(nn.Module):
    """`DP(p)`: drops the units of a given mask, the same in every step of a sequence, and scales the rest by 1/(1-p).

    Without a mask it is the identity. Source: OTTT's released networks.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def draw(self, shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
        """A random mask, False for dropped units."""
        mask = torch.empty(shape, dtype=torch.bool, device=device)
        return mask.bernoulli_(1 - self.probability, generator=generator)

    def forward(self, x_BCHW: Tensor, mask_BCHW: Tensor | None = None) -> Tensor:
        return x_BCHW if mask_BCHW is None else (x_BCHW * mask_BCHW).mul_(1 / (1 - self.probability))


class Body(Protocol):
    """The module with a layer's weights and neurons."""

    state_shapes: tuple[Shape, ...]

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]: ...


class Layer(nn.Module):
    """One indivisible layer of a network: poolings in front, body, poolings and dropout behind.

    In training mode the state of a layer with dropout ends with its masks, one for each dropout; a step returns them
    unchanged.

    Args:
        spec: the layer's ops and input shape.

    Attributes:
        state_shapes: shapes of the neurons' states, without the batch.
        mask_shapes: shapes of the dropout masks, without the batch.
    """

    def __init__(self, spec: LayerSpec, factory: Factory) -> None:
        super().__init__()
        self.spec = spec
        position = spec.ops.index(spec.body)
        self.before = nn.Sequential(*map(_stateless, spec.ops[:position]))
        self.body: Body = _body(spec, factory)
        _, height, width = spec.body.output_shape(spec.shape_before(position))
        self._body_pixels = height * width
        self.after = nn.Sequential(*map(_stateless, spec.ops[position + 1 :]))
        self.state_shapes = self.body.state_shapes
        self._eight_bits = factory.neuron.state == "int8"
        self.mask_shapes = tuple(
            spec.shape_before(index) for index, op in enumerate(spec.ops) if op.kind == "DP" and op.probability > 0
        )

    def check_norms(self, name: str, batch_size: int) -> None:
        """Refuse a batch with one value per channel in a batch norm, whose variance is 0.

        Args:
            name: dotted name of the layer.

        Raises:
            ShapeError: the message names the norm.
        """
        if batch_size > 1 or self._body_pixels > 1:
            return
        for path, module in self.named_modules(prefix=name):
            if isinstance(module, nn.BatchNorm2d) and module.training:
                raise ShapeError(
                    path,
                    got=f"a batch of {batch_size} with one pixel",
                    expected="at least two values per channel, of which batch norm takes the variance",
                    todo="use a larger batch or larger frames, norm ws or none, or freeze the norm",
                )

    @property
    def entry_shapes(self) -> tuple[Shape, ...]:
        """Shapes of all entries of the state in the current mode."""
        return self.state_shapes + self.mask_shapes if self.training else self.state_shapes

    def initial_state(
        self,
        batch_size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        *,
        differentiable: bool = False,
    ) -> State:
        """Zeros, and in training mode dropout masks from `generator`; see `SpikingNetwork.initial_state`."""
        weight = next(self.parameters())
        kept = torch.int8 if self._eight_bits and not differentiable else dtype or weight.dtype
        state = [torch.zeros((batch_size, *shape), dtype=kept, device=weight.device) for shape in self.state_shapes]
        if self.training:
            dropouts = [module for module in self.modules() if isinstance(module, SequenceDropout)]
            for dropout, shape in zip(dropouts, self.mask_shapes, strict=True):
                state.append(dropout.draw((batch_size, *shape), weight.device, generator))
        return tuple(state)

    def step(self, x_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step; a classifier returns logits_BK, every other layer out_BCHW."""
        neurons, masks = state[: len(self.state_shapes)], state[len(self.state_shapes) :]
        del state
        unused = deque(masks)
        out, new = self.body.step(_through(self.before, x_BCHW, unused), neurons)
        del neurons  # free the old state before the poolings run
        return _through(self.after, out, unused), new + masks


def _through(modules: nn.Sequential, x_BCHW: Tensor, masks: deque[Tensor]) -> Tensor:
    """Apply poolings and dropouts; each dropout consumes a mask from the left, if there are masks."""
    for module in modules:
        x_BCHW = module(x_BCHW, masks.popleft()) if masks and isinstance(module, SequenceDropout) else module(x_BCHW)
    return x_BCHW


_BODIES: dict[str, Callable[[Op, Shape, Factory], Body]] = {
    "C": ConvBody,
    "S": SynapseBody,
    "R": ResidualBody,
    "SEWR": SEWBody,
    "FC": LinearBody,
}
_CLASSIFIERS: dict[Classifier, Callable[[Op, Shape, Factory], Body]] = {
    "linear": ClassifierBody,
    "spiking": SpikingClassifierBody,
}


def _body(spec: LayerSpec, factory: Factory) -> Body:
    op, shape = spec.body, spec.shape_before(spec.ops.index(spec.body))
    if op.kind in NORM_FREE_KINDS:
        return NormFreeBody(op, shape, factory, input_variance=spec.input_variance)
    if spec.classifier:
        return _CLASSIFIERS[factory.classifier](op, shape, factory)
    return _BODIES[op.kind](op, shape, factory)


def _stateless(op: Op) -> nn.Module:
    if op.kind == "DP":
        return SequenceDropout(op.probability) if op.probability > 0 else nn.Identity()
    return nn.AvgPool2d(op.kernel, op.stride, op.padding)


def build_layers(spec: NetworkSpec, factory: Factory) -> list[Layer]:
    """The modules of `spec`, in order."""
    return [Layer(layer, factory) for layer in spec.layers]
