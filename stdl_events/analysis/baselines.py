"""Baselines without time: accuracies that a spiking network has to exceed.

Shape letters: N clips, F features (every polarity and pixel), K classes.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError
from stdl_events.recordings.clips import ClipArray

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint32]
Name = TypeVar("Name", bound=str)

LAMBDAS = tuple(10.0**exponent for exponent in range(-1, 6))
POOLS = (1, 2, 4)
VALIDATION_SHARE = 0.25
CLIPS_AT_ONCE = 256
# A decomposition needs about ten times the multiplications of a product of the same size.
DECOMPOSITION = 10


def ridge_on_summed_events(train: ClipArray, test: ClipArray, *, seed: int = 0) -> float:
    """Return the held-out accuracy of a ridge classifier on each clip's events summed over time.

    Raises:
        DatasetError: see `ridge_accuracies`.
    """
    return ridge_accuracies(train, {"test": test}, seed=seed)["test"]


def ridge_accuracies(
    train: ClipArray, others: Mapping[Name, ClipArray], *, seed: int = 0, pools: Sequence[int] = POOLS
) -> dict[Name, float]:
    """Return the accuracy on each of other sets of clips of a ridge classifier on each clip's events summed over time.

    Features are the square roots of the event counts per polarity and pixel, or per 2x2 or 4x4 pixels, standardised by
    one scale for all; targets are one-hot. Pooling and penalty are those with the best accuracy on a quarter of the
    training recordings, whole recordings at a time; the classifier is then fitted to all training clips. The other
    clips are used once, for the result.

    Args:
        pools: sides of the squares of pixels that are tried, of `POOLS`.

    Raises:
        DatasetError: there are fewer than two training recordings, or one of the others has no clips.
    """
    recordings = np.unique(train.entry_index_N)
    fewest = min(map(len, others.values()))
    if len(recordings) < 2 or not fewest:
        raise DatasetError(
            "ridge on summed events", got=f"{len(recordings)} training recordings and {fewest} held-out clips",
            expected="at least 2, and at least 1", todo="add recordings",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    count = max(1, round(VALIDATION_SHARE * len(recordings)))
    validating_N = np.isin(train.entry_index_N, rng.permutation(recordings)[:count])
    targets_NK = np.eye(1 + int(train.targets_N.max()))[train.targets_N]
    right_N = train.targets_N[validating_N]
    finest = min(pools)
    summed_NCHW = _summed(train, finest)
    tried: dict[tuple[int, float], float] = {}
    for pool in pools:
        seen_NF = _features(summed_NCHW, pool // finest)
        fit, validation = (seen_NF[~validating_N], targets_NK[~validating_N]), seen_NF[validating_N]
        for penalty, predicted_N in zip(LAMBDAS, _predict(*fit, validation, LAMBDAS), strict=True):
            tried[pool, penalty] = float((predicted_N == right_N).mean())
    pool, penalty = max(tried, key=tried.__getitem__)
    other_NF = np.concatenate([_features(_summed(clips, pool), 1) for clips in others.values()])
    (predicted_N,) = _predict(_features(summed_NCHW, pool // finest), targets_NK, other_NF, [penalty])
    ends = np.cumsum([len(clips) for clips in others.values()])[:-1]
    parts = zip(others.items(), np.split(predicted_N, ends), strict=True)
    return {name: float((part_N == clips.targets_N).mean()) for (name, clips), part_N in parts}


def ridge_multiplications(train: ClipArray, pool: int) -> int:
    """Return about how many multiplications a ridge on squares of `pool` pixels takes."""
    features = int(np.prod(_summed_shape(train, pool)[1:]))
    smaller = min(len(train), features)
    return len(train) * features * smaller + DECOMPOSITION * smaller**3


def ridge_bytes(train: ClipArray, pool: int) -> int:
    """Return about how much memory a ridge takes: its features, standardised, and parts of them."""
    return 4 * 8 * int(np.prod(_summed_shape(train, pool)))


def chance(test: ClipArray) -> float:
    """Return the held-out accuracy of a constant prediction of the most frequent class."""
    return float(np.bincount(test.targets_N).max() / len(test))


def _summed_shape(clips: ClipArray, pool: int) -> tuple[int, ...]:
    channels, height, width = np.shape(clips.frames_NTCHW[:1])[2:]
    return len(clips), channels, -(-height // pool), -(-width // pool)


def _summed(clips: ClipArray, pool: int) -> Counts:
    """Sum each clip's counts over time and squares of pixels, some clips at a time."""
    summed_NCHW = np.empty(_summed_shape(clips, pool), np.uint32)
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        part = slice(start, start + CLIPS_AT_ONCE)
        summed_NCHW[part] = _pooled(np.asarray(clips.frames_NTCHW[part]).sum(axis=1, dtype=np.uint32), pool)
    return summed_NCHW


def _pooled(counts_NCHW: Counts, pool: int) -> Counts:
    count, channels, height, width = counts_NCHW.shape
    padded_NCHW = np.pad(counts_NCHW, [(0, 0), (0, 0), (0, -height % pool), (0, -width % pool)])
    squares = padded_NCHW.reshape(count, channels, -(-height // pool), pool, -(-width // pool), pool)
    return squares.sum(axis=(3, 5), dtype=np.uint32)


def _features(summed_NCHW: Counts, pool: int) -> Floats:
    features_NF: Floats = np.sqrt(_pooled(summed_NCHW, pool).reshape(len(summed_NCHW), -1).astype(np.float64))
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
