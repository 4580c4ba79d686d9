"""Tables and charts of the page as data; the template draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
# Longer lines are thinned out, so that the page stays small.
MAX_POINTS = 400
MAX_DOTS = 20
TICKS = 4


@dataclass(frozen=True)
class Bar:
    """A cell with a bar of a length from 0 to 1 and its text."""

    share: float
    text: str


@dataclass(frozen=True)
class Column:
    """The head of a column; numbers are aligned at the right."""

    name: str
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table, whose first column names its rows.

    Attributes:
        folded: rows beyond this number are hidden until they are asked for; None shows all.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Bar, ...], ...]
    folded: int | None = None

    @classmethod
    def of(
        cls, caption: str, head: Sequence[str], rows: Sequence[Sequence[str | Bar]], *, folded: int | None = None
    ) -> "Table":
        """Return a table with one text column, the first, and columns of numbers."""
        columns = tuple(Column(name, number=index > 0) for index, name in enumerate(head))
        return cls(caption, columns, tuple(map(tuple, rows)), folded)

    @classmethod
    def of_text(cls, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
        """Return a table of text columns."""
        return cls(caption, tuple(Column(name, number=False) for name in head), tuple(map(tuple, rows)))


@dataclass(frozen=True)
class Series:
    """A line of a chart through (x, y); it has a gap where y is None.

    Attributes:
        style: a class of the stylesheet: "a", "b" or "c", or "r" for a reference.
    """

    name: str
    points: tuple[tuple[float, float | None], ...]
    style: str = "a"


@dataclass(frozen=True)
class Tick:
    """A mark of an axis, in the chart's units."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A series in the chart's units: an SVG path, and dots for few points."""

    name: str
    style: str
    path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """A line chart, ready to be drawn.

    Attributes:
        text: describes it, also to a reader who does not see it.
    """

    text: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def chart(
    text: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    counts_x: bool = False,
) -> Chart:
    """Return a chart of `series`.

    Args:
        x_range, y_range: of the axes; None is that of the points.
        counts_x: x counts something, and has no marks between whole numbers.
    """
    points = [(x, y) for one in series for x, y in one.points if y is not None]
    x_low, x_high = x_range or _range([x for x, _ in points])
    y_low, y_high = y_range or _range([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1),
        )

    lines = []
    for one in series:
        shown = [None if y is None else place(x, y) for x, y in _thinned(one.points)]
        dots = () if len(shown) > MAX_DOTS or one.style == "r" else tuple(filter(None, shown))
        lines.append(Line(one.name, one.style, _path(shown), dots))
    return Chart(
        text, x_label, y_label, tuple(lines),
        tuple(Tick(place(x, y_low)[0], number(x)) for x in ticks(x_low, x_high) if not counts_x or x == int(x)),
        tuple(Tick(place(x_low, y)[1], number(y)) for y in ticks(y_low, y_high)),
    )  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, at least two."""
    power: float = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / (factor * power) <= TICKS + 1)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return a number of an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    half = abs(low) / 2 or 0.5  # of a range around one value, whose marks then tell it
    return (low, high) if low < high else (low - half, low + half)


def _thinned(points: Sequence[tuple[float, float | None]]) -> Sequence[tuple[float, float | None]]:
    stride = -(-len(points) // MAX_POINTS)
    return points if stride < 2 else [*points[:-1:stride], points[-1]]


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    words, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
            continue
        words.append(f"{pen}{place[0]:g} {place[1]:g}")
        pen = "L"
    return " ".join(words)
