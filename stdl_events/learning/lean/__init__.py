"""Lean mode: the gradients of ordinary autograd from a fraction of its memory, for rules that learn online.

Between forward and backward of a time step, a layer keeps its spikes at one bit each and its membrane potentials, which
it keeps anyway. Backward makes the rest again: the surrogate gradient from potential and spikes, the convolution's
output from the packed input. Running statistics move once, in the forward. Backward is written out by hand instead of
being recorded by autograd, so that every temporary is known.
"""

from stdl_events.learning.lean.chain import run_chunk_lean
from stdl_events.learning.lean.supported import check_layer

__all__ = ["check_layer", "run_chunk_lean"]
