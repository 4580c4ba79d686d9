"""Layers in a row, in lean mode: forward through all, then backward through all, one time step.

B batch, C channels, H height, W width, K classes.
"""

import functools
from collections import deque
from collections.abc import Callable, Container, Iterable

from torch import Tensor, nn

from stdl_events.learning.lean.bodies import Backward, body_step
from stdl_events.learning.lean.signals import Dropped, Shape, Signal, dropout_backward, moved, pool_backward, pooled
from stdl_events.network.layers import Layer, SequenceDropout


class LeanChain:
    """One step of a chain of layers; `backward` undoes it and leaves gradients in the weights.

    Args:
        kept: the layers, in the order in which they come, whose convolutions' outputs stay until the backward.
    """

    def __init__(self, kept: Container[int] = ()) -> None:
        self._kept, self._count = kept, 0
        self._backwards: list[Backward] = []

    def forward(self, layers: Iterable[Layer], x: Signal, state: deque[Tensor]) -> tuple[Signal, list[Tensor]]:
        """Run `layers`; `state` is used up, entry by entry. Returns the output and the new state."""
        new: list[Tensor] = []
        for layer in layers:
            neurons = tuple(state.popleft() for _ in layer.state_shapes)
            masks = tuple(state.popleft() for _ in layer.entry_shapes[len(layer.state_shapes) :])
            unused = deque(masks)
            x = self._through(layer.before, x, unused)
            x, entries, backward = body_step(layer.body, x, neurons, stays=self._count in self._kept)
            self._count += 1
            del neurons
            self._backwards.append(backward)
            x = self._through(layer.after, x, unused)
            new.extend((*entries, *masks))
        return x, new

    def backward(self, gradients: list[Tensor], *, needs_input: bool = False) -> Tensor | None:
        """From the gradient of the last output to those of all weights. What the forward kept is freed on the way.

        Args:
            gradients: holds the gradient, which is taken out of it.
            needs_input: whether the gradient of the chain's own input is wanted.
        """
        passed: Tensor | None = None
        while self._backwards:
            step = self._backwards.pop()
            passed = step(gradients, needs_input or bool(self._backwards))
            del step
            if passed is not None and self._backwards:
                gradients.append(passed)
                passed = None
        return passed

    def _through(self, modules: nn.Sequential, x: Signal, masks: deque[Tensor]) -> Signal:
        for module in modules:
            if isinstance(module, nn.AvgPool2d):
                self._backwards.append(_pool_backward(x.shape, module))
                x = moved(x, functools.partial(pooled, pool=module))
            elif isinstance(module, SequenceDropout) and masks:
                mask_BCHW, p = masks.popleft(), module.probability
                undo = functools.partial(dropout_backward, mask_BCHW=mask_BCHW, probability=p)
                self._backwards.append(_backward_without_weights(undo))
                x = moved(x, functools.partial(Dropped, mask_BCHW=mask_BCHW, probability=p))
            else:
                assert isinstance(module, nn.Identity | SequenceDropout), "layers pool and drop out, nothing else"
        return x


def _pool_backward(shape: Shape, pool: nn.AvgPool2d) -> Backward:
    return _backward_without_weights(lambda gradient: pool_backward(gradient, shape, pool))


def _backward_without_weights(input_gradient: Callable[[Tensor], Tensor]) -> Backward:
    def backward(gradients: list[Tensor], needs_input: bool) -> Tensor | None:
        gradient = gradients.pop()
        return input_gradient(gradient) if needs_input else None

    return backward
