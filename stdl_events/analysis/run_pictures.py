"""Pictures of several runs: the accuracies of a sweep, and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from stdl_events.analysis.figures import new_figure, write_whole
from stdl_events.analysis.plots import OFF_COLOUR, ON_COLOUR

MOST_CHARACTERS = 60


def sweep_picture(
    path: Path, points: Mapping[str, Sequence[tuple[int, float]]], baselines: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the held-out accuracy of every run, a row per combination; lines join the runs of one seed.

    Args:
        path: the PNG file to write.
        points: (seed, accuracy) of each finished run, by combination.
        baselines: `ridge`, or None, and `chance`, once for each set of tested recordings.
    """
    figure = new_figure("sweep", 8, 1.6 + 0.45 * len(points))
    axis = figure.subplots()
    places = {name: -row for row, name in enumerate(points)}
    by_seed: dict[int, list[tuple[float, int]]] = {}
    for name, runs in points.items():
        for seed, accuracy in runs:
            by_seed.setdefault(seed, []).append((accuracy, places[name]))
        if runs:
            axis.plot([fmean(accuracy for _, accuracy in runs)], [places[name]], "|", color="0.2", markersize=22)
    for seed, run in by_seed.items():
        axis.plot(*zip(*run, strict=True), "-o", color=ON_COLOUR, linewidth=0.5, markersize=5, alpha=0.7, zorder=2)
        axis.annotate(str(seed), run[0], textcoords="offset points", xytext=(0, 6), fontsize=7, ha="center")
    for number, baseline in enumerate(baselines):
        labels = ("ridge on summed events", "chance") if number == 0 else (None, None)
        if baseline["ridge"] is not None:
            axis.axvline(baseline["ridge"], color=OFF_COLOUR, linestyle="--", label=labels[0])
        axis.axvline(baseline["chance"], color="0.3", linestyle=":", label=labels[1])
    axis.set_yticks(list(places.values()), [shortened(name) for name in places], fontsize=8)
    axis.set(xlabel="held-out accuracy (points: seeds, bar: mean)", ylim=(0.6 - len(points), 0.6))
    if baselines:
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.25), ncols=2)
    write_whole(path, lambda file: figure.savefig(file, dpi=110, format="png"))


def curves_picture(path: Path, epochs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw loss and accuracy over the epochs of several runs.

    Args:
        path: the picture to write; its suffix is its format.
        epochs: the rows per epoch of the metrics, by run.
    """
    figure = new_figure("--out", 11, 4.6)
    loss, accuracy = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(epochs.items()):
        numbers, colour = [row["epoch"] for row in rows], f"C{number % 10}"
        loss.plot(numbers, [row["loss"] for row in rows], ".-", color=colour, label=shortened(name))
        accuracy.plot(numbers, [row["accuracy"] for row in rows], ".:", color=colour, linewidth=0.7, markersize=3)
        watched = next((key for key in ("validation_accuracy", "held_out_accuracy") if rows and key in rows[0]), None)
        if watched is not None:
            accuracy.plot(numbers, [row[watched] for row in rows], ".-", color=colour)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    title = "dotted: training; solid: validation, or held out without a validation part"
    accuracy.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    accuracy.set_title(title, fontsize=8)
    for axis in (loss, accuracy):
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*loss.get_legend_handles_labels(), fontsize=7, loc="outside lower center", ncols=2)
    write_whole(path, lambda file: figure.savefig(file, dpi=110, format=path.suffix[1:].lower()))


def shortened(name: str) -> str:
    """A name of at most `MOST_CHARACTERS`; a long one loses its middle."""
    half = MOST_CHARACTERS // 2
    return name if len(name) <= MOST_CHARACTERS else f"{name[: half - 1]}…{name[-half:]}"
