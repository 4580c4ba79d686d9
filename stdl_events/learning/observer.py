"""Observers of a learner, called during a sequence.

An observer is an argument of `Learner.train_step` and `Learner.backward`. Blocks are counted from 0.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor


class Observer:
    """The callbacks of an observer, all empty; a subclass overrides some.

    An observer must not change tensors or keep references to them, which would prolong their lifetime.
    """

    def before_chunk(self, block: int, steps: int, state: Sequence[Tensor]) -> None:
        """Before a block runs over `steps` steps from `state`."""

    def after_step(self, block: int, state: Sequence[Tensor]) -> None:
        """After a block's forward of one step, with the new state; with CUDA graphs once per chunk."""

    def after_forward(self, block: int, learns: bool) -> None:
        """After a chunk's forward and loss; a backward pass follows if the chunk `learns`."""

    def after_block(self, block: int, state: Sequence[Tensor]) -> None:
        """After a block's chunk, with its gradients accumulated."""


class ObservedState(deque[Tensor]):
    """A block's state with a callback after each step.

    Args:
        entries: the state at the start.
        after_step: called with the new entries whenever the state is extended by them.
    """

    def __init__(self, entries: Iterable[Tensor], after_step: Callable[[Sequence[Tensor]], None]) -> None:
        super().__init__(entries)
        self._after_step = after_step

    def extend(self, new: Iterable[Tensor], /) -> None:
        entries = tuple(new)
        super().extend(entries)
        self._after_step(entries)
