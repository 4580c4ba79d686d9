"""What a training process on the CPU takes beyond the metered bytes, as measured.

Two things are not metered: buffers inside libraries, most of them of convolutions, and memory that the C library's heap
keeps when parts of a step are freed.
"""

import math

# Bounds of all rows of `tests/benchmarks/measure_workspace.py` (glibc 2.36, torch 2.13) with the heap as it comes.
FIXED_BYTES = 4_000_000
SHARES = {"lean": 1.5, "kept": 1.5, "plain": 1.1}
LARGEST_MEASURED_BYTES = 350_000_000


def cpu_allowance_bytes(peak_bytes: int, memory: str) -> int | None:
    """Room to leave beside the metered bytes of a step on the CPU; None above the sizes that were measured.

    Args:
        peak_bytes: metered peak of the step.
        memory: the memory mode, "lean", "kept" or "plain".
    """
    if peak_bytes > LARGEST_MEASURED_BYTES:
        return None
    return FIXED_BYTES + math.ceil(SHARES[memory] * peak_bytes)
