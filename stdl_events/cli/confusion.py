"""The table of an evaluation, as wide as the terminal: names of classes as columns, or their numbers."""

from collections.abc import Sequence

from stdl_events.cli.fixed_width import cells_of, padded, shortened
from stdl_events.errors import printable

TRUE = "true \\ recognised as"
GAP = 2
LEAST_NAME = 8


def confusion_lines(labels: Sequence[str], counts_KK: Sequence[Sequence[int]], width: int) -> list[str]:
    """Lines of the confusion matrix: true classes are rows, recognised ones columns.

    Columns that do not fit with their names have numbers, which the rows repeat; names of rows lose their middle.

    Args:
        width: of the terminal, in cells. Only more classes than fit with their numbers exceed it.
    """
    cells = [[str(count) if count else "." for count in row] for row in counts_KK]
    for columns, names in _headings(labels):
        widths = [max(cells_of(column), *(len(row[index]) for row in cells)) for index, column in enumerate(columns)]
        rest = width - sum(widths) - GAP * len(columns)
        if columns != labels or rest >= max(map(cells_of, (TRUE, *names))):
            break
    first = min(max(map(cells_of, (TRUE, *names))), max(rest, LEAST_NAME))
    rows = [(TRUE, columns), *zip(names, cells, strict=True)]
    return [_line(shortened(name, first), row, first, widths) for name, row in rows]


def _headings(labels: Sequence[str]) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Return (names of the columns, names of the rows): by name, then by number."""
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    return [(labels, labels), (numbers, [f"{number} {label}" for number, label in zip(numbers, labels, strict=True)])]


def _line(name: str, row: Sequence[str], first: int, widths: Sequence[int]) -> str:
    gap = " " * GAP
    return padded(name, first) + "".join(
        gap + " " * (width - cells_of(cell)) + printable(cell) for cell, width in zip(row, widths, strict=True)
    )
