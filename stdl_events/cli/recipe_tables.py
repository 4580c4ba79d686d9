"""The tables of `train --list` and `train RECIPE --show`, which import no torch."""

from typing import TYPE_CHECKING, Any

from stdl_events.cli.output import print_json, results

if TYPE_CHECKING:
    from stdl_events.recipes import Recipe
    from stdl_events.recipes.resolve import Resolved


def print_recipes(as_json: bool) -> None:
    """Print every recipe: its dataset, network, T and source."""
    from rich.table import Column, Table

    from stdl_events.recipes import describe_recipes

    recipes = describe_recipes()
    if as_json:
        print_json({"recipes": {name: _document(recipe) for name, recipe in recipes.items()}})
        return
    table = Table(
        "recipe",
        "dataset",
        Column("network", max_width=12),
        "T",
        Column("source", max_width=13),
        Column("variants", min_width=16),
        box=None,
    )
    for name, recipe in recipes.items():
        row = _document(recipe)
        table.add_row(
            name, row["dataset"], row["network"], str(row["steps"]), row["source"], ", ".join(row["variants"])
        )
    results.print(table)
    results.print("\nnext: stdl-events train RECIPE --show, or --variant NAME; --list --json says what each is")


def _document(recipe: "Recipe") -> dict[str, Any]:
    config = recipe.configure()
    return {
        "summary": recipe.summary,
        "dataset": config.data.dataset,
        "network": config.network.notation,
        "steps": config.frames.steps,
        "source": recipe.source,
        "variants": {name: variant.summary for name, variant in recipe.variants.items()},
    }


def print_settings(resolved: "Resolved", as_json: bool) -> None:
    """Print every setting, its value, and where it is from."""
    from rich.table import Column, Table

    from stdl_events.training.overrides import shown_value

    values = resolved.values
    if as_json:
        settings = {key: {"value": value, "from": resolved.origins[key]} for key, value in values.items()}
        print_json({"recipe": resolved.config.name, "settings": settings})
        return
    table = Table("setting", Column("value", overflow="fold"), "from", box=None)
    for key, value in values.items():
        table.add_row(key, shown_value(value), resolved.origins[key])
    results.print(table)
