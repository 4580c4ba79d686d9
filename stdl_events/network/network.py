"""A spiking network: layers in order, one step at a time, with the state as argument and result.

B batch, C channels, H height, W width, K classes.
"""

import itertools
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stdl_events.errors import ShapeError
from stdl_events.network.layers import Factory, Layer, State, build_layers
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.spec import NetworkSpec


class SpikingNetwork(nn.Module):
    """Layers that share no hidden state; `step` is a pure function of its arguments and the weights.

    In training mode batch norm uses each step's own statistics and updates its running ones, and dropout uses the masks
    in the state.
    """

    def __init__(self, spec: NetworkSpec, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleList(layers)

    @classmethod
    def build(
        cls,
        spec: NetworkSpec,
        *,
        seed: int = 0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "SpikingNetwork":
        """A network with initial weights that depend on `spec` and `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        host = torch.device("cpu") if _draws_on_host(device) else device
        factory = Factory(spec, generator, dtype, host)
        # Modules of torch draw weights from its global generator when they are made; the factory draws them again.
        with torch.random.fork_rng(devices=[]):
            network = cls(spec, build_layers(spec, factory))
        return network.to(device) if host is not device and device is not None else network

    @property
    def state_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shape of each entry of the state, without the batch and without the dropout masks of training mode."""
        return tuple(shape for layer in self.layers_in_order() for shape in layer.state_shapes)

    @property
    def state_scale(self) -> float | None:
        """The membrane potential that the integer 1 of a state in eight bits stands for; None for other states."""
        eight_bits = EightBits.of(self.spec.neuron)
        return None if eight_bits is None else eight_bits.scale

    def initial_state(
        self,
        batch_size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        *,
        differentiable: bool = False,
    ) -> State:
        """The state before the first step: zeros, one tensor per entry of `state_shapes`, on the weights' device.

        In training mode, the state of a network with dropout also has one mask per sequence and dropout, behind the
        other entries of its layer. Steps return it unchanged.

        Args:
            generator: of the masks, on the weights' device; None for torch's global one.
            dtype: of floating point states; None for that of the weights. States in eight bits are int8.
            differentiable: True to keep these too as floating point numbers, on the same grid, so that gradients flow
                through several steps.
        """
        states = (
            layer.initial_state(batch_size, generator, dtype, differentiable=differentiable)
            for layer in self.layers_in_order()
        )
        return tuple(itertools.chain.from_iterable(states))

    def step(self, x_BCHW: Tensor, state: State | deque[Tensor]) -> tuple[Tensor, State]:
        """One time step.

        Args:
            x_BCHW: one frame, or the spikes of the layer before.
            state: the result of `initial_state` or of the last step. A deque is consumed from its left end, entry by
                entry, so that each layer's old state is released when the layer has run. Entries beyond this network's
                own remain in it.

        Returns:
            logits_BK where the network ends in its classifier, else out_BCHW; and the new state.

        Raises:
            ShapeError: the input's or the state's shape does not belong to this network.
        """
        self.check(tuple(x_BCHW.shape), state)
        old = state if isinstance(state, deque) else deque(state)
        new: list[Tensor] = []
        for layer in self.layers_in_order():
            x_BCHW, entries = layer.step(x_BCHW, tuple(old.popleft() for _ in layer.entry_shapes))
            new.extend(entries)
        return x_BCHW, tuple(new)

    def slice(self, start: int, stop: int) -> "SpikingNetwork":
        """Layers [start, stop) as a network that shares their weights."""
        return SpikingNetwork(self.spec.slice(start, stop), list(self.layers_in_order())[start:stop])

    def layers_in_order(self) -> list[Layer]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def check(self, shape_BCHW: tuple[int, ...], state: State | deque[Tensor]) -> None:
        """Refuse an input of `shape_BCHW` or a state that does not belong to this network; see `step`."""
        if shape_BCHW[1:] != self.spec.input_shape:
            raise ShapeError(
                "network input",
                got=f"shape {shape_BCHW}",
                expected=f"(batch, {', '.join(map(str, self.spec.input_shape))})",
                todo="frame the events at the size that the network was built for",
            )
        shapes = tuple((shape_BCHW[0], *shape) for layer in self.layers_in_order() for shape in layer.entry_shapes)
        given = tuple(tuple(entry.shape) for entry in state)
        if (given[: len(shapes)] if isinstance(state, deque) else given) != shapes:
            raise ShapeError(
                "network state",
                got=f"{len(given)} tensors of shapes {list(given)}",
                expected=f"{list(shapes)}",
                todo="pass initial_state(batch_size) or the state that the last step returned",
            )
        self.check_norms(shape_BCHW[0])

    def check_norms(self, batch_size: int) -> None:
        """Refuse a batch with one value per channel in a batch norm in training mode.

        Raises:
            ShapeError: the message names the norm.
        """
        for index, layer in enumerate(self.layers_in_order()):
            layer.check_norms(f"layers.{index}", batch_size)


def _draws_on_host(device: torch.device | str | None) -> bool:
    """Random numbers differ between devices; drawing on the host gives equal weights on all of them."""
    return device is not None and torch.device(device).type not in ("cpu", "meta")
