"""THE time loop: chunk of steps outermost, then block, then step; each block's backward right after its forward.

Every rule runs through here. Only one block's graph of one chunk is alive at any moment, so memory does not grow with
the number of time steps where chunks are short; inside a chunk only the spikes at block borders are kept.

T time, B batch, C channels, H height, W width, K classes.
"""

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.losses import Loss
from stdl_events.learning.observer import ObservedState, Observer
from stdl_events.network.readout import Readout


class RunChunk(Protocol):
    """Runs a block over one chunk of steps, forward and backward, and leaves gradients in its weights."""

    def __call__(
        self,
        block: LocalBlock,
        inputs: Sequence[Any],
        state: deque[Tensor],
        loss_of: Callable[[Sequence[Tensor]], Tensor],
        learns: bool,
        /,
    ) -> tuple[Sequence[Any], Tensor]:
        """Returns what each step hands to the next block (the last block: logits_BK), and the chunk's loss; detached.

        Args:
            inputs: frames, or what the block before returned.
            state: moves on in place, so that nothing keeps the old one.
            loss_of: the chunk's loss from the logits_BK of its steps, a 0-d tensor.
            learns: whether there is a backward.
        """
        ...


def run_sequence(
    blocks: Sequence[LocalBlock],
    frames: Iterable[Tensor],
    targets_B: Tensor,
    *,
    steps: int,
    chunk_steps: int,
    run_chunk: RunChunk,
    loss: Loss,
    after_chunk: Callable[[], None],
    observer: Observer,
    learning_chunks: Container[int] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Run one sequence forward and every block's loss backward; gradients accumulate in `.grad`.

    Args:
        frames: T tensors frame_BCHW, on any device, of any dtype; each is moved and cast when its step comes.
        targets_B: class indices.
        steps: T.
        chunk_steps: how many steps gradients flow through.
        run_chunk: runs a block over one chunk, forward and backward: by autograd, or in lean mode.
        after_chunk: called after each chunk, when all blocks' gradients of it are there.
        observer: told what happens, when it happens.
        learning_chunks: the chunks, counted from 0, that have a backward; None for all.
        generator: of dropout masks; torch's global one where it is None.

    Returns:
        logits_BK: the mean over time of the network's logits, and each block's loss, summed over time; all detached.
    """
    states = [
        ObservedState(block.initial_state(len(targets_B), generator), partial(observer.after_step, index))
        for index, block in enumerate(blocks)
    ]
    losses = [torch.zeros((), device=targets_B.device) for _ in blocks]
    readout = Readout()

    def loss_of(index: int, learns: bool, logits: Sequence[Tensor]) -> Tensor:
        value = loss.chunk(logits, targets_B, steps)
        observer.after_forward(index, learns)
        return value

    for number, chunk in enumerate(_chunks(frames, chunk_steps)):
        learns = learning_chunks is None or number in learning_chunks
        border: Sequence[Any] = chunk
        for index, block in enumerate(blocks):
            observer.before_chunk(index, len(chunk), states[index])
            border, chunk_loss = run_chunk(block, border, states[index], partial(loss_of, index, learns), learns)
            observer.after_block(index, states[index])
            losses[index] = losses[index] + chunk_loss
        readout.add(border)
        after_chunk()
    return readout.mean(), losses


def _chunks(frames: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    iterator = iter(frames)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
