"""Pictures of a run and of frames. matplotlib is imported on use."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.figures import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stdl_events.live import Prediction
    from stdl_events.recordings.clips import ClipArray

FRAMES_SHOWN = 6
OFF_COLOUR, ON_COLOUR = "#3b6ea5", "#d9603b"


def demo_picture(
    path: Path,
    epochs: Sequence[dict[str, Any]],
    report: dict[str, Any],
    clips: "ClipArray",
    predictions: Sequence["Prediction"],
) -> None:
    """Draw one sheet about a run on simulated walkers: frames, learning, memory, live predictions.

    Args:
        path: the PNG file to write.
        epochs: the run's metrics, a row per epoch.
        report: the demo's measurements.
        clips: held-out clips; frames of the first one are shown.
        predictions: of a live replay, frame by frame.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(11, 6.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.6])
    _draw_frames(top.subplots(1, FRAMES_SHOWN), clips.frames_NTCHW[0])
    top.suptitle("a simulated walker as the network sees it: pixels that became brighter (red), darker (blue)")
    learning, memory, live = bottom.subplots(1, 3)
    _draw_learning(learning, epochs, report)
    _draw_memory(memory, report["peak_bytes_of_one_step"])
    _draw_live(live, predictions, report["live"]["label"])
    write_whole(path, lambda file: figure.savefig(file, dpi=90, format="png"))
    pyplot.close(figure)


def full_colour(counts: npt.NDArray[Any]) -> float:
    """Return the count with the full colour: the 90th percentile of the pixels with events."""
    return max(1.0, float(np.quantile(counts[counts > 0], 0.9))) if counts.any() else 1.0


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return the parts of a colour such as "#3b6ea5"."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def polarity_picture(counts_CHW: npt.NDArray[Any], scale: float | None = None) -> npt.NDArray[np.float64]:
    """Return event counts as an RGB picture [H, W, 3] on white: ON events red, OFF events blue.

    Args:
        scale: the count with the full colour; None takes `full_colour` of this picture.
    """
    scale = full_colour(counts_CHW) if scale is None else scale
    off_HW, on_HW = np.minimum(counts_CHW / scale, 1.0)
    picture = np.ones((*off_HW.shape, 3))
    for strength_HW, colour in ((off_HW, OFF_COLOUR), (on_HW, ON_COLOUR)):
        rgb = np.array(rgb_of(colour)) / 255
        picture *= 1 - strength_HW[..., None] * (1 - rgb)
    return picture


def _draw_frames(axes: Sequence["Axes"], frames_TCHW: npt.NDArray[Any]) -> None:
    for axis, step in zip(axes, np.linspace(0, len(frames_TCHW) - 1, len(axes)).astype(int), strict=True):
        axis.imshow(polarity_picture(frames_TCHW[step]), interpolation="nearest")
        axis.set_title(f"step {step + 1}", fontsize=9)
        axis.set_axis_off()


def _draw_learning(axis: "Axes", epochs: Sequence[dict[str, Any]], report: dict[str, Any]) -> None:
    numbers = [row["epoch"] for row in epochs]
    axis.plot(numbers, [row["accuracy"] for row in epochs], color="0.6", label="training")
    watched = {"held_out_accuracy": "held out", "validation_accuracy": "validation"}
    for key in (key for key in watched if key in epochs[0]):
        axis.plot(numbers, [row[key] for row in epochs], color=ON_COLOUR, label=watched[key])
    if report["ridge_on_summed_events"] is not None:
        axis.axhline(report["ridge_on_summed_events"], color=OFF_COLOUR, linestyle="--", label="ridge on summed events")
    axis.axhline(report["chance"], color="0.3", linestyle=":", label="chance")
    axis.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02), title="who is walking?")
    axis.legend(fontsize=8, loc="lower right")


def _draw_memory(axis: "Axes", needs: dict[str, int]) -> None:
    bars = axis.bar(list(needs), [needed / 1e6 for needed in needs.values()], color=[ON_COLOUR, "0.7", "0.7"])
    axis.bar_label(bars, fmt="%.0f", fontsize=9)
    axis.set(ylabel="MB", title="peak memory of one training step")


def _draw_live(axis: "Axes", predictions: Sequence["Prediction"], label: str) -> None:
    if predictions:
        start_us = predictions[0].t_us
        seconds = [(prediction.t_us - start_us) / 1e6 for prediction in predictions]
        for name in predictions[0].probabilities:
            line = [prediction.probabilities[name] for prediction in predictions]
            axis.plot(seconds, line, color=ON_COLOUR if name == label else "0.75", linewidth=2 if name == label else 1)
    axis.set(xlabel="seconds", ylabel="probability", ylim=(0, 1.02), title=f"live replay of {label}")
