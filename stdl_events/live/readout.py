"""The readout of a clip: softmax of the mean logits of its steps, divided by the model's temperature.

`network.readout` has the mean in torch. T time steps, K classes.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mean_logits(logits_T: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """The mean over time, in float64, of the logits of at least one step: [K], or [B, K] for a batch."""
    mean: Floats = np.mean(logits_T, axis=0, dtype=np.float64)
    return mean


def running_means(logits_T: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """Return the mean of the steps so far after each step, in float64: [T, K], or [T, B, K]; see `mean_logits`."""
    sums_T = np.cumsum(logits_T, axis=0, dtype=np.float64)
    means_T: Floats = sums_T / np.arange(1, len(sums_T) + 1).reshape(-1, *[1] * (sums_T.ndim - 1))
    return means_T


def softmax(logits_K: Floats, temperature: float = 1.0) -> Floats:
    """Softmax of `logits_K` / `temperature` over the last axis."""
    highest = np.maximum.reduce(logits_K, -1, keepdims=True)
    below_K = logits_K - highest
    probabilities_K: Floats = np.exp(below_K if temperature == 1.0 else below_K / temperature)
    probabilities_K /= np.add.reduce(probabilities_K, -1, keepdims=True)
    return probabilities_K


class MeanSoFar:
    """The mean of the logits since `restart`, step by step, with the bits of `mean_logits`.

    Args:
        last: of so many steps at most, the newest; None is all, which are added up and not kept.
    """

    def __init__(self, last: int | None = None) -> None:
        self._last: deque[npt.NDArray[np.floating]] | None = None if last is None else deque(maxlen=last)
        self.restart()

    def restart(self) -> None:
        """Forget the steps so far."""
        self._sum_K: Floats | None = None
        self._steps = 0
        if self._last is not None:
            self._last.clear()

    def push(self, logits_K: npt.NDArray[np.floating]) -> Floats:
        """Add the logits of a step; return the mean."""
        if self._last is not None:
            self._last.append(logits_K)
            return mean_logits(self._last)
        self._steps += 1
        self._sum_K = logits_K.astype(np.float64) if self._sum_K is None else self._sum_K + logits_K
        return self._sum_K / self._steps
