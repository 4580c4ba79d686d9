"""The time loop of all rules: chunk of steps outermost, then block, then step; each block's backward after its forward.

Only one block's graph of one chunk is alive at any time, so memory does not grow with the number of time steps where
chunks are short. Between the blocks of a chunk only the spikes at block borders are kept.

T time, B batch, C channels, H height, W width, K classes.
"""

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.loss_weights import clip_shares
from stdl_events.learning.losses import Loss, checked_loss
from stdl_events.learning.observer import ObservedState, Observer
from stdl_events.learning.rates import BlockPenalty, RatePenalty
from stdl_events.network.readout import Readout


class Chunk(NamedTuple):
    """Result of a block's chunk of steps; all detached.

    Attributes:
        outputs: each step's input of the next block; of the last block logits_BK.
        loss: of the chunk, with its rate penalty.
        rates_L: rates of the layers of neurons, summed over the steps; None without a rate penalty.
    """

    outputs: Sequence[Any]
    loss: Tensor
    rates_L: Tensor | None


class RunChunk(Protocol):
    """Runs a block over one chunk of steps, forward and backward, and accumulates its weights' gradients."""

    def __call__(
        self,
        block: LocalBlock,
        inputs: Sequence[Any],
        state: deque[Tensor],
        loss_of: Callable[[Sequence[Tensor]], Tensor],
        learns: bool,
        penalty: BlockPenalty | None = None,
        /,
    ) -> Chunk:
        """Run the chunk.

        Args:
            inputs: frames, or the outputs of the previous block.
            state: replaced in place, so that old states can be freed.
            loss_of: the chunk's loss from the logits_BK of its steps, a 0-d tensor.
            learns: True for a backward pass.
            penalty: on the rates of the block's layers of neurons, added to its loss.
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
    rate_penalty: RatePenalty | None = None,
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """Run one sequence forward and every block's loss backward; gradients accumulate in `.grad`.

    Args:
        frames: T tensors frame_BCHW, on any device, of any dtype; each is moved and cast at its step.
        targets_B: class indices.
        steps: T.
        chunk_steps: number of steps that gradients flow through.
        run_chunk: runs a block over one chunk, forward and backward: by autograd, or in lean mode.
        after_chunk: called after each chunk, when all blocks have accumulated its gradients.
        observer: called during the sequence.
        learning_chunks: the chunks with a backward pass, counted from 0; None for all.
        generator: of dropout masks; None for torch's global one.
        rate_penalty: part of each block's loss; None for none.

    Returns:
        logits_BK: the mean over time of the network's logits; each block's loss, summed over time; and with a rate
        penalty the mean over time of the rates of all layers of neurons, rates_L. All are detached.
    """
    states = [
        ObservedState(block.initial_state(len(targets_B), generator), partial(observer.after_step, index))
        for index, block in enumerate(blocks)
    ]
    losses = [torch.zeros((), device=targets_B.device) for _ in blocks]
    penalties: list[BlockPenalty | None] = [None] * len(blocks)
    if rate_penalty is not None:
        penalties = [*rate_penalty.of_blocks(blocks, steps, partial(clip_shares, loss, targets_B))]
    rates: list[Tensor | None] = [None] * len(blocks)
    readout = Readout()

    def loss_of(index: int, learns: bool, logits: Sequence[Tensor]) -> Tensor:
        value = checked_loss(loss.chunk(logits, targets_B, steps), logits[0])
        observer.after_forward(index, learns)
        return value

    for number, chunk in enumerate(_chunks(frames, chunk_steps)):
        learns = learning_chunks is None or number in learning_chunks
        border: Sequence[Any] = chunk
        for index, block in enumerate(blocks):
            observer.before_chunk(index, len(chunk), states[index])
            loss_of_block = partial(loss_of, index, learns)
            border, chunk_loss, rates_L = run_chunk(
                block, border, states[index], loss_of_block, learns, penalties[index]
            )
            observer.after_block(index, states[index])
            losses[index] = losses[index] + chunk_loss
            if rates_L is not None:
                before = rates[index]
                rates[index] = rates_L / steps if before is None else before + rates_L / steps
        readout.add(border)
        after_chunk()
    found = [rates_L for rates_L in rates if rates_L is not None]
    return readout.mean(), losses, torch.cat(found) if found else None


def _chunks(frames: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    iterator = iter(frames)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
