"""A block: a part of the network with a local loss, computed by its auxiliary network.

B batch, C channels, H height, W width, K classes.
"""

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from stdl_events.learning.grid import Trace
from stdl_events.learning.traced_spikes import Signal, frames_as_spikes, spikes_of
from stdl_events.learning.traces import check_twin, with_traces
from stdl_events.network.layers import Layer, State
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.synapse import Synapse


class LocalBlock:
    """A subnetwork and its auxiliary network; the last block has none, since it ends in the network's classifier.

    Its state is the subnetwork's followed by the auxiliary network's, with traces for rules with traces.

    Args:
        trace: presynaptic trace of the neurons; None for rules without traces.
        kept: layers whose convolutions' outputs are saved for backward in lean mode, counted from the subnetwork's
            first through the auxiliary network's last.
        flowing: the activation dtype; None for the parameter dtype.
        chunk_steps: steps that gradients flow through, None for all.

    Attributes:
        parts: the networks that a step runs: the subnetwork and then the auxiliary network, with traced neurons for
            rules with traces. They share all weights and statistics.
    """

    def __init__(
        self,
        subnetwork: SpikingNetwork,
        auxiliary: SpikingNetwork | None = None,
        *,
        trace: Trace | None = None,
        kept: Container[int] = (),
        flowing: torch.dtype | None = None,
        chunk_steps: int | None = 1,
    ) -> None:
        self.subnetwork, self.auxiliary, self.trace = subnetwork, auxiliary, trace
        self.kept, self.flowing, self._chunk_steps = kept, flowing, chunk_steps
        parts = [part for part in (subnetwork, auxiliary) if part is not None]
        self.parts = tuple(part if trace is None else with_traces(part, trace) for part in parts)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> State:
        """The initial state of all layers of the block, see `SpikingNetwork.initial_state`."""
        through_time = self._chunk_steps != 1
        states = (
            part.initial_state(batch_size, generator, self.flowing, differentiable=through_time) for part in self.parts
        )
        return tuple(itertools.chain.from_iterable(states))

    def step(self, x: Signal, state: State | deque[Tensor]) -> tuple[Signal, Tensor, State]:
        """One time step; a deque is consumed, see `SpikingNetwork.step`.

        Args:
            x: a frame, or the output of the previous block.

        Returns:
            out: input of the next block; the last block's logits.
            logits_BK: input of this block's loss.
            state: the new state.
        """
        signal = x if self.trace is None else frames_as_spikes(x)
        old = state if isinstance(state, deque) else deque(state)
        outputs: list[Signal] = []
        new: State = ()
        for part in self.parts:
            # Networks are typed for tensors; traced spikes behave like one.
            signal, entries = part.step(cast(Tensor, signal), old)
            outputs.append(signal)
            new += entries
        logits_BK: Tensor = spikes_of(outputs[-1])
        return logits_BK if self.auxiliary is None else outputs[0], logits_BK, new

    def check(
        self, index: int, start: int, batch_size: int, check_layer: Callable[[str, Layer], None] | None = None
    ) -> None:
        """Refuse layers that cannot be trained; see `Layer.check_norms` and `traces.check_twin`.

        Args:
            index: of the block, counted from 0.
            start: index of its first layer in the network.
            check_layer: further check of a layer, given its dotted name and the layer.
        """
        twins = [layer for part in self.parts for layer in part.layers_in_order()]
        for (name, layer), twin in zip(self._named_layers(index, start), twins, strict=True):
            layer.check_norms(name, batch_size)
            if check_layer is not None:
                check_layer(name, layer)
            if twin is not layer:
                check_twin(name, layer, twin)

    def _named_layers(self, index: int, start: int) -> Iterator[tuple[str, Layer]]:
        for offset, layer in enumerate(self.subnetwork.layers_in_order()):
            yield f"layers.{start + offset}", layer
        if self.auxiliary is not None:
            for offset, layer in enumerate(self.auxiliary.layers_in_order()):
                yield f"blocks.{index}.auxiliary.layers.{offset}", layer

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights, those that the rule does not train included."""
        yield from self.subnetwork.parameters()
        if self.auxiliary is not None:
            yield from self.auxiliary.parameters()


def start_training(
    network: SpikingNetwork,
    blocks: Sequence[LocalBlock],
    batch_size: int,
    check_layer: Callable[[str, Layer], None] | None = None,
) -> None:
    """Put all modules into training mode, and refuse layers that cannot be trained; see `LocalBlock.check`."""
    for part in (network, *(part for block in blocks for part in block.parts)):
        if not _trains(part):
            part.train()
    start = 0
    for index, block in enumerate(blocks):
        block.check(index, start, batch_size, check_layer)
        start += len(block.subnetwork.layers)


def _trains(network: nn.Module) -> bool:
    """True if `train` would change nothing. It sets attributes of every module, which takes much longer."""
    pending: list[nn.Module | None] = [network]
    while pending:
        module = pending.pop()
        if module is None:
            continue
        if not module.training:
            return False
        pending.extend(module._modules.values())
        if isinstance(module, Synapse) and module.norm_frozen and module.norm is not None:
            pending.remove(module.norm)
            if module.norm.training:
                return False
    return True
