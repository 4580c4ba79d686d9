"""`stdl-events report`: a run as one HTML page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.weights_option import WeightsOption, parse_weights
from stdl_events.cli.output import messages, print_error, print_json
from stdl_events.cli.working import working
from stdl_events.errors import StdlEventsError

if TYPE_CHECKING:
    from stdl_events.training.evaluation.evaluate_clips import Evaluation


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: report.html in the folder]")] = None,
    weights: WeightsOption = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings, if it has moved.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write a run's report: one HTML page that shows how good it is, and why it is wrong.

    Accuracy, learning curves, confusions, accuracy per class, subject and session, calibration, the worst clips as
    pictures, plan and memory, firing rates, energy, settings, recordings, warnings and versions; and what calibrate,
    evaluate --robustness and evaluate --whole have found for these weights. The page loads nothing from elsewhere and
    runs no script. The command train writes it too; here the network is evaluated again on its held-out recordings,
    and the memory of a step is metered layer by layer.

    Example: stdl-events report runs/folder --out report.html
    """
    from stdl_events.report.page import REPORT_FILE, write_report
    from stdl_events.training.evaluation.evaluate_run import evaluate
    from stdl_events.training.run_folder import load_config
    from stdl_events.whole_file import require_place

    chosen, place = parse_weights(weights), out or run / REPORT_FILE
    load_config(run)  # a folder that is no run's is named before its report's place
    require_place(place, room_for="report")
    with working("evaluating", quiet=as_json):
        evaluation = evaluate(run, weights=chosen, data=data, device=device, over_time=True)
    with working("metering a step", quiet=as_json):
        write_report(run, evaluation, out=place, weights=chosen, device=device, meter_layers=True)
    if as_json:
        print_json({"run": str(run), "written": [str(place)], "accuracy": evaluation.accuracy})
        return
    messages.print(f"{place}: open it in a browser")
    say_next("evaluate", run, "--predictions", "predictions.json")


@contextmanager
def report_if_interrupted(run: Path) -> Iterator[None]:
    """Context of a training: after Ctrl-C or SIGTERM a report, without an evaluation, of what it has trained."""
    from stdl_events.training.metrics import METRICS_FILE

    def written_ns() -> int | None:
        return (run / METRICS_FILE).stat().st_mtime_ns if (run / METRICS_FILE).is_file() else None

    before_ns = written_ns()
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if written_ns() != before_ns:
            report_of_training(run, None)
        raise


def report_of_training(run: Path, evaluation: "Evaluation | None") -> Path | None:
    """Write the report at the end of a training; if it cannot be written, say so in a line, since the run is whole.

    Args:
        evaluation: of the held-out clips; None for a run that was interrupted.

    Returns:
        the file; None if it was not written.
    """
    from stdl_events.report.page import write_report

    try:
        path = write_report(run, evaluation)
    except StdlEventsError as error:
        print_error(error)
        return None
    messages.print(f"{path}: the report")
    return path
