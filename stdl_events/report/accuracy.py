"""The accuracy of a run: the headline, per class, subject and session, its calibration, and over time steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.report.tables import Bar, Chart, Series, Table, chart

ROWS_SHOWN = 20


@dataclass(frozen=True)
class Figure:
    """A number of the headline."""

    name: str
    text: str


def figures(summary: Mapping[str, Any]) -> tuple[Figure, ...]:
    """Return the headline of `Evaluation.summary`, the accuracy first."""
    interval = summary["accuracy_interval"]
    found = [Figure(f"accuracy on {count_of(summary['n'], 'held-out clip', ',')}", f"{summary['accuracy']:.3f}")]
    if interval is not None:
        name = f"{interval['level']:.0%} interval, by {interval['count']:,} {interval['unit']}"
        found.append(Figure(name, f"{interval['low']:.3f} to {interval['high']:.3f}"))
    recordings = count_of(summary["recordings"], "whole recording", ",")
    found.append(Figure("chance", f"{summary['chance']:.3f}"))
    if summary["baselines"]["ridge"] is not None:
        found.append(Figure("ridge on summed events", f"{summary['baselines']['ridge']:.3f}"))
    if summary["top5"] is not None:
        found.append(Figure("top-5 accuracy", f"{summary['top5']:.3f}"))
    return (
        *found,
        Figure("accuracy, mean over classes", f"{summary['mean_class_accuracy']:.3f}"),
        Figure("macro F1", f"{summary['macro_f1']:.3f}"),
        Figure(
            f"accuracy on {recordings}",
            f"{summary['recording_accuracy']:.3f}",
        ),
    )


def notes(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return sentences about the headline: what is missing in it, and what speaks against it."""
    interval, ridge = summary["accuracy_interval"], summary["baselines"]["ridge"]
    left_out, too_short = summary["baselines"]["left_out"], summary["too_short"]
    found = {
        "No interval: all clips are of one recording.": interval is None,
        "All clips are of one recording; other recordings may differ by more than the interval says.": interval
        and interval["unit"] == "parts",
        f"The ridge on summed events is left out: {left_out}.": left_out,
        f"No better than always naming the most frequent class ({summary['chance']:.3f}): nothing is learnt that holds "
        "for the held-out clips.": summary["accuracy"] <= summary["chance"],
        "A ridge that sums each clip's events over time is as good: the network shows no use of time.": ridge
        == summary["accuracy"],
        f"A ridge that sums each clip's events over time is better ({ridge or 0:.3f}): train longer, or with other "
        "settings, before anything is concluded from this run.": ridge is not None and ridge > summary["accuracy"],
        f"Not counted, since without a clip: {count_of(too_short, 'held-out recording')}.": too_short,
    }
    return tuple(text for text, holds in found.items() if holds)


def class_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of the classes, the worst first."""
    rows = sorted(summary["per_class"], key=lambda row: (row["recall"] is None, row["recall"], row["name"]))
    head = ("class", "clips", "recognised", "right where predicted", "F1")
    cells = [
        (row["name"], f"{row['clips']:,}", _bar(row["recall"]), _text(row["precision"]), _text(row["f1"]))
        for row in rows
    ]
    return Table.of("per class, the worst first", head, cells, folded=ROWS_SHOWN)


def group_table(kind: str, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return the table of subjects or sessions, the worst first; None without any."""
    if not rows:
        return None
    ranked = sorted(rows, key=lambda row: (row["accuracy"], row["name"] or ""))
    cells = [
        (row["name"] or "unknown", f"{row['clips']:,}", f"{row['recordings']:,}", _bar(row["accuracy"]), _span(row))
        for row in ranked
    ]
    head = (kind, "clips", "recordings", "accuracy", "95 % interval")
    return Table.of(f"per {kind}, the worst first", head, cells, folded=ROWS_SHOWN)


def reliability_chart(reliability: Mapping[str, Any]) -> Chart:
    """Return the reliability diagram: the accuracy of predictions over their mean confidence, in bins."""
    bins = zip(reliability["confidence"], reliability["accuracy"], strict=True)
    points = tuple((confidence, accuracy) for confidence, accuracy in bins if confidence is not None)
    series = [
        Series("perfect calibration", ((0.0, 0.0), (1.0, 1.0)), "r"),
        Series("accuracy of the clips in a bin", points, "a"),
    ]
    text = "reliability diagram, accuracy at mean confidence: " + ", ".join(f"{y:.2f} at {x:.2f}" for x, y in points)
    whole = (0.0, 1.0)
    return chart(text, "confidence", "accuracy", series, x_range=whole, y_range=whole)


def reliability_table(reliability: Mapping[str, Any]) -> Table:
    """Return the same numbers with the number of clips in each bin."""
    edges = reliability["edges"]
    bins = zip(
        edges, edges[1:], reliability["counts"], reliability["confidence"], reliability["accuracy"], strict=False
    )
    rows = [
        (f"{low:.2f} to {high:.2f}", f"{count:,}", _text(confidence), _text(accuracy))
        for low, high, count, confidence, accuracy in bins
        if count
    ]
    return Table.of("bins of confidence", ("confidence", "clips", "mean confidence", "accuracy"), rows)


def over_time_chart(accuracy_T: Sequence[float], accuracy_by_chance: float, step_us: int | None) -> Chart:
    """Return the accuracy after 1 to T time steps.

    Args:
        step_us: length of a step, if all steps have one.
    """
    scale = 1.0 if step_us is None else step_us / 1000
    points = tuple((step * scale, accuracy) for step, accuracy in enumerate(accuracy_T, start=1))
    last = points[-1][0]
    series = [
        Series("accuracy", points, "a"),
        Series("chance", ((points[0][0], accuracy_by_chance), (last, accuracy_by_chance)), "r"),
    ]
    unit = "steps" if step_us is None else "milliseconds of the clip"
    text = f"accuracy over {unit}: {accuracy_T[0]:.3f} at {points[0][0]:g}, {accuracy_T[-1]:.3f} at {last:g}"
    return chart(text, unit, "accuracy", series, y_range=(0.0, 1.0), counts_x=step_us is None)


def _bar(value: float | None) -> str | Bar:
    return "none" if value is None else Bar(value, f"{value:.3f}")


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _span(row: Mapping[str, Any]) -> str:
    interval = row["interval"]
    return "none" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}"
