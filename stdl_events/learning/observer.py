"""Watching a learner: what it tells about a sequence while it runs it.

An observer is an argument of `Learner.train_step` and `Learner.backward`. Blocks are counted from 0.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor


class Observer:
    """Hears of every event and does nothing; a subclass answers those that it is interested in.

    An observer changes nothing, and keeps no tensor that it is given: a state that is held is memory that is not freed.
    """

    def before_chunk(self, block: int, steps: int, state: Sequence[Tensor]) -> None:
        """A block is about to run over so many steps, from this state."""

    def after_step(self, block: int, state: Sequence[Tensor]) -> None:
        """A block's forward has reached this state; once for a whole chunk where CUDA graphs are replayed."""

    def after_forward(self, block: int, learns: bool) -> None:
        """The forward over a chunk is over and its loss computed; a backward follows if the chunk `learns`."""

    def after_block(self, block: int, state: Sequence[Tensor]) -> None:
        """A block is done with a chunk, and its gradients are in its weights."""


class ObservedState(deque[Tensor]):
    """A block's state that tells when a step has moved it on.

    Args:
        entries: the state at the start.
        after_step: told the new entries whenever the state is extended by them.
    """

    def __init__(self, entries: Iterable[Tensor], after_step: Callable[[Sequence[Tensor]], None]) -> None:
        super().__init__(entries)
        self._after_step = after_step

    def extend(self, new: Iterable[Tensor], /) -> None:
        entries = tuple(new)
        super().extend(entries)
        self._after_step(entries)
