"""One chunk of one block by ordinary autograd.

B batch, C channels, H height, W width, K classes.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.online import Chunk
from stdl_events.learning.precision import mixed_precision
from stdl_events.learning.rates import BlockPenalty, ChunkRates
from stdl_events.learning.traced_spikes import Signal


def run_chunk_plain(
    block: LocalBlock,
    inputs: Sequence[Signal],
    state: deque[Tensor],
    loss_of: Callable[[Sequence[Tensor]], Tensor],
    learns: bool,
    penalty: BlockPenalty | None = None,
    /,
) -> Chunk:
    """See `stdl_events.learning.online.RunChunk`; gradients flow through all steps of the chunk."""
    weight = next(block.parameters())
    outputs: list[Signal] = []
    logits: list[Tensor] = []
    flowing = block.flowing or weight.dtype
    rates = None if penalty is None else ChunkRates(penalty, weight)
    watching = contextlib.nullcontext() if rates is None else rates.watching(block.parts[0])
    with torch.set_grad_enabled(learns), watching:
        for x in inputs:
            # Moved before the cast, since uint8 counts are smaller.
            x_BCHW = x.to(device=weight.device, non_blocking=True).to(dtype=flowing)
            with mixed_precision(weight.device, flowing):
                out, logits_BK, new = block.step(x_BCHW, state)
            state.extend(new)
            del new
            outputs.append(out.detach())  # STDL eq. (10): sg(.)
            logits.append(logits_BK.to(weight.dtype))
        total = loss_of(logits) if rates is None else loss_of(logits) + rates.total
    if learns and total.requires_grad:  # a block whose parameters are all frozen has no backward
        total.backward()
    for _ in range(len(state)):
        state.append(state.popleft().detach())
    return Chunk(outputs, total.detach(), None if rates is None else rates.rates_L)
