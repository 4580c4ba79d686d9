"""The accuracies of a run under corrupted events as a table and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stdl_events.analysis.figures import new_figure, number_to_show, write_whole
from stdl_events.events.defects import count_of

COLUMNS_OF_PANELS = 4
BAR_WIDTH = 20
# Largest number of corruptions in a picture.
KINDS = {".png": 40, ".svg": 40, ".pdf": 40}


def robustness_lines(summary: Mapping[str, Any], width: int = 80) -> list[str]:
    """Return a table with a line per level: kind, level, accuracy, a bar, and the clips where their number differs.

    Args:
        summary: of `Robustness.summary`.
        width: of the lines, in columns.
    """
    clean = summary["clean"]
    lines = [_line("clean", "", clean, clean["clips"], width)]
    for kind, corruption in summary["corruptions"].items():
        lines.append(f"{kind}: {corruption['summary']}; level in {corruption['unit']}"[:width])
        lines += [_line("", f"{row['level']:g}", row, clean["clips"], width) for row in corruption["levels"]]
        mean = corruption["mean_accuracy"]
        if mean is not None and len(corruption["levels"]) > 1:
            lines.append(f"  {'mean':>10}  {mean:.3f}")
    return lines


def _line(name: str, level: str, row: Mapping[str, Any], usual_clips: int, width: int) -> str:
    accuracy = row["accuracy"]
    if accuracy is None:
        return f"  {name or level:>10}  no clip is left"
    bar = "#" * round(accuracy * BAR_WIDTH)
    clips = f"  {count_of(row['clips'], 'clip')}" if row["clips"] != usual_clips or not level else ""
    return f"  {name or level:>10}  {accuracy:.3f}  {bar:{BAR_WIDTH}}{clips}"[:width].rstrip()


def require_picture(path: Path) -> None:
    """Check the suffix of a picture's file.

    Raises:
        RecordingError: it is none of a picture.
        MissingExtraError: matplotlib is not installed.
    """
    number_to_show(path, KINDS)
    new_figure(f"--out {path}", 1, 1)


def robustness_picture(path: Path, summary: Mapping[str, Any]) -> None:
    """Draw a panel per corruption: accuracy over its levels, with that of the events as they are and chance.

    Args:
        path: a .png, .svg or .pdf file.
        summary: of `Robustness.summary`.

    Raises:
        RecordingError, MissingExtraError: see `require_picture`.
        UserError: the file cannot be written.
    """
    number_to_show(path, KINDS)
    kinds: Sequence[str] = list(summary["corruptions"])
    columns = min(COLUMNS_OF_PANELS, len(kinds))
    rows = -(-len(kinds) // columns)
    figure = new_figure(f"--out {path}", 3 * columns, 2.6 * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axis in axes[len(kinds) :]:
        axis.set_axis_off()
    for axis, kind in zip(axes, kinds, strict=False):
        corruption = summary["corruptions"][kind]
        known = [row for row in corruption["levels"] if row["accuracy"] is not None]
        # Levels at equal distances: they grow by factors.
        axis.plot([f"{row['level']:g}" for row in known], [row["accuracy"] for row in known], "o-", color="#d9603b")
        axis.axhline(summary["clean"]["accuracy"], color="#3b6ea5", linestyle="--", label="as they are")
        axis.axhline(summary["chance"], color="0.4", linestyle=":", label="chance")
        axis.set(ylim=(0, 1.02), title=kind.replace("_", " "), xlabel=corruption["unit"])
    first = figure.axes[0]
    first.set_ylabel("accuracy")
    first.legend(fontsize=8, loc="lower left")
    write_whole(path, lambda file: figure.savefig(file, dpi=100, format=path.suffix[1:].lower()))
