"""Real small networks against all their plans, each metered. `make fuzz` does the same for 200 networks."""

import dataclasses

import pytest
from brute_plans import check_auto, check_mode, random_blueprint


@pytest.mark.parametrize(
    ("seed", "layers", "memory"),
    # Layers behind others with channels last (15, 59), traces behind a gain (6) and a pooling (34). The gradient of the
    # loss at a peak (84), and a peak behind the last use of a block's output in the backward of its reader (92).
    [
        *((seed, 4, "plain") for seed in (28, 84, 92)),
        *((seed, 3, "lean") for seed in (15, 59)),
        *((seed, 4, "kept") for seed in (6, 34)),
    ],
)
def test_no_plan_needs_less_than_the_budget_that_a_refusal_names(seed, layers, memory):
    _, off = check_mode(random_blueprint(seed, layers=layers, memory=memory))
    assert off == 0, "a block's bytes are those of its layers added up"


@pytest.mark.parametrize("seed", [1071, 1098])
def test_nor_with_activations_in_bfloat16(seed):
    blueprint = dataclasses.replace(random_blueprint(seed, layers=4, memory="plain"), precision="bf16")
    _, off = check_mode(blueprint)
    assert off == 0, "casts of weights end with a block's forward, and logits stay in both formats"


@pytest.mark.parametrize(("seed", "keeps"), [(99, True), (102, False), (104, True)])
def test_nor_does_any_mode_with_any_outputs_kept(seed, keeps):
    _, smallest_keeps = check_auto(random_blueprint(seed, layers=3, memory="lean"))
    assert smallest_keeps == keeps
