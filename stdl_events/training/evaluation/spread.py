"""The interval in which an accuracy would lie for other recordings of the same kind.

Shape letters: N clips, U units (recordings, or parts of one), D draws.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.recordings.entry import Entry

LEVEL = 0.95
DRAWS = 2000
CELLS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Interval:
    """An interval of an accuracy at `LEVEL`.

    Attributes:
        method: "wilson", of independent clips; "bootstrap", over units; or "wilson_units", of as many independent
            predictions as there are units, where all clips are right or all are wrong.
        unit: "recordings", or "parts" where all clips are of one recording.
        count: of the units.
    """

    low: float
    high: float
    method: str
    unit: str
    count: int

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"level": LEVEL} | vars(self)


def accuracy_interval(
    right_N: npt.NDArray[np.bool_], recording_N: npt.NDArray[np.integer], part_N: npt.NDArray[np.integer]
) -> Interval | None:
    """Return the interval of the mean of `right_N`; None for several clips of one recording in one part.

    Its units are recordings, since clips of one recording are alike; of one recording they are its labelled parts, and
    other recordings may then differ by more. With one clip per unit the interval is Wilson's. Else units are drawn with
    replacement, all clips of each together, with a fixed seed. Where every clip is right, or every one wrong, drawing
    again would show no spread: the interval is then Wilson's for as many predictions as there are units.

    Args:
        recording_N: index of each clip's recording.
        part_N: index of each clip's part of a recording.
    """
    unit = "recordings"
    _, index_N = np.unique(recording_N, return_inverse=True)
    if not index_N.any():
        unit = "parts"
        _, index_N = np.unique(part_N, return_inverse=True)
    clips, count, right = len(right_N), int(index_N.max()) + 1, int(right_N.sum())
    if count == clips:
        return Interval(*wilson(right, clips), "wilson", unit, count)
    if count == 1:
        return None
    if right in (0, clips):
        return Interval(*wilson(count if right else 0, count), "wilson_units", unit, count)
    return Interval(*_bootstrap(np.bincount(index_N, right_N), np.bincount(index_N)), "bootstrap", unit, count)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share of independent predictions at `LEVEL`."""
    quantile = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, square = right / count, quantile**2 / count
    centre = share + square / 2
    half = float(np.sqrt(share * (1 - share) * square + square**2 / 4))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))


def _bootstrap(right_U: npt.NDArray[Any], clips_U: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the percentiles of the accuracy over draws of U units with replacement."""
    rng = np.random.default_rng(0)
    units = len(clips_U)
    at_once = max(1, CELLS_AT_ONCE // units)
    accuracies: list[npt.NDArray[np.float64]] = []
    for start in range(0, DRAWS, at_once):
        drawn_DU = rng.integers(0, units, (min(at_once, DRAWS - start), units))
        accuracies.append(right_U[drawn_DU].sum(1) / clips_U[drawn_DU].sum(1))
    low, high = np.quantile(np.concatenate(accuracies), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def recording_of_entries(entries: Iterable[Entry]) -> npt.NDArray[np.int64]:
    """Return the index of each entry's recording: parts and takes of one file depend on each other, pictures do not."""
    index_of: dict[object, int] = {}
    found = [
        index_of.setdefault(entry.key if entry.picture is not None else (entry.path, entry.reader), len(index_of))
        for entry in entries
    ]
    return np.array(found, np.int64)
