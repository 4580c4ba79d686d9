"""The readout of a clip: softmax of the mean logits of its steps, divided by the model's temperature.

`network.readout` has the mean in torch. T time steps, K classes.
"""

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
    exponentials_K = np.exp((logits_K - logits_K.max(-1, keepdims=True)) / temperature)
    probabilities_K: Floats = exponentials_K / exponentials_K.sum(-1, keepdims=True)
    return probabilities_K
