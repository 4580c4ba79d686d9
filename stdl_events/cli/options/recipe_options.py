"""Options that choose a recipe's settings: its variant, a file of settings, single assignments, its recordings."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stdl_events.cli.options.data_options import DataOptions
from stdl_events.cli.options.split_options import split_assignments

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
DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of the recordings, or a store of their clips that prepare wrote.")
]
Init = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Start with the weights of this finished run of the same network.")
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Do not train this part of the network: a number of first layers, or a name such as layers.0, where * "
        "matches anything; repeatable.",
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unreadable recordings, and name them.")]


def option_assignments(
    *,
    data: Path | None,
    init: Path | None,
    freeze: list[str] | None,
    device: str | None,
    skip_bad: bool,
    repair: bool,
    split: str | None,
    validation: str | None,
    data_options: DataOptions,
) -> list[str]:
    """The settings that the options of a training change, `key=value` each.

    Raises:
        RecipeError: an option contradicts another.
    """
    from stdl_events.prepared.manifest import is_store

    flags: dict[str, object] = {"init": init, "device": device}
    if data is not None:
        flags["data.prepared" if is_store(data) else "data.path"] = data.resolve()
    flags |= {f"data.split.{name}": value for name, value in split_assignments(split, validation).items()}
    if freeze:
        flags["freeze"] = json.dumps(freeze)
    if skip_bad:
        flags["data.skip_bad"] = "true"
    if repair:
        flags["data.repair"] = "true"
    return [f"{key}={value}" for key, value in flags.items() if value is not None] + [*data_options.assignments]
