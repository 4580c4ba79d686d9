"""One time step of one block in lean mode, forward and backward.

B batch, C channels, H height, W width, K classes.
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.lean.chain import LeanChain
from stdl_events.learning.lean.signals import Dense, Signal


@torch.no_grad()
def run_chunk_lean(
    block: LocalBlock,
    inputs: Sequence[Tensor | Signal],
    state: deque[Tensor],
    loss_of: Callable[[Sequence[Tensor]], Tensor],
    learns: bool,
    /,
) -> tuple[list[Tensor | Signal], Tensor]:
    """See `stdl_events.learning.online.RunChunk`; for chunks of one step, whose old states need no gradient."""
    x = _signal(block, inputs[0])
    block.parts[0].check(x.shape, state)
    chain = LeanChain(block.kept)
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
    return [out if block.auxiliary is not None else logits_BK.detach()], loss.detach()


def _signal(block: LocalBlock, x: Tensor | Signal) -> Signal:
    if not isinstance(x, Tensor):
        return x
    weight = next(block.parameters())
    # Counts are smaller than the numbers that they become.
    return Dense(x.to(device=weight.device, non_blocking=True).to(dtype=block.flowing or weight.dtype))
