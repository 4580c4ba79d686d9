"""Measures of predictions beside their accuracy, each defined as in scikit-learn, which the tests compare them with.

Shape letters: N clips, K classes, M bins of confidence.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

BINS = 15
TOP = 5


@dataclass(frozen=True)
class ClassMeasures:
    """Precision, recall and F1 of each class; NaN where nothing defines one.

    Attributes:
        precision_K: share of the clips predicted as the class that are of it; NaN if there are none.
        recall_K: share of the clips of the class that are predicted as it; NaN if there are none.
        f1_K: harmonic mean of both; NaN for a class that no clip has and none is predicted as.
        count_K: clips of the class.
    """

    precision_K: Floats
    recall_K: Floats
    f1_K: Floats
    count_K: npt.NDArray[np.int64]

    @classmethod
    def of(cls, confusion_KK: npt.NDArray[np.int64]) -> "ClassMeasures":
        """Return those of a confusion matrix, row: true class, column: predicted class."""
        right_K, count_K, predicted_K = confusion_KK.diagonal(), confusion_KK.sum(1), confusion_KK.sum(0)
        return cls(
            _share(right_K, predicted_K), _share(right_K, count_K), _share(2 * right_K, count_K + predicted_K), count_K
        )

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of the classes that some clip has or is predicted as."""
        return float(np.nanmean(self.f1_K))

    def rows(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """JSON-ready, one row per class."""
        columns = zip(names, self.count_K.tolist(), self.precision_K, self.recall_K, self.f1_K, strict=True)
        return [
            {
                "name": name,
                "clips": count,
                "precision": or_none(precision),
                "recall": or_none(recall),
                "f1": or_none(f1),
            }
            for name, count, precision, recall, f1 in columns
        ]


@dataclass(frozen=True)
class Reliability:
    """Accuracy of predictions by their confidence, the probability of the predicted class (Guo et al. 2017).

    Attributes:
        edges: of the bins, M + 1 of equal width from 0 to 1. A bin holds its upper edge.
        confidence_M: mean confidence of the clips of a bin; NaN for an empty one.
        accuracy_M: their accuracy; NaN for an empty one.
        count_M: their number.
    """

    edges: Floats
    confidence_M: Floats
    accuracy_M: Floats
    count_M: npt.NDArray[np.int64]

    @classmethod
    def of(cls, probabilities_NK: Floats, targets_N: Labels, bins: int = BINS) -> "Reliability":
        """Return that of predictions by their probabilities."""
        confidence_N = probabilities_NK.max(1)
        edges = np.linspace(0, 1, bins + 1)
        bin_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, bins - 1)
        count_M = np.bincount(bin_N, minlength=bins)
        right_M = np.bincount(bin_N, probabilities_NK.argmax(1) == targets_N, minlength=bins)
        return cls(
            edges, _share(np.bincount(bin_N, confidence_N, minlength=bins), count_M), _share(right_M, count_M), count_M
        )

    @property
    def ece(self) -> float:
        """Expected calibration error: distance of confidence and accuracy, averaged over the clips."""
        filled_M = self.count_M > 0
        gap_M = np.abs(self.confidence_M[filled_M] - self.accuracy_M[filled_M])
        return float(gap_M @ self.count_M[filled_M] / self.count_M.sum())

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "edges": self.edges.tolist(),
            "confidence": [or_none(value) for value in self.confidence_M],
            "accuracy": [or_none(value) for value in self.accuracy_M],
            "counts": self.count_M.tolist(),
        }


def brier_score(probabilities_NK: Floats, targets_N: Labels) -> float:
    """Return the mean over the clips of the squared distance of probabilities and one-hot targets, 0 to 2."""
    one_hot_NK = np.eye(probabilities_NK.shape[1])[targets_N]
    return float(((probabilities_NK - one_hot_NK) ** 2).sum(1).mean())


def top_accuracy(probabilities_NK: Floats, targets_N: Labels, count: int = TOP) -> float | None:
    """Return the share of clips whose class is among the `count` most probable ones; None if that is all classes.

    Of equally probable classes those with the lower index come first, as in `argmax`.
    """
    if probabilities_NK.shape[1] <= count:
        return None
    own_N1 = np.take_along_axis(probabilities_NK, targets_N[:, None], 1)
    is_before_NK = np.arange(probabilities_NK.shape[1]) < targets_N[:, None]
    rank_N = ((probabilities_NK > own_N1) | ((probabilities_NK == own_N1) & is_before_NK)).sum(1)
    return float((rank_N < count).mean())


def or_none(value: float) -> float | None:
    """Return a number as JSON takes it; None for NaN."""
    return None if np.isnan(value) else float(value)


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
