"""Percentiles of durations, in memory that does not grow with their number."""

import math

import numpy as np

BINS_PER_DECADE = 100
DECADES = 9


class Percentiles:
    """Percentiles of durations, from a histogram with logarithmic bins: within 1.2 % of the exact value.

    Durations are microseconds, from 1 us to 1000 s; others are clipped to this range.
    """

    def __init__(self) -> None:
        self._counts = [0] * (BINS_PER_DECADE * DECADES)
        self._highest_us = 0.0

    def add(self, duration_us: float) -> None:
        position = int(BINS_PER_DECADE * math.log10(max(duration_us, 1.0)))
        self._counts[min(position, len(self._counts) - 1)] += 1
        self._highest_us = max(self._highest_us, duration_us)

    def summary_us(self) -> dict[str, float | None]:
        """Return p50, p95, p99 (nearest rank) and max; None without durations."""
        sums = np.cumsum(self._counts)
        total = int(sums[-1])
        if not total:
            return {"p50": None, "p95": None, "p99": None, "max": None}
        ranks = [max(1, int(np.ceil(share * total))) for share in (0.50, 0.95, 0.99)]
        positions = np.searchsorted(sums, ranks)
        middles_us = np.minimum(10 ** ((positions + 0.5) / BINS_PER_DECADE), self._highest_us)
        p50, p95, p99 = (round(float(value), 1) for value in middles_us)
        return {"p50": p50, "p95": p95, "p99": p99, "max": round(self._highest_us, 1)}
