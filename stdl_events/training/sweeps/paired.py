"""Means with their spread, and differences between pairs: runs of one seed, or answers to one recording."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A mean and its spread.

    Attributes:
        sd: sample standard deviation (n - 1); None for one value.
    """

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A mean difference within pairs.

    Attributes:
        standard_error: of the mean: the standard deviation of the differences over the root of n; None for one pair.
    """

    mean: float
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class PairedCounts:
    """Recordings by which of two networks is right, as in McNemar's test."""

    both: int
    only_first: int
    only_second: int
    neither: int


def spread(values: Sequence[float]) -> Spread:
    """The mean and the standard deviation of at least one value."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The mean of `second - first` over at least one pair."""
    differences = spread([theirs - ours for ours, theirs in zip(first, second, strict=True)])
    error = None if differences.sd is None else differences.sd / math.sqrt(differences.n)
    return Difference(differences.mean, error, differences.n)


def paired_counts(first_right: Sequence[bool], second_right: Sequence[bool]) -> PairedCounts:
    """Count the recordings that both networks answer rightly, one of them, or none."""
    pairs = list(zip(map(bool, first_right), map(bool, second_right), strict=True))
    return PairedCounts(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )
