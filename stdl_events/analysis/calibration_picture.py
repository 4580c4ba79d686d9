"""A picture of a calibration: reliability, coverage against error, and early decisions. matplotlib is imported on use.

Shape letters: N clips, T time steps, K classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.figures import new_figure, write_whole
from stdl_events.analysis.thresholds import EarlyDecisions, Floats, Rejection, risk_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE, AFTER = "0.6", "#d9603b"
GRID = 40


def calibration_picture(
    path: Path,
    reliability: Mapping[str, tuple[Floats, Floats]],
    probabilities_NTK: Floats,
    is_right_N: npt.NDArray[np.bool_],
    rejection: Rejection,
    early: EarlyDecisions,
) -> None:
    """Write the picture to `path`; its suffix, such as .png or .svg, is the kind.

    Args:
        reliability: name -> (confidence, accuracy) of the bins of two sets of probabilities; NaN for an empty bin.
        probabilities_NTK: after each step.
        is_right_N: at the end of each clip.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UserError: the file cannot be written.
    """
    figure = new_figure("--out", 11.0, 3.8)
    bins, risk, time = figure.subplots(1, 3)
    _draw_reliability(bins, reliability)
    _draw_risk(risk, probabilities_NTK[:, -1].max(1), is_right_N, rejection)
    _draw_early(time, probabilities_NTK, rejection.threshold, early)
    kind = path.suffix.removeprefix(".").lower()
    write_whole(path, lambda file: figure.savefig(file, dpi=110, format=kind))


def _draw_reliability(axis: "Axes", reliability: Mapping[str, tuple[Floats, Floats]]) -> None:
    axis.plot([0, 1], [0, 1], color="0.3", linestyle=":", linewidth=1)
    for (name, (confidence_M, accuracy_M)), colour in zip(reliability.items(), (BEFORE, AFTER), strict=True):
        filled_M = ~np.isnan(accuracy_M)
        axis.plot(confidence_M[filled_M], accuracy_M[filled_M], color=colour, marker="o", markersize=4, label=name)
    axis.set(xlabel="probability of the predicted class", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    axis.set_title("reliability", fontsize=10)
    axis.legend(fontsize=8, loc="upper left")


def _draw_risk(axis: "Axes", confidence_N: Floats, is_right_N: npt.NDArray[np.bool_], chosen: Rejection) -> None:
    _, coverage_M, error_M = risk_curve(confidence_N, is_right_N)
    axis.step(coverage_M, error_M, where="post", color=AFTER)
    axis.plot([chosen.coverage], [chosen.error or 0.0], color="0.2", marker="o", linestyle="none")
    axis.set(xlabel="share of clips that are accepted", ylabel="error of these", xlim=(0, 1.02))
    axis.set_ylim(bottom=0)
    axis.set_title(f"unknown below {chosen.threshold:g}", fontsize=10)


def _draw_early(axis: "Axes", probabilities_NTK: Floats, unknown_below: float, chosen: EarlyDecisions) -> None:
    thresholds = np.quantile(probabilities_NTK[:, :-1].max(2), np.linspace(0, 1, GRID)) if chosen.steps > 1 else []
    points = [EarlyDecisions.at(float(value), probabilities_NTK, unknown_below) for value in thresholds]
    axis.plot([one.mean_frames for one in points], [one.agreement for one in points], color=AFTER, marker=".")
    axis.plot([chosen.mean_frames], [chosen.agreement], color="0.2", marker="o", linestyle="none")
    axis.set(xlabel=f"frames until the decision, of {chosen.steps}", ylabel="decided as at the end")
    axis.set_ylim(top=1.005)
    at = "no early decisions" if chosen.threshold is None else f"decide at {chosen.threshold:g}"
    axis.set_title(at, fontsize=10)
