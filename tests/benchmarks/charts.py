"""Charts of the benchmarks as SVG: lines over T or density, and fronts of time against memory.

Charts are readable without colour (each line has a marker of its own) and equal for equal figures, byte for byte.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLOURS = ("#3b6ea5", "#d9603b", "#3f8f5f", "#8a5fb0", "#b08a1e", "#5f6b76", "#c0508a", "#2f9aa0")
MARKERS = "osD^vPX*"


@dataclasses.dataclass(frozen=True)
class Line:
    """Points (x, y) of one name.

    Args:
        style: "-"; "--" for what is not this package's; "band" for a wide line behind the others.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "-"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Args:
        logarithmic: the axes that are, of "xy".
        at_points: True for ticks of x at the points alone.
        level: of a horizontal line at what the lines are compared with, or None.
    """

    title: str
    across: str
    upward: str
    lines: Sequence[Line]
    logarithmic: str = ""
    at_points: bool = False
    level: float | None = None


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write `panels` side by side, with one legend of all names below, as the SVG file `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    rows_of_legend = -(-len(names) // (2 * len(panels)))
    # Fixed names of elements and no date, so that equal figures are equal files.
    with matplotlib.rc_context({"svg.hashsalt": "charts", "svg.fonttype": "none", "font.size": 9}):
        height = 4 + 0.22 * rows_of_legend
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=(5.2 * len(panels), height), layout="constrained", squeeze=False
        )
        for panel, place in zip(panels, axes[0], strict=True):
            _draw_panel(place, panel, names)
        handles = {line.get_label(): line for place in axes[0] for line in place.get_lines()}
        figure.legend(
            [handles[name] for name in names], names, loc="outside lower center", ncols=2 * len(panels), frameon=False
        )
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _draw_panel(place: Any, panel: Panel, names: Sequence[str]) -> None:
    if panel.level is not None:
        place.axhline(panel.level, color="#999999", linewidth=1, label="_level")
    for line in panel.lines:
        x, y = [x for x, _ in line.points], [y for _, y in line.points]
        if line.style == "band":
            place.plot(x, y, color="#222222", alpha=0.18, linewidth=7, zorder=0, label=line.name)
            continue
        index = names.index(line.name)
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
        place.plot(x, y, line.style, color=colour, marker=marker, markersize=5, label=line.name)
    if "x" in panel.logarithmic:
        place.set_xscale("log")
    if "y" in panel.logarithmic:
        place.set_yscale("log")
    else:
        place.set_ylim(bottom=0)
    if panel.at_points:
        ticks = sorted({x for line in panel.lines for x, _ in line.points})
        place.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        place.xaxis.minorticks_off()
    place.set(title=panel.title, xlabel=panel.across, ylabel=panel.upward)
    place.grid(color="#dddddd", linewidth=0.6)
    place.spines[["top", "right"]].set_visible(False)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other dominates, both coordinates the less the better, by the first one."""
    kept: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: points[index]):
        if not kept or points[index][1] < points[kept[-1]][1]:
            kept.append(index)
    return kept
