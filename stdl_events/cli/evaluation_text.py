"""An evaluation on screen: the accuracy with its spread, and the tables that fit."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stdl_events.cli.confusion import confusion_lines
from stdl_events.cli.fixed_width import cells_of, padded, shortened
from stdl_events.cli.output import messages, results
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.training.evaluation.evaluate_clips import Evaluation

MAX_ROWS = 20
STEPS_SHOWN = 5
SIDE_WORDS = {
    "test": "held-out clips",
    "validation": "clips to validate on",
    "train": "clips to train on",
    "all": "labelled clips",
}


def print_evaluation(evaluation: "Evaluation", side: str = "test") -> None:
    """Print the confusion matrix, the accuracy and the tables that have at most `MAX_ROWS` rows."""
    summary: dict[str, Any] = evaluation.summary()
    if len(evaluation.labels) <= MAX_ROWS:
        lines = confusion_lines(evaluation.labels, summary["confusion"], results.width)
        results.print("\n".join(lines))
    results.print("\n".join(accuracy_lines(summary, side)))
    if len(evaluation.labels) <= MAX_ROWS:
        results.print("\n".join(class_lines(summary["per_class"], results.width)))
    if summary["density"] is not None:
        results.print("\n".join(density_lines(summary["density"], results.width)))
    for kind in ("subject", "session"):
        if summary[f"per_{kind}"]:
            results.print("\n".join(group_lines(kind, summary[f"per_{kind}"], results.width)))
        else:
            results.print(f"per {kind}: unknown, since the recordings name none")
    if summary["too_short"]:
        messages.print(f"without a clip, and not counted: {count_of(summary['too_short'], 'recording')}")


def accuracy_lines(summary: dict[str, Any], side: str = "test") -> list[str]:
    """Return the lines about all clips together, of a summary of an evaluation."""
    return [
        *([] if summary["through"] is None else [through_text(summary["through"])]),
        f"accuracy {summary['accuracy']:.4f} on {summary['n']} {SIDE_WORDS[side]} (chance {summary['chance']:.3f})",
        interval_text(summary["accuracy_interval"]),
        *ridge_lines(summary["baselines"]),
        f"accuracy {summary['mean_class_accuracy']:.4f} as the mean over the classes, macro F1 "
        f"{summary['macro_f1']:.4f}" + ("" if summary["top5"] is None else f", top-5 {summary['top5']:.4f}"),
        f"accuracy {summary['recording_accuracy']:.4f} on {count_of(summary['recordings'], 'whole recording')}",
        f"calibration error {summary['ece']:.3f}, negative log likelihood {summary['nll']:.3f}, Brier score "
        f"{summary['brier']:.3f}",
        *([] if summary["decided"] is None else decided_lines(summary["decided"])),
        *([] if summary["over_time"] is None else [over_time_text(summary["over_time"])]),
    ]


def decided_lines(decided: dict[str, Any]) -> list[str]:
    """Return how the thresholds of the model's card decide."""
    error = "none wrong" if not decided["wrong"] else f"{decided['wrong']} of them wrong ({decided['error']:.3f})"
    when = f"{decided['mean_frames']:.1f} of {count_of(decided['steps'], 'frame')} on average"
    early = f"{decided['early']} early, {decided['other']} otherwise than at the end"
    clips = count_of(decided["clips"], "clip")
    return [
        f"thresholds: {decided['believed']} of {clips} believed ({decided['coverage']:.3f}), {error}",
        f"  after {when}" + (f": {early}" if decided["early"] else ""),
    ]


def through_text(through: dict[str, Any]) -> str:
    """Return how the exported file compares with the network, in words."""
    count, accuracy = through["clips_that_differ"], through["network_accuracy"]
    return f"through the exported file; the network itself has {accuracy:.4f}, {count_of(count, 'clip')} differ"


def ridge_lines(baselines: dict[str, Any]) -> list[str]:
    """Return the line about the ridge; none if it was not asked for."""
    accuracy, finest, left_out = (baselines[key] for key in ("ridge", "finest_px", "left_out"))
    if accuracy is None:
        return [f"ridge on summed events left out: {left_out}"] if left_out else []
    squares = "" if finest == 1 else f", summed over squares of {finest} pixels or more"
    return [f"accuracy {accuracy:.4f} of a ridge on summed events{squares}"]


def interval_text(interval: dict[str, Any] | None) -> str:
    """Return the 95 % interval of the accuracy, in words."""
    if interval is None:
        return "no 95 % interval: all clips are of one recording"
    units = f"{interval['count']} {interval['unit']}" + (" of one recording" if interval["unit"] == "parts" else "")
    return f"95 % interval {interval['low']:.3f} to {interval['high']:.3f}, by {units}"


def over_time_text(accuracy_T: Sequence[float]) -> str:
    """Return the accuracy after some of the steps."""
    steps = len(accuracy_T)
    shown = sorted({max(1, round(steps * part / STEPS_SHOWN)) for part in range(1, STEPS_SHOWN + 1)})
    values = ", ".join(f"{accuracy_T[step - 1]:.3f}" for step in shown)
    return f"accuracy after {', '.join(map(str, shown))} time steps: {values}"


def class_lines(rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    """Return the table of the classes."""
    cells = [
        (row["name"], str(row["clips"]), *(_number(row[key]) for key in ("precision", "recall", "f1"))) for row in rows
    ]
    return list(_table(("class", "clips", "precision", "recall", "F1"), cells, width))


def density_lines(density: dict[str, Any], width: int) -> list[str]:
    """Return the table of the layers' densities; for many layers, the means alone."""
    rows = density["layers"]
    means = (_share(density["mean_rate"]), _share(density["mean_entering"]))
    if len(rows) > MAX_ROWS:
        return [
            f"density: {means[0]} of the neurons fire in a step,",
            f"  {means[1]} of what enters a convolution is not 0",
        ]
    cells = [(f"{row['name']} {row['notation']}", _share(row["rate"]), _share(row["entering"])) for row in rows]
    return list(_table(("layer", "neurons that fire", "inputs not 0"), [*cells, ("mean", *means)], width))


def group_lines(kind: str, rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    """Return the table of subjects or sessions; for many of them, the range of their accuracies."""
    if len(rows) > MAX_ROWS:
        known = [row["accuracy"] for row in rows if row["name"] is not None]
        return [f"per {kind}: accuracy {min(known):.3f} to {max(known):.3f} over {len(known)}"]
    cells = [
        (row["name"] or "unknown", str(row["clips"]), str(row["recordings"]), _number(row["accuracy"]), _span(row))
        for row in rows
    ]
    return list(_table((kind, "clips", "recordings", "accuracy", "95 % interval"), cells, width))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield a table's lines; names in the first column lose their middle where they do not fit."""
    widths = [max(map(cells_of, column)) for column in zip(head, *rows, strict=True)]
    first = min(widths[0], max(8, width - sum(widths[1:]) - 2 * len(widths[1:])))
    for name, *cells in (head, *rows):
        rest = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
        yield padded(shortened(name, first), first) + rest


def _span(row: dict[str, Any]) -> str:
    interval = row["interval"]
    return "-" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
