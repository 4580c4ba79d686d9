"""Options that choose a recipe's settings: its variant, a file of settings, and single assignments."""

from pathlib import Path
from typing import Annotated

import typer

Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
]
Variant = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="A variant of the recipe (see train --list --json).")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML or JSON, such as a run's config.json."),
]
