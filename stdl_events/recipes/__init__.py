"""Recipes: functions that return a complete frozen configuration, one file per task.

A recipe is given by the name of its file in this package, or by the path of any Python file that defines `recipe()`,
such as a copied app. The file may also have `VARIANTS`, named changes of the recipe, and `SOURCE`, where its values are
from.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stdl_events.errors import RecipeError
from stdl_events.plugins import import_file
from stdl_events.recipes.base import Variant
from stdl_events.registry import Registry
from stdl_events.training.settings import TrainConfig
from stdl_events.validation import first_problem

RECIPES: Registry[Callable[[], TrainConfig]] = Registry(
    "recipe",
    RecipeError,
    {
        name: f"stdl_events.recipes.{name}:recipe"
        for name in (
            "demo_walkers",
            "folder",
            "activities",
            "objects",
            "nmnist_small",
            "gait_day",
            "har_dvs",
            "cifar10_dvs",
            "dvs_gesture",
            "cifar10",
            "cifar100",
            "svhn",
            "imagenet",
        )
    },
)


@dataclass(frozen=True)
class Recipe:
    """A recipe as its file defines it.

    Attributes:
        name: in `RECIPES`, or the path of its file.
        build: returns its configuration.
        summary: one line without a full stop.
        source: where its values are from.
        variants: by name.
    """

    name: str
    build: Callable[[], TrainConfig]
    summary: str
    source: str
    variants: Mapping[str, Variant]

    def configure(self, variant: str | None = None) -> TrainConfig:
        """The configuration of the recipe, or of one of its variants.

        Raises:
            RecipeError: there is no such variant, or its values are impossible.
        """
        config = self._built(self.name, self.build)
        if variant is None:
            return config
        changes = self.changes(variant)
        return self._built(f"{self.name}, variant {variant}", lambda: config.derive(**changes))

    def changes(self, variant: str) -> Mapping[str, Any]:
        """The settings of a variant that differ from the recipe's.

        Raises:
            RecipeError: there is no such variant.
        """
        if variant not in self.variants:
            expected = f"one of {', '.join(self.variants)}" if self.variants else "none, since it has no variants"
            todo = _did_you_mean(variant, self.variants) or ("choose one" if self.variants else "leave --variant out")
            raise RecipeError(
                f"variant {variant!r} of {self.name}", got="no such variant", expected=expected, todo=todo
            )
        return self.variants[variant].changes

    @staticmethod
    def _built(name: str, build: Callable[[], object]) -> TrainConfig:
        try:
            config = build()
        except ValidationError as error:
            problem = first_problem(error)
            raise RecipeError(
                f"{name}: {problem.where}", got=problem.got, expected=problem.expected,
                todo=problem.todo or "correct the recipe",
            ) from None  # fmt: skip
        except RecipeError as error:
            raise RecipeError(
                f"{name}: {error.subject}", got=error.got, expected=error.expected, todo=error.todo
            ) from None
        if not isinstance(config, TrainConfig):
            raise _no_recipe(name, f"recipe() returning {type(config).__name__}")
        return config


def describe_recipes() -> dict[str, Recipe]:
    """Every recipe of `RECIPES` by its name."""
    return {name: find_recipe(name) for name in RECIPES}


def load_recipe(recipe: str, variant: str | None = None) -> TrainConfig:
    """The configuration of a recipe, given by its name or by the path of a Python file with a `recipe()`.

    Args:
        variant: the name of one of its variants, see `describe_recipes`.

    Raises:
        RecipeError: there is no such recipe, file or variant, or the file does not define a recipe.
    """
    return find_recipe(recipe).configure(variant)


def find_recipe(recipe: str) -> Recipe:
    """The recipe of this name, or of the Python file at this path.

    Raises:
        RecipeError: there is no such recipe or file, or the file does not define a recipe.
    """
    if recipe in RECIPES:
        build = RECIPES[recipe]
        return _described(recipe, build, build.__globals__)
    if not recipe.endswith(".py"):
        raise RecipeError(
            f"recipe {recipe!r}",
            got="no such recipe",
            expected=f"one of {', '.join(RECIPES)}, or the path of a .py file that defines recipe()",
            todo=_did_you_mean(recipe, RECIPES) or "see stdl-events train --list",
        )
    module = vars(import_file(Path(recipe), "a Python file that defines recipe()"))
    if not callable(module.get("recipe")):
        raise _no_recipe(recipe, "no function recipe()")
    return _described(recipe, module["recipe"], module)


def _described(name: str, build: Callable[[], TrainConfig], module: Mapping[str, Any]) -> Recipe:
    summary = (module.get("__doc__") or "").partition("\n")[0].rstrip(".")
    return Recipe(name, build, summary, module.get("SOURCE", ""), module.get("VARIANTS", {}))


def _no_recipe(name: str, got: str) -> RecipeError:
    expected = "a function recipe() that returns a TrainConfig"
    return RecipeError(name, got=got, expected=expected, todo="define one: see apps/train_gait.py")


def _did_you_mean(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else None
