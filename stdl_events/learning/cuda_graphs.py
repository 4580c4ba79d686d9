"""CUDA graphs: a block's chunk of steps is recorded once and replayed for every further chunk.

The launches of a small network's kernels may take longer than the kernels. A replay launches them all at once, without
Python. A recording contains memory addresses, so its external tensors keep theirs: its input, the membrane potentials,
the targets, weights and their gradients.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.online import Chunk, RunChunk
from stdl_events.learning.rates import BlockPenalty

Record: TypeAlias = Callable[[Callable[[], Chunk]], tuple[Chunk, Callable[[], None]]]
"""Records a function's device operations without executing them. Returns (its result, the replay function)."""

# Libraries initialise and compilers compile at their first use, which cannot be recorded.
SEQUENCES_FIRST = 1


class _Recording(NamedTuple):
    inputs: list[Any]
    state: list[Tensor]
    chunk: Chunk
    replay: Callable[[], None]


class ReplayedChunks:
    """A `RunChunk` that records another one and replays it.

    The first sequence of each kind runs unrecorded. From then on the caller keeps gradients allocated: they are zeroed,
    not dropped.

    Args:
        run_chunk: the function to record; it must not synchronise or branch on tensor values.
        make_record: builds the recorder of one kind of sequences.
    """

    def __init__(self, run_chunk: RunChunk, make_record: Callable[[], Record]) -> None:
        self._run_chunk, self._make_record = run_chunk, make_record
        self._record = make_record()
        self._recordings: dict[tuple[int, bool, int], _Recording] = {}
        self._kind: tuple[object, ...] = ()
        self._targets_B: Tensor | None = None
        self._sequences = 0

    def begin(self, targets_B: Tensor, steps: int, frozen: object = ()) -> Tensor:
        """Start a sequence of `steps`. Returns its targets at a fixed address.

        Args:
            frozen: the frozen modules and parameters; recordings are valid for equal ones only.
        """
        kind = (tuple(targets_B.shape), targets_B.device, steps, frozen)
        if self._targets_B is None or kind != self._kind:
            self._kind, self._sequences, self._targets_B = kind, 0, targets_B.clone()
            self._recordings.clear()
            # A new recorder, since the memory pool of dropped recordings is not used again.
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
        penalty: BlockPenalty | None = None,
        /,
    ) -> Chunk:
        """See `stdl_events.learning.online.RunChunk`. The next chunk overwrites the results."""
        if self._sequences <= SEQUENCES_FIRST:
            return self._run_chunk(block, inputs, state, loss_of, learns, penalty)
        key = (id(block), learns, len(inputs))
        if key not in self._recordings:
            self._recordings[key] = self._recorded(block, inputs, state, loss_of, learns, penalty)
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
        penalty: BlockPenalty | None,
    ) -> _Recording:
        device = next(block.parameters()).device
        made = {id(out) for recording in self._recordings.values() for out in recording.chunk[0]}
        # Results of other recordings have fixed addresses; frames are copied to one.
        kept = [x if id(x) in made else torch.empty_like(x, device=device) for x in inputs]
        stays = [entry.clone() for entry in state]

        def run() -> Chunk:
            moving = deque(stays)
            chunk = self._run_chunk(block, kept, moving, loss_of, learns, penalty)
            with torch.no_grad():
                for entry, new in zip(stays, moving, strict=True):
                    _put(entry, new)
            return chunk

        chunk, replay = self._record(run)
        return _Recording(kept, stays, chunk, replay)


def _put(kept: Any, given: Any) -> None:
    if kept is given:
        return
    # Lean mode turns a state to another layout in its own memory, which a copy must not read and write at once.
    is_turned = kept.data_ptr() == given.data_ptr() and kept.stride() != given.stride()
    kept.copy_(given.clone() if is_turned else given, non_blocking=True)


class CUDARecorder:
    """Records CUDA graphs with a shared memory pool: only copies of its tensors outlive the step."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Callable[[], Chunk]) -> tuple[Chunk, Callable[[], None]]:
        """See `Record`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            chunk = run()
        self._pool = graph.pool()
        return chunk, graph.replay
