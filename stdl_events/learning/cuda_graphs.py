"""CUDA graphs: what a block does in a chunk of steps is recorded once and replayed for every further chunk.

The launches of a small network's kernels may take longer than the kernels; a replay launches them all at once, without
Python. A recording has the addresses of all memory in it, so whatever it reads or writes from outside stays where it
is: its input, the membrane potentials, the targets, weights and their gradients.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.online import RunChunk

Chunk: TypeAlias = tuple[Sequence[Any], Tensor]
Record: TypeAlias = Callable[[Callable[[], Chunk]], tuple[Chunk, Callable[[], None]]]
"""Records what a function does on the device without doing it. Returns what it returned, and what does it."""

# Libraries set themselves up, and compilers compile, when they are first used, which cannot be recorded.
SEQUENCES_FIRST = 1


class _Recording(NamedTuple):
    inputs: list[Any]
    state: list[Tensor]
    chunk: Chunk
    replay: Callable[[], None]


class ReplayedChunks:
    """A `RunChunk` that records another one and replays it.

    The first sequence of each kind runs as it is. Whoever calls it keeps gradients in place from then on: they are
    zeroed, not dropped.

    Args:
        run_chunk: what to record; it waits for nothing and chooses nothing by the values of tensors.
        make_record: makes what records one kind of sequences.
    """

    def __init__(self, run_chunk: RunChunk, make_record: Callable[[], Record]) -> None:
        self._run_chunk, self._make_record = run_chunk, make_record
        self._record = make_record()
        self._recordings: dict[tuple[int, bool, int], _Recording] = {}
        self._kind: tuple[object, ...] = ()
        self._targets_B: Tensor | None = None
        self._sequences = 0

    def begin(self, targets_B: Tensor, steps: int, frozen: object = ()) -> Tensor:
        """A sequence of `steps` begins. Returns its targets, in memory that stays.

        Args:
            frozen: what does not learn; recordings are of a learner in which the same does not.
        """
        kind = (tuple(targets_B.shape), targets_B.device, steps, frozen)
        if self._targets_B is None or kind != self._kind:
            self._kind, self._sequences, self._targets_B = kind, 0, targets_B.clone()
            self._recordings.clear()
            # The memory of recordings that are gone is not recorded into again.
            self._record = self._make_record()
        self._targets_B.copy_(targets_B)
        self._sequences += 1
        return self._targets_B

    def __call__(
        self,
        block: LocalBlock,
        inputs: Sequence[Any],
        state: deque[Tensor],
        loss_of: Callable[[Sequence[Tensor]], Tensor],
        learns: bool,
        /,
    ) -> Chunk:
        """See `stdl_events.learning.online.RunChunk`. What is returned is overwritten by the next chunk."""
        if self._sequences <= SEQUENCES_FIRST:
            return self._run_chunk(block, inputs, state, loss_of, learns)
        key = (id(block), learns, len(inputs))
        if key not in self._recordings:
            self._recordings[key] = self._recorded(block, inputs, state, loss_of, learns)
        recording = self._recordings[key]
        for kept, given in zip(recording.inputs, inputs, strict=True):
            _put(kept, given)
        for kept, given in zip(recording.state, state, strict=True):
            _put(kept, given)
        state.clear()
        state.extend(recording.state)
        recording.replay()
        return recording.chunk

    def _recorded(
        self,
        block: LocalBlock,
        inputs: Sequence[Any],
        state: deque[Tensor],
        loss_of: Callable[[Sequence[Tensor]], Tensor],
        learns: bool,
    ) -> _Recording:
        device = next(block.parameters()).device
        made = {id(out) for recording in self._recordings.values() for out in recording.chunk[0]}
        # What another recording leaves behind stays where it is; frames come from anywhere.
        kept = [x if id(x) in made else torch.empty_like(x, device=device) for x in inputs]
        stays = [entry.clone() for entry in state]

        def run() -> Chunk:
            moving = deque(stays)
            chunk = self._run_chunk(block, kept, moving, loss_of, learns)
            with torch.no_grad():
                for entry, new in zip(stays, moving, strict=True):
                    _put(entry, new)
            return chunk

        chunk, replay = self._record(run)
        return _Recording(kept, stays, chunk, replay)


def _put(kept: Any, given: Any) -> None:
    if kept is not given:
        kept.copy_(given, non_blocking=True)


class CUDARecorder:
    """Records with CUDA graphs. They share a pool of memory, since nothing in it outlives the step but by a copy."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Callable[[], Chunk]) -> tuple[Chunk, Callable[[], None]]:
        """See `Record`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            chunk = run()
        self._pool = graph.pool()
        return chunk, graph.replay
