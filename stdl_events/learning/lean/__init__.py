"""Lean mode: the gradients of ordinary autograd with a fraction of its memory, for rules that learn online.

Between forward and backward of a time step, a layer saves its spikes at one bit each and its membrane potentials, which
are state anyway. Backward recomputes the rest: the surrogate gradient from potential and spikes, the convolution's
output from the packed input. Running statistics are updated once, in forward. The backward pass is written out instead
of recorded by autograd, so that every temporary is known. The names below are imported at their first use.
"""

from typing import TYPE_CHECKING

from stdl_events.lazy import lazy_names

if TYPE_CHECKING:
    from stdl_events.learning.lean.chain import run_chunk_lean as run_chunk_lean
    from stdl_events.learning.lean.parts import alike_parts_skipped as alike_parts_skipped
    from stdl_events.learning.lean.parts import current_part_sizes as current_part_sizes
    from stdl_events.learning.lean.supported import check_layer as check_layer

__all__ = ["alike_parts_skipped", "check_layer", "current_part_sizes", "run_chunk_lean"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "alike_parts_skipped": "stdl_events.learning.lean.parts",
        "check_layer": "stdl_events.learning.lean.supported",
        "current_part_sizes": "stdl_events.learning.lean.parts",
        "run_chunk_lean": "stdl_events.learning.lean.chain",
    },
)
