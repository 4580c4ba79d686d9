"""Means, spreads and paired differences beside numpy and scipy."""

import numpy as np
import pytest
from scipy import stats

from stdl_events.training.sweeps.paired import PairedCounts, paired_counts, paired_difference, spread


@pytest.mark.parametrize("count", [2, 3, 20])
def test_spread_and_difference_are_those_of_the_t_test(count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.random(count), rng.random(count)
    found = spread(first.tolist())
    assert (found.mean, found.sd, found.n) == (pytest.approx(first.mean()), pytest.approx(first.std(ddof=1)), count)
    difference = paired_difference(first.tolist(), second.tolist())
    assert difference.standard_error is not None
    expected = stats.ttest_rel(second, first)
    assert difference.mean / difference.standard_error == pytest.approx(expected.statistic)
    assert difference.standard_error == pytest.approx(stats.sem(second - first))
    assert difference.n == count


def test_one_value_has_no_spread() -> None:
    assert (spread([0.5]).mean, spread([0.5]).sd) == (0.5, None)
    assert paired_difference([0.5], [0.75]).standard_error is None
    with pytest.raises(ValueError, match="zip"):
        paired_difference([0.5], [0.5, 0.5])


def test_counts_are_those_of_a_contingency_table() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(50) < 0.7, rng.random(50) < 0.4
    table = stats.contingency.crosstab(~first, ~second).count
    assert paired_counts(first, second) == PairedCounts(*table.ravel().tolist())
    assert paired_counts([True, True, False], [True, False, False]) == PairedCounts(1, 1, 0, 1)
