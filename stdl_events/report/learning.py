"""Learning curves of a run from its metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.report.tables import Chart, Series, Table, chart

HELD_OUT, VALIDATION = "held out", "validation"


@dataclass(frozen=True)
class Learning:
    """Curves over epochs, and the learning rate over steps.

    Attributes:
        note: what the watched clips are, and what they chose.
        progress: the trained epochs, in words.
        ended: False for a run that was interrupted.
    """

    note: str
    progress: str
    ended: bool
    charts: tuple[Chart, ...]
    table: Table | None


def learning(rows: Sequence[dict[str, Any]], asked_epochs: int) -> Learning:
    """Return the curves of the rows of a run's metrics; `asked_epochs` are those that it was to train."""
    epochs = [row for row in rows if row["kind"] == "epoch"]
    watched = "validation" if any("validation_accuracy" in row for row in epochs) else "held_out"
    name = VALIDATION if watched == "validation" else HELD_OUT
    charts = []
    if epochs:
        for measure in ("accuracy", "loss"):
            series = [
                _series("training", epochs, "epoch", measure, "a"),
                _series(name, epochs, "epoch", f"{watched}_{measure}", "b"),
            ]
            text = f"{measure} over epochs: " + "; ".join(map(_course, series))
            limits = (0.0, 1.0) if measure == "accuracy" else None
            charts.append(chart(text, "epoch", measure, series, y_range=limits, counts_x=True))
    rates = [row for row in rows if row["kind"] == "step" and "lr" in row]
    if rates:
        series = [_series("learning rate", rates, "step", "lr", "c")]
        text = f"learning rate over steps: {_course(series[0])}"
        charts.append(chart(text, "step", "learning rate", series, counts_x=True))
    done = epochs[-1]["epoch"] if epochs else 0
    stopped_early = bool(rows) and rows[-1]["kind"] == "end" and done < asked_epochs
    progress = f"{done} of {count_of(asked_epochs, 'epoch')}" + (", stopped early" if stopped_early else "")
    table = _table(epochs, watched, name) if epochs else None
    return Learning(_note(name), progress, stopped_early or done >= asked_epochs, tuple(charts), table)


def _series(name: str, rows: Sequence[dict[str, Any]], x: str, y: str, style: str) -> Series:
    return Series(name, tuple((row[x], row.get(y)) for row in rows), style)


def _course(series: Series) -> str:
    values = [y for _, y in series.points if y is not None]
    return f"{series.name} {values[0]:.3g} to {values[-1]:.3g}" if values else f"{series.name} unknown"


def _note(name: str) -> str:
    if name == VALIDATION:
        return (
            "The validation part chose which epoch's weights are kept; its curve is therefore a little too good. The "
            "held-out clips were evaluated once, at the end."
        )
    return (
        "There is no validation part. The held-out accuracy was shown after each epoch and chose nothing: the last "
        "weights are kept. Choosing an epoch by this curve would be choosing by the test."
    )


def _table(epochs: Sequence[dict[str, Any]], watched: str, name: str) -> Table:
    columns = {
        "epoch": "{:.0f}", "loss": "{:.4f}", "accuracy": "{:.4f}", f"{watched}_loss": "{:.4f}",
        f"{watched}_accuracy": "{:.4f}", "seconds": "{:,.0f}",
    }  # fmt: skip
    head = ("epoch", "loss", "accuracy", f"loss, {name}", f"accuracy, {name}", "seconds so far")
    rows = [
        tuple("" if row.get(key) is None else form.format(row[key]) for key, form in columns.items()) for row in epochs
    ]
    return Table.of("each epoch", head, rows)
