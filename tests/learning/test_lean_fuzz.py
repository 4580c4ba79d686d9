"""Lean mode equals plain mode on random networks; `tests/benchmarks/run_fuzz_lean.py` runs more of them."""

import pytest
from lean_fuzz import TOLERANCE, compare


@pytest.mark.parametrize("seed", range(15))
def test_random_networks_learn_alike_in_lean_and_plain_mode(seed):
    outcome = compare(seed)
    assert outcome.worst <= TOLERANCE, f"{outcome.where} of {outcome.case}"
