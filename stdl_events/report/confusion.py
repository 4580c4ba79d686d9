"""What is taken for what: the confusion matrix, as a table or as a picture, and its largest entries as a list.

Shape letters: K classes, C=3 colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.canvas import Pixels
from stdl_events.analysis.html_page import data_uri
from stdl_events.events.defects import count_of
from stdl_events.report.tables import Table

# More classes are a picture.
CLASSES_IN_TABLE = 20
LISTED = 10
SHADES = 4
_RIGHT, _WRONG = np.array((47, 99, 153)), np.array((194, 73, 29))


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix.

    Attributes:
        shade: a class of the stylesheet, by the share of the row's clips; "" for none.
    """

    count: int
    shade: str


@dataclass(frozen=True)
class Confusion:
    """The matrix, row: true class, column: predicted class.

    Attributes:
        cells_KK: None for many classes, which `picture` shows.
        picture: address of an image with one pixel per cell; None for few classes.
        largest: confusions by their number of clips; None if there are none.
        pairs: number of pairs of classes that are confused.
    """

    labels: tuple[str, ...]
    cells_KK: tuple[tuple[Cell, ...], ...] | None
    picture: str | None
    largest: Table | None
    pairs: int


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Confusion:
    """Return the matrix of `counts`, row: true class, column: predicted class."""
    counts_KK = np.array(counts, np.int64)
    share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    few = len(labels) <= CLASSES_IN_TABLE
    wrong_KK = counts_KK * (1 - np.eye(len(labels), dtype=np.int64))
    return Confusion(
        tuple(labels),
        _cells(counts_KK, share_KK) if few else None,
        None if few else data_uri(_pixels(share_KK)),
        _largest(labels, counts_KK, wrong_KK),
        int((wrong_KK > 0).sum()),
    )


def _cells(counts_KK: npt.NDArray[np.int64], share_KK: npt.NDArray[np.float64]) -> tuple[tuple[Cell, ...], ...]:
    def shade(row: int, column: int) -> str:
        level = int(np.ceil(share_KK[row, column] * SHADES))
        return f"{'h' if row == column else 'w'}{level}" if level else ""

    size = range(len(counts_KK))
    return tuple(tuple(Cell(int(counts_KK[row, column]), shade(row, column)) for column in size) for row in size)


def _pixels(share_KK: npt.NDArray[np.float64]) -> Pixels:
    """Draw a pixel per cell on white: the diagonal blue, confusions orange, darker for larger shares."""
    strength_KK = np.sqrt(share_KK)[..., None]
    colour_KKC = np.where(np.eye(len(share_KK), dtype=bool)[..., None], _RIGHT, _WRONG)
    pixels_KKC: Pixels = (255 - strength_KK * (255 - colour_KKC)).round().astype(np.uint8)
    return pixels_KKC


def _largest(labels: Sequence[str], counts_KK: npt.NDArray[np.int64], wrong_KK: npt.NDArray[np.int64]) -> Table | None:
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:LISTED]
    pairs = [divmod(int(index), len(labels)) for index in order if wrong_KK.flat[index]]
    clips = [count_of(int(count), "clip", ",") for count in counts_KK.sum(1)]
    rows = [
        (
            labels[true],
            labels[predicted],
            f"{counts_KK[true, predicted]:,} of {clips[true]}",
        )
        for true, predicted in pairs
    ]
    return Table.of_text("the largest confusions", ("true class", "recognised as", "how often"), rows) if rows else None
