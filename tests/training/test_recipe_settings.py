"""`train --list`, `train RECIPE --show`, `--variant` and `--config`: every setting, and where it is from."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from stdl_events.cli.find_training import find_training
from stdl_events.errors import RecipeError
from stdl_events.recipes import describe_recipes, load_recipe
from stdl_events.recipes.resolve import resolve
from stdl_events.training.overrides import flat, parse_assignments, read_settings_file, setting_keys
from stdl_events.training.sweeps.sweep_grid import Sweep
from stdl_events.training.unused_settings import NEEDS, Need, say_unused, say_unused_in_sweep

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A recipe with a variant."""
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\n\nfrom stdl_events.recipes.base import Variant, base\n\n'
        'SOURCE = "my notebook"\n'
        'VARIANTS = {"long": Variant("more of it", {"epochs": 7, "network": {"neuron": {"decay": 0.5}}})}\n\n\n'
        'def recipe():\n    return base(\n        "mine",\n        data={"dataset": "folder"},\n'
        '        frames={"kind": "stream", "steps": 3, "dt_us": 1000},\n        network={"notation": "4C3"},\n'
        '        learning={"plan": "paper"},\n    )\n'
    )
    return path


def test_each_setting_is_from_the_last_that_states_it(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "some.toml").write_text("batch_size = 5\n[augment]\nflip = true\n[learning]\nrho = 0.7\n")
    resolved = resolve(
        str(mine),
        variant="long",
        file=tmp_path / "some.toml",
        assignments=["epochs=7", "seed=3", "augment.zoom=0.1"],
        options=["device=cpu", "seed=4"],
    )
    assert resolved.values.keys() == resolved.origins.keys()
    assert resolved.values == flat(resolved.config.model_dump(mode="json"))
    by_origin: dict[str, set[str]] = {}
    for key, origin in resolved.origins.items():
        by_origin.setdefault(origin, set()).add(key)
    assert by_origin["option"] == {"device", "seed"}
    assert by_origin["--set"] == {"epochs", "augment.zoom"}, "stated, if equal to the variant's"
    assert by_origin["--config"] == {"batch_size", "augment.flip", "learning.rho", "learning.plan"}, "rho unsets plan"
    assert by_origin["variant"] == {"network.neuron.decay"}
    assert by_origin["recipe"] == {
        "name", "data.dataset", "frames.kind", "frames.steps", "frames.dt_us", "network.notation"
    }  # fmt: skip
    assert resolved.values["seed"] == 4
    assert resolved.config.learning.plan is None


def test_the_seed_of_the_training_is_none_of_the_split(mine: Path) -> None:
    folds = ["data.split.rule=leave-one-subject-out", "data.split.fold=1"]
    assert resolve(str(mine), assignments=[*folds, "seed=3"]).config.seed == 3
    with pytest.raises(RecipeError, match=r"data\.split\.seed: got 3, and a split by the rule leave-one-subject-out"):
        resolve(str(mine), assignments=[*folds, "data.split.seed=3"])


def test_an_amount_of_memory_is_asked_for_in_words(mine: Path) -> None:
    with pytest.raises(RecipeError, match="got '-1GB'; expected an amount of memory, such as 8GB or 512MiB"):
        resolve(str(mine), assignments=["learning.budget=-1GB"])


def test_a_section_given_as_a_whole_is_from_there(mine: Path) -> None:
    resolved = resolve(str(mine), assignments=["network.neuron=paper"])
    assert resolved.origins["network.neuron"] == "--set"
    assert "network.neuron.decay" not in resolved.values
    whole = resolve(str(mine), assignments=['network.neuron={"kind": "lif"}'])
    assert whole.origins["network.neuron.decay"] == "--set", "though it is as before"


def test_show_lists_every_setting(mine: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = run_cli("train", mine, "--show", "--json", "--set", "epochs=9", "--filter", "background_us=100")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["recipe"] == "mine"
    assert shown["settings"]["epochs"] == {"value": 9, "from": "--set"}
    assert shown["settings"]["frames.filters.background_us"] == {"value": 100, "from": "option"}
    known = setting_keys()
    assert all(key in known for key in shown["settings"])
    code, out, _ = run_cli("train", mine, "--show")
    rows = [line.split() for line in out.splitlines()]
    assert ["frames.steps", "3", "recipe"] in rows
    assert ["data.path", "none", "base"] in rows
    assert max(map(len, out.splitlines())) <= 80
    assert {row[0] for row in rows[1:] if row} >= shown["settings"].keys()


def test_list_names_dataset_network_steps_and_source(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, _ = run_cli("train", "--list", "--json")
    assert code == 0
    listed = json.loads(out)["recipes"]
    assert listed.keys() == describe_recipes().keys()
    assert all(row["summary"] and row["source"] and row["network"] for row in listed.values())
    assert listed["gait_day"]["steps"] == 20
    assert "Table" in listed["gait_day"]["source"]
    assert listed["gait_day"]["variants"]["sltt"].startswith("SLTT")
    code, out, _ = run_cli("train", "--list")
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert all(name in out for name in listed)
    assert "resnet18" in out


def test_the_configuration_of_a_run_is_a_file_of_settings(tmp_path: Path) -> None:
    config = load_recipe("gait_day").derive(network={"neuron": {"kind": "plif"}}, data={"sensor_size": (9, 8)})
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json())
    assert resolve("folder", file=path).config == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "epochs = ", "a.toml: got Invalid value"),
        ("a.json", "[]", "a.json: got a list; expected a file of settings, .toml or .json"),
        ("a.toml", "[learning]\nrul = 'sltt'", "a.toml: setting 'learning.rul': got no such setting; expected one of"),
        ("a.toml", "# later", "a.toml: got no setting; expected a file of settings"),
        (
            "a.toml",
            "learning = 3",
            "setting 'learning': got a group of settings; expected one of learning.rule",
        ),
        ("a.toml", "epochs = true", "setting 'epochs': got 'true'; expected a valid integer"),
        ("a.json", '{"epochs": 1, "epochs": 2}', "a.json: got the key 'epochs' twice"),
        ("a.json", "[" * 100_000, "a.json: got maximum recursion depth"),
        ("a.json", '\ufeff{"network": {"neuron": "x"}}', "setting 'network.neuron': got 'x'; expected 'paper'"),
        ("a.toml", "epochs = 0", "a.toml: setting 'epochs': got 0; expected greater than or equal to 1"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_settings_file(tmp_path / name)
    assert message in str(caught.value)
    with pytest.raises(RecipeError, match=r"absent\.toml: got No such file"):
        read_settings_file(tmp_path / "absent.toml")


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.keys[0])
def test_a_setting_without_effect_is_said(need: Need) -> None:
    values = flat(load_recipe("folder").derive(schedule={"kind": "constant"}, network={"norm": "none"}).model_dump())
    base = [f"{key}={values[key]}" for key in ("schedule.kind", "network.norm")] + ["learning.rule=sltt"]
    given = dict.fromkeys(need.keys, "0.5") | {"learning.plan": "paper", "schedule.step_epochs": "2"}
    given |= {"learning.budget": "1GB", "learning.least_blocks": "1", "frames.scale_by": "pick"}
    given |= {"learning.budget_of": "process"}
    for key in need.keys:
        config = resolve("folder", assignments=[*base, f"{key}={given[key]}"]).config
        with pytest.warns(UserWarning, match=f"^{key} has no effect here: it needs {need.decided_by}=") as said:
            say_unused(config, [key])
        assert len(said) == 1


def test_a_setting_without_effect_is_said_at_every_door(tmp_path: Path, run_cli: Cli) -> None:
    text = "schedule.step_epochs has no effect here: it needs schedule.kind=step"
    config = load_recipe("folder")
    with pytest.warns(UserWarning, match=text) as said:
        config.derive(schedule={"step_epochs": 3})
    assert [Path(warned.filename).name for warned in said] == [Path(__file__).name]
    file = tmp_path / "some.toml"
    file.write_text("[schedule]\nstep_epochs = 3\n")
    for words in (["train", "folder", "--show"], ["sweep", "folder", "--data", tmp_path / "absent"]):
        _, _, err = run_cli(*words, "--config", file)
        assert err.count(text) == 1
    # The file of a whole run states every setting; said is what it changes.
    whole = tmp_path / "config.json"
    whole.write_text(json.dumps(config.model_dump(mode="json") | {"epochs": 3}))
    code, _, err = run_cli("train", "folder", "--show", "--config", whole)
    assert (code, err) == (0, "")
    config.derive(schedule={"kind": "step", "step_epochs": 3}).derive(epochs=5)


def test_a_setting_with_effect_is_not_said() -> None:
    asked = ["schedule.kind=step", "schedule.step_epochs=2", "network.neuron.kind=alif", "network.neuron.adaptation=1"]
    asked += [
        "learning.rate_penalty=1",
        "learning.target_rate=0.1",
        "learning.budget=1GB",
        "learning.budget_of=process",
    ]
    asked += ["learning.budget_of=process", "network.norm_momentum=0.2"]
    say_unused(resolve("folder", assignments=asked).config, [word.partition("=")[0] for word in asked])


@pytest.mark.parametrize(
    ("given", "varied", "said"),
    [
        (("learning.budget=1GB",), {"learning.rule": ("sltt", "bptt")}, ["learning.budget has no effect here: it"]),
        (("learning.budget=1GB",), {"learning.rule": ("sltt", "stdl")}, []),
        ((), {"schedule.step_factor": ("0.1", "0.5")}, ["schedule.step_factor has no effect here: it needs schedule"]),
        (
            (),
            {"learning.rule": ("stdl", "sltt"), "learning.least_blocks": ("1", "2")},
            ["learning.least_blocks has no effect in 2 of 4 combinations: it needs learning.rule=stdl"],
        ),
    ],
)  # fmt: skip
def test_what_varies_without_effect_is_said(
    given: tuple[str, ...], varied: dict[str, tuple[str, ...]], said: list[str]
) -> None:
    grid = Sweep(resolve("folder", assignments=given).config, varied, (0,))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        say_unused_in_sweep([one.config for one in grid.combinations], parse_assignments(given), varied)
    assert len(caught) == len(said)
    for warned, text in zip(caught, said, strict=True):
        assert str(warned.message).startswith(text)


@pytest.mark.parametrize(
    ("recipe", "variant", "message"),
    [
        ("gait_day", "sttl", r"variant 'sttl' of gait_day: got no such variant; expected one of .*did you mean 'sltt'"),
        ("objects", "sltt", r"expected none, since it has no variants; leave --variant out"),
    ],
)
def test_an_unknown_variant_is_told(recipe: str, variant: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, variant)


def test_other_commands_take_variants_and_files(tmp_path: Path, mine: Path, run_cli: Cli) -> None:
    (tmp_path / "some.toml").write_text('[learning]\nplan = "none"\nrule = "sltt"\n')
    found = find_training(str(mine), ["seed=2"], variant="long", file=tmp_path / "some.toml").config
    assert (found.epochs, found.learning.rule, found.learning.plan, found.seed) == (7, "sltt", None, 2)
    for command in ("memory", "plan", "cost"):
        code, _, err = run_cli(command, mine, "--variant", "lang")
        assert code == 2
        assert "did you mean 'long'?" in err
        code, _, err = run_cli(command, "--config", tmp_path / "some.toml", "--network", "4C3")
        assert "--config: got no recipe" in err


@pytest.mark.parametrize(
    ("key", "value", "takers"), [("held_out", "0.2", "recording or time"), ("seed", "0", "recording or subject")]
)
def test_a_setting_that_the_rule_of_the_split_does_not_take_is_refused_even_at_its_default(
    key: str, value: str, takers: str
) -> None:
    stated = f"data.split.{key}={value}"
    with pytest.raises(RecipeError, match=rf"data\.split\.{key}: got {value}, and a split by the rule given.*{takers}"):
        resolve("folder", assignments=["data.split.rule=given", stated])
    assert resolve("folder", assignments=[stated]).config.data.split.rule == "auto"
    # The recipe's own share is for the recipe's own rule.
    assert resolve("objects", assignments=["data.split.rule=given"]).config.data.split.held_out == 0.3
