"""Runs of channels that the meter leaves out change nothing: a loop's peak and what it leaves are those of all runs."""

import random
from collections.abc import Sequence

import pytest

from stdl_events.learning.lean import alike_parts_skipped
from stdl_events.learning.lean.parts import unlike


def cut(count: int, lengths: Sequence[int]) -> list[slice]:
    """Runs of these lengths, repeated until `count` is reached."""
    runs, start = [], 0
    while start < count:
        stop = min(count, start + lengths[len(runs) % len(lengths)])
        runs.append(slice(start, stop))
        start = stop
    return runs


def peaks(runs: list[slice], groups: list[slice]) -> tuple[int, tuple[int, int]]:
    """The peak of a loop with a tensor for each group and one that lives until the next run's, and what it leaves."""
    kept, made, before, peak = 0, slice(0, 0), 0, 0
    for number, run in enumerate(runs):
        group = next(group for group in groups if run.stop <= group.stop)
        now = kept + (made.stop - made.start) + before
        if group != made:
            assert run.start == group.start, "the first run of a group makes its tensor"
            peak = max(peak, now + 5 * (group.stop - group.start))
            made = group
        before, now = run.stop - run.start, kept + (made.stop - made.start) + before
        peak = max(peak, now + 3 * before)
        kept = min(2, number + 1)  # small tensors of the first two runs stay
    return peak, (made.stop - made.start, before)


@pytest.mark.parametrize("seed", range(40))
def test_of_groups_of_runs_that_are_alike_the_first_ones_are_enough(seed: int) -> None:
    drawn = random.Random(seed)
    runs = cut(drawn.randint(3, 200), [drawn.randint(1, 4) for _ in range(drawn.randint(1, 5))])
    each = drawn.randint(1, 5)
    bundles = [runs[first : first + each] for first in range(0, len(runs), each)]
    groups = [slice(bundle[0].start, bundle[-1].stop) for bundle in bundles]
    with alike_parts_skipped():
        chosen = unlike(runs, groups)
    assert peaks(chosen, groups) == peaks(runs, groups)
    assert unlike(runs, groups) == runs, "all of them outside of the meter"


def test_few_of_many_equal_runs_are_left() -> None:
    runs = cut(64, [2])
    with alike_parts_skipped():
        assert len(unlike(runs)) == 3
        assert len(unlike(runs, cut(64, [8]))) < 10
