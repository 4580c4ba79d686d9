"""A sweep as data: which runs it has, in which order, under which names; what is refused before anything is trained."""

import re

import pytest

from stdl_events.errors import RecipeError
from stdl_events.recipes import load_recipe
from stdl_events.training.sweeps.sweep_grid import Sweep, parse_seeds, parse_vary, split_values

BASE = load_recipe("folder")


def sweep_of(*words: str, seeds: str = "0,1") -> Sweep:
    return Sweep(BASE, parse_vary(words), parse_seeds(seeds))


def test_every_combination_with_every_seed() -> None:
    sweep = sweep_of("learning.rule=stdl,sltt", "optimiser.lr=0.01,3e-3", seeds="4,2")
    assert [trial.name for trial in sweep.trials] == [
        f"rule={rule},lr={lr}/seed={seed}" for seed in (4, 2) for rule in ("stdl", "sltt") for lr in ("0.01", "3e-3")
    ]
    for trial in sweep.trials:
        rule, lr = re.match(r"rule=(\w+),lr=(.*)/", trial.name).groups()  # type: ignore[union-attr]
        expected = BASE.derive(learning={"rule": rule}, optimiser={"lr": float(lr)}, seed=trial.seed)
        assert trial.config == expected
    assert sweep.trials[0].text == "learning.rule=stdl, optimiser.lr=0.01, seed 4"
    assert [trial.name for trial in sweep_of(seeds="0").trials] == ["seed=0"]


def test_runs_with_the_same_clips_follow_each_other() -> None:
    sweep = sweep_of("learning.rule=stdl,sltt", "frames.dt_us=10000,20000")
    windows = [trial.config.frames.dt_us for trial in sweep.trials]
    assert windows == [10_000] * 4 + [20_000] * 4
    assert [trial.seed for trial in sweep.trials] == [0, 0, 1, 1] * 2
    assert sweep.group_of(sweep.trials[5]) == sweep.trials[4:]


def test_brackets_and_quotes_keep_their_commas() -> None:
    assert split_values('[1,2],{"a":[3,4]}, 5,"6,7"') == ["[1,2]", '{"a":[3,4]}', "5", '"6,7"']
    sweep = sweep_of("learning.class_weights=[1,2],[1,4],none", "network.notation=8C3-DP(0.1),8C3-8C3")
    assert [one.config.learning.class_weights for one in sweep.combinations[::2]] == [(1, 2), (1, 4), None]
    assert [one.config.network.notation for one in sweep.combinations[:2]] == ["8C3-DP(0.1)", "8C3-8C3"]
    words = '["drop_time:share=0.2,probability=0.5"]'
    (one, other) = sweep_of(f"augment.transforms=[],{words}").combinations
    assert (len(one.config.augment.transforms), len(other.config.augment.transforms)) == (0, 1)


def test_folders_have_names_of_their_own() -> None:
    names = [trial.name for trial in sweep_of("data.path=a/b,a b,a_b", seeds="0").trials]
    assert names == ["path=a_b/seed=0", "path=a_b-2/seed=0", "path=a_b-3/seed=0"]
    both = sweep_of("data.split.seed=0,1", "data.walkers.seed=0,1", seeds="0").combinations[0].name
    assert both == "data.split.seed=0, data.walkers.seed=0"


def test_equal_leaves_are_told_apart_and_budgets_replace_each_other() -> None:
    configs = [
        one.config
        for one in Sweep(BASE.derive(learning={"rho": 0.9}), {"learning.budget": ("1GiB", "none")}, (0,)).combinations
    ]
    assert [(config.learning.rho, config.learning.budget) for config in configs] == [(None, 2**30), (0.9, None)]


@pytest.mark.parametrize(
    ("words", "seeds", "message"),
    [
        (["learning.rul=stdl"], "0", "setting 'learning.rul': got no such setting; .*did you mean 'learning.rule'"),
        (["learning.rule=stdl,stld"], "0", "setting 'learning.rule': got 'stld'; .*did you mean 'stdl'"),
        (["optimiser.lr=0.01,1e-2"], "0", "--vary optimiser.lr: got 1e-2 twice; expected it once"),
        (["epochs=1", "epochs=2"], "0", "--vary: got epochs twice; expected it once"),
        (["epochs"], "0", "--vary epochs: got no =; .*write for example --vary learning.rule=stdl,sltt"),
        (["epochs=1,"], "0", "--vary epochs=1,: got no value"),
        (["seed=1,2"], "0", "--vary seed: got the seed; expected other settings; write for example --seeds"),
        ([], "0,1,0", "--seeds: got 0 twice"),
        ([], "0,,1", "--seeds: got '0,,1'; expected numbers"),
        ([], "one", "--seeds: got 'one'; expected a valid integer.*; write for example --seeds 0,1,2"),
        (
            ["learning.budget=none,1GiB", "learning.rho=none,0.5"], "0",
            r"budget=1GiB, rho=0.5: learning: got budget and rho; expected at most one .*with one --vary less",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused(words: list[str], seeds: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        sweep_of(*words, seeds=seeds)


def test_what_differs_from_another_sweep() -> None:
    old = sweep_of("learning.rule=stdl,sltt")
    assert sweep_of("learning.rule=stdl,sltt", seeds="1,0,5").changes_from(old) == []
    assert sweep_of("learning.rule=stdl,sltt", seeds="1").changes_from(old) == ["--seeds (now without 0)"]
    assert sweep_of("learning.rule=stdl").changes_from(old) == [
        "--vary (learning.rule=stdl,sltt; now learning.rule=stdl)"
    ]
    other = Sweep(BASE.derive(epochs=BASE.epochs + 1, seed=9), old.vary, old.seeds)
    assert other.changes_from(old) == [f"epochs ({BASE.epochs}, now {BASE.epochs + 1})"]
