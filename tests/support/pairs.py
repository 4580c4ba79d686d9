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
    first, second, *others = map(len, values)
    points = [
        (i, j, *((i + number * j) % other for number, other in enumerate(others, start=1)))
        for i, j in itertools.product(range(first), range(second))
    ]
    missing = set(_pairs_of(itertools.product(*(range(len(axis)) for axis in values)))) - set(_pairs_of(points))
    assert not missing, f"{len(missing)} pairs are missing: order the axes by length, the longest first"
    return [tuple(axis[index] for axis, index in zip(values, point, strict=True)) for point in points]


def _pairs_of(points: Iterable[tuple[int, ...]]) -> Iterator[tuple[tuple[int, int], ...]]:
    for point in points:
        yield from itertools.combinations(enumerate(point), 2)
