"""`stdl-events evaluate --robustness`: accuracy under corrupted events, as a table, JSON and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.keep_result import keep_or_say
from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.registry_options import explained
from stdl_events.cli.output import messages, print_json, results
from stdl_events.events.corruption_registry import CORRUPTIONS

if TYPE_CHECKING:
    from stdl_events.recordings.splits.sides import Side
    from stdl_events.training.run_weights import Weights

_HELP = (
    "Accuracy under corrupted events of the held-out recordings: all, or kinds separated by commas, each with levels "
    "of its own if wanted, such as drop,noise=0.5+2."
)
_option: Any = typer.Option("--robustness", metavar="all|KIND[=LEVEL+...],...")
RobustnessOption = Annotated[str | None, explained(_option, CORRUPTIONS, _HELP)]
PictureOption = Annotated[
    Path | None, typer.Option("--out", help="With --robustness: draw its levels into this .png, .svg or .pdf file.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="With --robustness: of what is drawn.")]


def show_robustness(
    run: Path,
    kinds: str,
    *,
    weights: "Weights | None",
    model: Path | None,
    data: Path | None,
    device: str,
    side: "Side",
    seed: int,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a run under corruptions, and print and draw the accuracies."""
    from stdl_events.analysis.robustness import require_picture, robustness_lines, robustness_picture
    from stdl_events.events.corruption_registry import parse_corruptions
    from stdl_events.training.evaluation.robustness import evaluate_robustness
    from stdl_events.training.progress import LineProgress
    from stdl_events.whole_file import require_place

    levels = parse_corruptions(kinds)
    if picture is not None:
        require_picture(picture)
        require_place(picture, room_for="picture")
    with LineProgress("robustness") as progress:
        found = evaluate_robustness(
            run, levels, weights=weights, model=model, data=data, device=device, side=side, seed=seed,
            progress=progress.at,
        )  # fmt: skip
    summary = found.summary()
    if model is None:
        keep_or_say(run, "robustness", summary, side=side, weights=weights)
    if picture is not None:
        robustness_picture(picture, summary)
        messages.print(f"{picture}: {len(found.levels)} levels of {len(found.kinds)} corruptions")
    if as_json:
        print_json({"run": str(run), "model": None if model is None else str(model)} | summary)
        return
    results.print("\n".join(robustness_lines(summary, min(results.width, 80))))
    results.print(f"chance {found.chance:.3f}; draws by seed {seed}; times and places are those before the filters")
    if model is None:
        say_next("export", run, "--out", "model.onnx")
