"""The charts of the benchmarks: equal figures are equal files, and the front is that of a search over all pairs."""

import random
from pathlib import Path
from xml.etree import ElementTree

from charts import Line, Panel, draw, front

LINES = [Line("ours <lean>", [(4, 1.0), (10, 2.0)]), Line("theirs", [(4, 3.0), (10, 9.0)], "--")]
PANELS = [
    Panel("memory", "T", "MB", LINES, "y", at_points=True),
    Panel("front", "MB", "ms", [*LINES, Line("best", [(1, 2), (2, 1)], "band")], "x", level=1.0),
]


def test_equal_figures_are_equal_files(tmp_path: Path):
    draw(PANELS, tmp_path / "a.svg")
    draw(PANELS, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    words = [element.text for element in ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")]
    # A name stands in the legend once, for both panels.
    assert [words.count(name) for name in ("ours <lean>", "theirs", "best", "memory", "front")] == [1] * 5
    assert words.count("10") == 1, "T has ticks at its points, in a chart over T"


def test_the_front_is_what_no_point_dominates():
    draw_number = random.Random(0).randint
    for _ in range(50):
        points = [(draw_number(0, 9), draw_number(0, 9)) for _ in range(draw_number(1, 12))]
        found = [points[index] for index in front(points)]
        expected = {
            point for point in points if not any(o != point and o[0] <= point[0] and o[1] <= point[1] for o in points)
        }
        assert found == sorted(expected)
