"""Baselines without time: accuracies that a spiking network has to exceed.

Shape letters: N clips, F features (every polarity and pixel), K classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError
from stdl_events.recordings.clips import ClipArray

Floats = npt.NDArray[np.float64]

LAMBDAS = tuple(10.0**exponent for exponent in range(-1, 6))
POOLS = (1, 2, 4)
VALIDATION_SHARE = 0.25


def ridge_on_summed_events(train: ClipArray, test: ClipArray, *, seed: int = 0) -> float:
    """Return the held-out accuracy of a ridge classifier on each clip's events summed over time.

    Features are the square roots of the event counts per polarity and pixel, or per 2x2 or 4x4 pixels, standardised by
    one scale for all; targets are one-hot. Pooling and penalty are those with the best accuracy on a quarter of the
    training recordings, whole recordings at a time; the classifier is then fitted to all training clips. The held-out
    clips are used once, for the result.

    Raises:
        DatasetError: there are fewer than two training recordings or no held-out clips.
    """
    recordings = np.unique(train.entry_index_N)
    if len(recordings) < 2 or not len(test):
        raise DatasetError(
            "ridge on summed events", got=f"{len(recordings)} training recordings and {len(test)} held-out clips",
            expected="at least 2, and at least 1", todo="add recordings",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    count = max(1, round(VALIDATION_SHARE * len(recordings)))
    validating_N = np.isin(train.entry_index_N, rng.permutation(recordings)[:count])
    targets_NK = np.eye(1 + int(train.targets_N.max()))[train.targets_N]
    right_N = train.targets_N[validating_N]
    tried: dict[tuple[int, float], float] = {}
    for pool in POOLS:
        seen_NF = _features(train, pool)
        fit, validation = (seen_NF[~validating_N], targets_NK[~validating_N]), seen_NF[validating_N]
        for penalty, predicted_N in zip(LAMBDAS, _predict(*fit, validation, LAMBDAS), strict=True):
            tried[pool, penalty] = float((predicted_N == right_N).mean())
    pool, penalty = max(tried, key=tried.__getitem__)
    (predicted_N,) = _predict(_features(train, pool), targets_NK, _features(test, pool), [penalty])
    return float((predicted_N == test.targets_N).mean())


def chance(test: ClipArray) -> float:
    """Return the held-out accuracy of a constant prediction of the most frequent class."""
    return float(np.bincount(test.targets_N).max() / len(test))


def _features(clips: ClipArray, pool: int) -> Floats:
    summed_NCHW = np.asarray(clips.frames_NTCHW).sum(axis=1, dtype=np.float64)
    count, polarities, height, width = summed_NCHW.shape
    padded_NCHW = np.pad(summed_NCHW, [(0, 0), (0, 0), (0, -height % pool), (0, -width % pool)])
    pooled = padded_NCHW.reshape(count, polarities, -(-height // pool), pool, -(-width // pool), pool).sum(axis=(3, 5))
    features_NF: Floats = np.sqrt(pooled.reshape(count, -1))
    return features_NF


def _predict(
    fit_NF: Floats, targets_NK: Floats, test_NF: Floats, penalties: Sequence[float]
) -> list[npt.NDArray[np.int64]]:
    """Predict the classes of `test_NF` by a ridge in closed form, for each penalty.

    One decomposition of the smaller of the two Gram matrices (clips or features) serves all penalties.
    """
    mean_F, bias_K = fit_NF.mean(axis=0), targets_NK.mean(axis=0)
    scale = 1 / max(float(np.sqrt(fit_NF.var(axis=0).mean())), np.finfo(np.float64).tiny)
    fit_NF, test_NF, targets_NK = (fit_NF - mean_F) * scale, (test_NF - mean_F) * scale, targets_NK - bias_K
    dual = len(fit_NF) <= fit_NF.shape[1]
    values, vectors = np.linalg.eigh(fit_NF @ fit_NF.T if dual else fit_NF.T @ fit_NF)
    left = test_NF @ fit_NF.T @ vectors if dual else test_NF @ vectors
    right = vectors.T @ (targets_NK if dual else fit_NF.T @ targets_NK)
    return [np.argmax(left / (values + penalty) @ right + bias_K, axis=1) for penalty in penalties]
