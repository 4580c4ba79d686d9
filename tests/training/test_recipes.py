"""Every shipped recipe is complete: it is built and trains two steps on smaller clips of its kind."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from stdl_events.errors import RecipeError
from stdl_events.recipes import RECIPES, describe_recipes, load_recipe
from stdl_events.recipes import __file__ as recipes_file
from stdl_events.recipes.base import REQUIRED, base_of
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.overrides import flat
from stdl_events.training.settings import TrainConfig

SENSOR_SIZES = {"demo_walkers": (48, 48), "nmnist_small": (34, 34)}
CLASSES = 5
# Their own networks and plans; the others share these, or take minutes on a CPU (test_recipes_on_layouts.py).
OWN_NETWORKS = ("demo_walkers", "folder", "gait_day")
SHARED = {"__init__", "base", "papers", "resolve"}


def test_every_file_is_a_recipe_of_its_name() -> None:
    files = {path.stem for path in Path(recipes_file).parent.glob("*.py")} - SHARED
    assert set(RECIPES) == files
    for name, recipe in describe_recipes().items():
        assert load_recipe(name).name == name
        assert recipe.summary
        assert not recipe.summary.endswith(".")
        assert recipe.source


def test_no_recipe_is_derived_from_another() -> None:
    for name in RECIPES:
        tree = ast.parse((Path(recipes_file).parent / f"{name}.py").read_text())
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        of_recipes = {module for module in imported if module.startswith("stdl_events.recipes")}
        assert of_recipes <= {"stdl_events.recipes.base", "stdl_events.recipes.papers"}
        assert "stdl_events.recipes.base" in of_recipes


def test_the_base_has_nothing_of_a_task() -> None:
    base = base_of(load_recipe("gait_day")).model_dump()
    other = base_of(load_recipe("demo_walkers")).model_dump()
    differing = {key for key, value in flat(base).items() if flat(other)[key] != value}
    assert differing <= set(REQUIRED)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_survives_json(name: str) -> None:
    config = load_recipe(name)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", OWN_NETWORKS)
def test_recipe_takes_two_steps(name: str) -> None:
    config = load_recipe(name)
    # Few steps and one clip at a time keep this quick; the network and its plan are the recipe's own.
    width, height = SENSOR_SIZES.get(name, (32, 32))
    config = config.derive(frames={"steps": 2, "downscale": 1}, device="cpu")
    frame_spec = config.frames.spec((width, height))
    learner = build_configured_learner(config, frame_spec, CLASSES)
    shape = (frame_spec.steps, 1, *frame_spec.frame_shape_CHW)
    frames_TBCHW = torch.from_numpy(np.random.default_rng(0).integers(0, 4, shape, dtype=np.uint8))
    before = {key: weight.clone() for key, weight in learner.network.named_parameters()}
    for _ in range(2):
        metrics = learner.train_step(frames_TBCHW, torch.tensor([4]))
        assert torch.isfinite(metrics["loss"])
    moved = [key for key, weight in learner.network.named_parameters() if not torch.equal(weight, before[key])]
    assert moved == list(before)


def test_a_python_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from stdl_events.recipes import folder\n\n"
        "def recipe():\n    return folder.recipe().derive(name='mine', epochs=3)\n\n"
        "if __name__ == '__main__':\n    raise SystemExit('not when imported')\n"
    )
    assert load_recipe(str(path)) == load_recipe("folder").derive(name="mine", epochs=3)


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("x = 1\n", "no function recipe()"),
        ("def recipe():\n    return {}\n", "recipe() returning dict"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError while importing it: No module named"),
        ("def recipe(:\n", "SyntaxError while importing it"),
    ],
)
def test_a_file_that_is_no_recipe_is_told(tmp_path: Path, source: str, got: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert caught.value.got.startswith(got)
    assert str(path) in str(caught.value)


def test_unknown_names_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"got no such recipe; expected one of demo_walkers, .*did you mean"):
        load_recipe("object")
    with pytest.raises(RecipeError, match=r"none\.py: got no such file; expected a Python file that defines recipe"):
        load_recipe(str(tmp_path / "none.py"))
