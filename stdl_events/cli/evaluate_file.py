"""`stdl-events evaluate MODEL.onnx --data FOLDER`: an exported file without its run. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.evaluation_text import print_evaluation
from stdl_events.cli.options.data_options import data_settings
from stdl_events.cli.options.registry_options import one_of
from stdl_events.cli.output import messages, print_json
from stdl_events.errors import UserError
from stdl_events.live.providers import PROVIDERS
from stdl_events.recordings.registry import DATASETS

if TYPE_CHECKING:
    from stdl_events.recordings.splits.sides import Side
    from stdl_events.training.data_settings import DataSettings

DatasetOption = Annotated[
    str | None, one_of(DATASETS, "Of a model without its run: the dataset in --data.  [default: folder]", "--dataset")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Of a model without its run: leave out unreadable recordings, and name them.")
]
ProviderOfFileOption = Annotated[
    str | None,
    one_of(
        PROVIDERS,
        "Of a model without its run: what computes it; its first steps are compared with the CPU's.  [default: cpu]",
        "--provider",
    ),
]
ALL = "all"


def show_file(
    model: Path,
    data: Path | None,
    settings: Mapping[str, Any],
    *,
    side: "Side | None",
    provider: str,
    predictions: Path | None,
    as_json: bool,
) -> None:
    """Evaluate an exported file on labelled recordings, and print the evaluation.

    Args:
        settings: of the section `data`; None is the default.
    """
    from stdl_events.recordings.predicted_clips import predictions_of
    from stdl_events.training.evaluation.evaluate_file import evaluate_file
    from stdl_events.training.run_folder import write_json
    from stdl_events.whole_file import require_other, require_place

    asked = _data_settings(data, settings)
    if predictions is not None:
        require_place(predictions, room_for="predictions")
        require_other(predictions, [model])
    evaluation, used = evaluate_file(model, asked, side=side, provider=provider)
    if predictions is not None:
        assert evaluation.frame_spec is not None
        clips, root = evaluation.predictions(), Path(str(asked.path))
        rows = predictions_of(clips, evaluation.recordings, evaluation.frame_spec, root, asked.model_dump(mode="json"))
        write_json(predictions, rows)
    if as_json:
        facts = {"run": None, "model": str(model), "data": str(data), "side": used}
        print_json(facts | evaluation.summary())
        return
    print_evaluation(evaluation, used or ALL)
    if used is None:
        messages.print("whether the model was trained on some of these recordings is not known without its run")


def _data_settings(data: Path | None, settings: Mapping[str, Any]) -> "DataSettings":
    if data is None:
        raise UserError(
            "--data", got="nothing", expected="the folder of labelled recordings", todo="name it with --data DIR"
        )
    given = {"dataset": "folder"} | {name: value for name, value in settings.items() if value is not None}
    return data_settings(given | {"path": str(data)})
