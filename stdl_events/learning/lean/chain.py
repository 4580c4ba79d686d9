"""One time step of a block in lean mode: forward through all layers in a row, then backward through all.

B batch, C channels, H height, W width, K classes.
"""

import functools
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence

import torch
from torch import Tensor, nn

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.lean.bodies import body_step
from stdl_events.learning.lean.kernels import turned
from stdl_events.learning.lean.pooling import counts_spikes, pool_backward, pooled
from stdl_events.learning.lean.signals import Dense, Dropped, Signal, dropout_backward, moved
from stdl_events.learning.lean.steps import Backward
from stdl_events.learning.online import Chunk
from stdl_events.learning.rates import BlockPenalty, ChunkRates
from stdl_events.network.layers import Layer, SequenceDropout


@torch.no_grad()
def run_chunk_lean(
    block: LocalBlock,
    inputs: Sequence[Tensor | Signal],
    state: deque[Tensor],
    loss_of: Callable[[Sequence[Tensor]], Tensor],
    learns: bool,
    penalty: BlockPenalty | None = None,
    /,
) -> Chunk:
    """See `stdl_events.learning.online.RunChunk`; for chunks of one step, whose old states need no gradient."""
    x = _signal(block, inputs[0])
    block.parts[0].check(x.shape, state)
    for auxiliary in block.parts[1:]:
        auxiliary.check_norms(x.shape[0])
    rates = None if penalty is None else ChunkRates(penalty, next(block.parameters()))
    chain = LeanChain(block.kept, rates=rates)
    out, new = chain.forward(block.parts[0].layers_in_order(), x, state)
    head = out
    for auxiliary in block.parts[1:]:
        head, auxiliary_new = chain.forward(auxiliary.layers_in_order(), out, state)
        new += auxiliary_new
    state.extend(new)
    del new
    logits_BK = head.dense().detach().requires_grad_()
    with torch.enable_grad():
        loss = loss_of([logits_BK])
    if learns:
        chain.backward(list(torch.autograd.grad(loss, [logits_BK])))
    outputs = [out if block.auxiliary is not None else logits_BK.detach()]
    if rates is None:
        return Chunk(outputs, loss.detach(), None)
    return Chunk(outputs, loss.detach() + rates.total, rates.rates_L)


def _signal(block: LocalBlock, x: Tensor | Signal) -> Signal:
    if not isinstance(x, Tensor):
        return x
    weight = next(block.parameters())
    # Moved before the cast, since uint8 counts are smaller.
    return Dense(x.to(device=weight.device, non_blocking=True).to(dtype=block.flowing or weight.dtype))


class LeanChain:
    """One step of a chain of layers, forward and backward; `backward` accumulates the weights' gradients.

    Args:
        kept: indices of the layers whose convolutions' outputs are saved for backward.
        needs_input: True to compute the gradient of the chain's own input.
        rates: counts and penalises the spikes of some of its layers.
    """

    def __init__(
        self, kept: Container[int] = (), *, needs_input: bool = False, rates: ChunkRates | None = None
    ) -> None:
        self._kept, self._count, self._rates = kept, 0, rates
        # True once a gradient of the current output is needed. Layers in front of the first trainable parameter have no
        # backward and save nothing for it.
        self._learns = needs_input
        # Backward functions, True if they compute the gradient of their input, and True if that lies channels last.
        self._backwards: list[tuple[Backward, bool, bool]] = []

    def forward(self, layers: Iterable[Layer], x: Signal, state: deque[Tensor]) -> tuple[Signal, list[Tensor]]:
        """Run `layers`; `state` is consumed entry by entry. Returns the output and the new state."""
        new: list[Tensor] = []
        in_order = [*layers]
        for layer, following in zip(in_order, [*in_order[1:], None], strict=True):
            neurons = [state.popleft() for _ in layer.state_shapes]
            masks = tuple(state.popleft() for _ in layer.entry_shapes[len(layer.state_shapes) :])
            unused = deque(masks)
            x = self._through(layer.before, x, unused)
            needs_input = self._learns
            self._learns = needs_input or _learns(layer)
            saves_output = self._learns and self._count in self._kept
            received_last = needs_input and x.channels_last
            behind = [*layer.after, *(following.before if following is not None else ())]
            x, entries, backward = body_step(
                layer.body, x, neurons, saves_output=saves_output, needs_input=needs_input, rates=self._rates,
                packs_only=_counts_spikes(behind),
            )  # fmt: skip
            self._count += 1
            del neurons
            if self._learns:
                self._backwards.append((backward, needs_input, received_last))
            del backward
            x = self._through(layer.after, x, unused)
            new.extend((*entries, *masks))
        return x, new

    def backward(self, gradients: list[Tensor]) -> Tensor | None:
        """Backward from the gradient of the last output to those of all weights; frees saved tensors layer by layer.

        Args:
            gradients: holds the gradient, which is removed from it.

        Returns:
            The gradient of the chain's own input, if it is needed.
        """
        passed: Tensor | None = None
        while self._backwards:
            step, needs_input, received_last = self._backwards.pop()
            passed = step(gradients, needs_input)
            del step
            if passed is None:  # the first layer that learns, or a body whose output does not depend on its input
                self._backwards.clear()
                continue
            # So that the memory of the layer in front does not depend on those behind it.
            passed = turned(passed, channels_last=received_last)
            if self._backwards:
                gradients.append(passed)
                passed = None
        return passed

    def _note(self, x: Signal, input_gradient: Callable[[Tensor], Tensor]) -> None:
        if self._learns:
            last = x.channels_last
            self._backwards.append((lambda gradients, needs_input: input_gradient(gradients.pop()), True, last))

    def _through(self, modules: nn.Sequential, x: Signal, masks: deque[Tensor]) -> Signal:
        for module in modules:
            if isinstance(module, nn.AvgPool2d):
                undo = functools.partial(pool_backward, shape=x.shape, pool=module)
                self._note(x, undo)
                x = moved(x, functools.partial(pooled, pool=module))
            elif isinstance(module, SequenceDropout) and masks:
                mask_BCHW, p = masks.popleft(), module.probability
                undo = functools.partial(dropout_backward, mask_BCHW=mask_BCHW, probability=p)
                self._note(x, undo)
                x = moved(x, functools.partial(Dropped, mask_BCHW=mask_BCHW, probability=p))
            else:
                assert isinstance(module, nn.Identity | SequenceDropout), "layers pool and drop out, nothing else"
        return x


def _learns(module: nn.Module) -> bool:
    """True if a parameter of a module learns; `parameters` takes longer than a small layer."""
    if any(parameter is not None and parameter.requires_grad for parameter in module._parameters.values()):
        return True
    return any(child is not None and _learns(child) for child in module._modules.values())


def _counts_spikes(behind: Sequence[nn.Module]) -> bool:
    """True if the first of the modules behind a body is a pooling that counts packed spikes."""
    first = next((module for module in behind if not isinstance(module, nn.Identity)), None)
    return first is not None and counts_spikes(first)
