"""Some points of a grid of settings, with every pair of values: a fault that needs two of them is found."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any


def pairs(*axes: Iterable[Any]) -> list[tuple[Any, ...]]:
    """All points of the first two axes; the others take turns.

    Returns:
        Points that together hold every pair of values of two axes.

    Raises:
        AssertionError: the first axes are too short for that.
    """
    values = [list(axis) for axis in axes]
    first, second, *others = values
    points = [
        (a, b, *(other[(i + (1 + number) * j) % len(other)] for number, other in enumerate(others)))
        for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second))
    ]
    missing = set(_pairs_of(itertools.product(*values))) - set(_pairs_of(points))
    assert not missing, f"{len(missing)} pairs are missing: order the axes by length, the longest first"
    return points


def _pairs_of(points: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for point in points:
        yield from itertools.combinations(enumerate(point), 2)
