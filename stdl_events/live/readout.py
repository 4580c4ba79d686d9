"""The readout of a clip: softmax of the mean logits of its steps. `network.readout` has the mean in torch.

T time steps, K classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mean_logits(logits_T: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """The mean over time, in float64, of the logits of at least one step: [K], or [B, K] for a batch."""
    mean: Floats = np.mean(logits_T, axis=0, dtype=np.float64)
    return mean


def softmax(logits_K: Floats) -> Floats:
    """Softmax over the last axis."""
    exponentials_K = np.exp(logits_K - logits_K.max(-1, keepdims=True))
    probabilities_K: Floats = exponentials_K / exponentials_K.sum(-1, keepdims=True)
    return probabilities_K
