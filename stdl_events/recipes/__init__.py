"""Recipes: functions that return a complete frozen configuration, one file per task.

A recipe is given by the name of its file in this package, or by the path of any Python file that defines `recipe()`,
such as a copied app.
"""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from stdl_events.errors import RecipeError
from stdl_events.plugins import import_file
from stdl_events.registry import Registry
from stdl_events.training.settings import TrainConfig
from stdl_events.validation import first_problem

RECIPES: Registry[Callable[[], TrainConfig]] = Registry(
    "recipe",
    RecipeError,
    {
        "demo_walkers": "stdl_events.recipes.demo_walkers:recipe",
        "folder": "stdl_events.recipes.folder:recipe",
        "gait_day": "stdl_events.recipes.gait_day:recipe",
        "nmnist_small": "stdl_events.recipes.nmnist_small:recipe",
        "objects": "stdl_events.recipes.objects:recipe",
    },
)


def describe_recipes() -> dict[str, str]:
    """The name and the one-line summary of each recipe."""
    return {
        name: (sys.modules[build.__module__].__doc__ or "").splitlines()[0].rstrip(".")
        for name, build in RECIPES.items()
    }


def load_recipe(recipe: str) -> TrainConfig:
    """The configuration of a recipe, given by its name or by the path of a Python file with a `recipe()`.

    Raises:
        RecipeError: there is no such recipe or file, or the file does not define a recipe.
    """
    if recipe in RECIPES:
        return RECIPES[recipe]()
    if not recipe.endswith(".py"):
        near = difflib.get_close_matches(recipe, RECIPES, n=1)
        raise RecipeError(
            f"recipe {recipe!r}",
            got="no such recipe",
            expected=f"one of {', '.join(RECIPES)}, or the path of a .py file that defines recipe()",
            todo=f"did you mean {near[0]!r}?" if near else "see stdl-events train --list",
        )
    build = getattr(import_file(Path(recipe), "a Python file that defines recipe()"), "recipe", None)
    config = _build(recipe, build) if callable(build) else build
    if not isinstance(config, TrainConfig):
        raise RecipeError(
            recipe,
            got="no function recipe()" if build is None else f"recipe() returning {type(config).__name__}",
            expected="a function recipe() that returns a TrainConfig",
            todo="define one: see apps/train_gait.py",
        )
    return config


def _build(recipe: str, build: Callable[[], object]) -> object:
    try:
        return build()
    except ValidationError as error:
        problem = first_problem(error)
        raise RecipeError(
            f"{recipe}: {problem.where}", got=problem.got, expected=problem.expected,
            todo=problem.todo or "correct the recipe",
        ) from None  # fmt: skip
