"""Results that a command leaves in a run's folder for its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stdl_events.cli.output import messages, print_error
from stdl_events.errors import RunError

if TYPE_CHECKING:
    from stdl_events.recordings.splits.sides import Side
    from stdl_events.training.kept_results import Kind
    from stdl_events.training.run_weights import Weights


def keep_or_say(run: Path, kind: "Kind", summary: dict[str, Any], *, side: "Side", weights: "Weights | None") -> None:
    """Keep a result of the run's own weights; if its folder cannot be written, say so in a line."""
    from stdl_events.training.kept_results import keep_result

    try:
        path = keep_result(run, kind, summary, side=side, weights=weights)
    except RunError as error:
        print_error(error)
        return
    messages.print(f"{path}: kept for the report")
