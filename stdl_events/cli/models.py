"""`models`: the trained models that come with the package."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import messages, print_json, results
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.models import ShippedModel


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(models)


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them.  [default: all]")] = None,
    out: Annotated[Path | None, typer.Option(help="Copy it to this file; an older one is replaced.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List the trained models that come with the package, or copy one.

    live, predict and evaluate take them where they are, as models:NAME.

    Example: stdl-events models nmnist --out nmnist.onnx
    """
    from stdl_events.models import copy_model, shipped_model, shipped_models

    if out is not None and name is None:
        raise typer.BadParameter("name the model to copy", param_hint="--out")
    shown = list(shipped_models().values()) if name is None else [shipped_model(name)]
    if out is not None and name is not None:
        copy_model(name, out)
    if as_json:
        print_json({"models": [dataclasses.asdict(model) for model in shown], "out": None if out is None else str(out)})
        return
    if out is not None:
        results.print(f"{out}: {shown[0].bytes / 1e6:.2f} MB, licence {shown[0].licence}")
        say_next("predict", "--help")
        return
    for model in shown:
        results.print("\n".join(_lines(model, all_of_it=name is not None)))
    if name is None:
        messages.print("stdl-events models NAME says all, with --out FILE it copies one")


def _lines(model: "ShippedModel", *, all_of_it: bool) -> list[str]:
    lines = [
        f"models:{model.name}  {model.task}",
        f"  {len(model.classes)} classes, {model.bytes / 1e6:.2f} MB, "
        f"right on {model.held_out_accuracy:.1%} of {count_of(model.held_out_clips, 'held-out clip')}",
        f"  licence of the data: {model.data_licence}; of the file: {model.licence}",
    ]
    if all_of_it:
        lines += [
            f"  classes: {', '.join(model.classes)}",
            f"  data: {model.data}",
            f"  held out: {model.split}",
            f"  recipe {model.recipe}, made on {model.made['date']} at commit {model.made['commit']}",
            f"  SHA-256 {model.sha256}",
        ]
    return lines
