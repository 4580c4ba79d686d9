"""Lean mode: the gradients of ordinary autograd with a fraction of its memory, for rules that learn online.

Between forward and backward of a time step, a layer saves its spikes at one bit each and its membrane potentials, which
are state anyway. Backward recomputes the rest: the surrogate gradient from potential and spikes, the convolution's
output from the packed input. Running statistics are updated once, in forward. The backward pass is written out instead
of recorded by autograd, so that every temporary is known.
"""

from stdl_events.learning.lean.chain import run_chunk_lean
from stdl_events.learning.lean.parts import alike_parts_skipped, current_part_sizes
from stdl_events.learning.lean.supported import check_layer

__all__ = ["alike_parts_skipped", "check_layer", "current_part_sizes", "run_chunk_lean"]
