"""Numbers among the arguments of a program, which nothing has converted or checked before."""

import math
from numbers import Integral, Real

# Larger integers fit into no number of torch; a float may be larger.
_LARGEST_INTEGER = 1 << 63


def is_number(value: object) -> bool:
    """Return True for a finite real number; a bool, a text or a tensor is none, nor an integer of more than 64 bits."""
    if isinstance(value, Integral):
        return not isinstance(value, bool) and abs(int(value)) < _LARGEST_INTEGER
    return isinstance(value, Real) and math.isfinite(value)
