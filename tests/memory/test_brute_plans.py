"""Real small networks against all their plans, each metered. `make fuzz` does the same for 200 networks."""

import pytest
from brute_plans import check_auto, check_mode, random_blueprint


@pytest.mark.parametrize(("seed", "memory"), [(0, "plain"), (1, "lean"), (2, "kept")])
def test_no_plan_needs_less_than_the_budget_that_a_refusal_names(seed, memory):
    check_mode(random_blueprint(seed, layers=4, memory=memory))


@pytest.mark.parametrize(("seed", "keeps"), [(102, False), (104, True)])
def test_nor_does_any_mode_with_any_outputs_kept(seed, keeps):
    _, smallest_keeps = check_auto(random_blueprint(seed, layers=3, memory="lean"))
    assert smallest_keeps == keeps
