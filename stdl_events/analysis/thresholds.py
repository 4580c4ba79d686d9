"""Temperature and thresholds of a model, fitted to clips that it was not trained on.

Shape letters: N clips, T time steps, K classes, M candidates for a threshold.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.live.readout import softmax
from stdl_events.model_card import LARGEST_TEMPERATURE, LEAST_TEMPERATURE, DecisionThresholds

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

CONFIDENCE = 0.95


def fit_temperature(logits_NK: Floats, targets_N: npt.NDArray[np.integer]) -> float | None:
    """Return the temperature with the least cross-entropy of softmax(logits / temperature), within a card's range.

    The cross-entropy is convex in 1 / temperature, so that the zero of its slope is its minimum. There is none where
    all clips are right, which ever lower temperatures improve, and where the logits are no better than chance, which
    ever higher ones improve: the result is None.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
    """
    from scipy.optimize import brentq

    own_N = logits_NK[np.arange(len(targets_N)), targets_N]

    def slope(log_inverse: float) -> float:
        expected_N = (softmax(logits_NK, np.exp(-log_inverse)) * logits_NK).sum(1)
        return float((expected_N - own_N).mean())

    low, high = -np.log(LARGEST_TEMPERATURE), -np.log(LEAST_TEMPERATURE)
    if slope(low) >= 0 or slope(high) <= 0:
        return None
    return float(np.exp(-brentq(slope, low, high)))


@dataclass(frozen=True)
class Rejection:
    """What a threshold on the confidence, the probability of the predicted class, accepts.

    Attributes:
        threshold: clips with less are unknown; 0 accepts all.
        clips: N.
        accepted: those with at least as much.
        wrong: of the accepted ones.
    """

    threshold: float
    clips: int
    accepted: int
    wrong: int

    @property
    def coverage(self) -> float:
        """Share of the clips that are accepted."""
        return self.accepted / self.clips

    @property
    def error(self) -> float | None:
        """Share of the accepted clips that are wrong; None without one."""
        return self.wrong / self.accepted if self.accepted else None

    @classmethod
    def at(cls, threshold: float, confidence_N: Floats, is_right_N: Booleans) -> "Rejection":
        """Return what `threshold` accepts."""
        accepted_N = confidence_N >= threshold
        return cls(threshold, len(confidence_N), int(accepted_N.sum()), int((accepted_N & ~is_right_N).sum()))


def risk_curve(confidence_N: Floats, is_right_N: Booleans) -> tuple[Floats, Floats, Floats]:
    """Return each threshold between clips that differ in confidence, from the highest, with its coverage and error."""
    order = np.argsort(-confidence_N, kind="stable")
    confidence_N = confidence_N[order]
    wrong_N = np.cumsum(~is_right_N[order])
    last = np.flatnonzero(np.append(np.diff(confidence_N) != 0, True))
    return confidence_N[last], (last + 1) / len(order), wrong_N[last] / (last + 1)


def fit_rejection(confidence_N: Floats, is_right_N: Booleans, target_error: float) -> Rejection | None:
    """Return the threshold that accepts the most clips with at most the error `target_error`; None if none does.

    Source: the risk-coverage trade-off of Geifman and El-Yaniv, "Selective classification for deep neural networks",
    NeurIPS 2017, without their bound on the true error, which few clips do not reach for any threshold.
    """
    confidence_M, _, error_M = risk_curve(confidence_N, is_right_N)
    good = np.flatnonzero(error_M <= target_error)
    if not len(good):
        return None
    chosen = good[-1]
    below = confidence_M[chosen + 1 :]
    threshold = between(float(below[0]), float(confidence_M[chosen])) if len(below) else 0.0
    return Rejection.at(threshold, confidence_N, is_right_N)


@dataclass(frozen=True)
class EarlyDecisions:
    """When clips are decided with a threshold, and how often otherwise than at their ends.

    Attributes:
        threshold: confidence at which a clip is decided before its end; None decides all at their ends.
        clips, steps: N and T.
        early: clips decided before their ends.
        other: of these, those with another class at the end, or with none since they are unknown there.
        mean_frames: of a clip until its decision.
    """

    threshold: float | None
    clips: int
    steps: int
    early: int
    other: int
    mean_frames: float

    @property
    def agreement(self) -> float:
        """Share of the clips that are decided as at their ends."""
        return 1 - self.other / self.clips

    @classmethod
    def at(cls, threshold: float | None, probabilities_NTK: Floats, unknown_below: float) -> "EarlyDecisions":
        """Return the decisions with `threshold`, in a model that rejects below `unknown_below`.

        Args:
            probabilities_NTK: after each step.
        """
        clips, steps, _ = probabilities_NTK.shape
        label_N, step_N, end_N = _decided(probabilities_NTK, unknown_below, threshold)
        return cls(
            threshold, clips, steps, int((step_N < steps - 1).sum()), int((label_N != end_N).sum()),
            float(step_N.mean()) + 1,
        )  # fmt: skip


@dataclass(frozen=True)
class DecidedClips:
    """Clips of known classes, as the thresholds of a model's card decide them.

    Attributes:
        clips, steps: N and T.
        believed: clips that are not unknown.
        wrong: of these.
        early: clips decided before their ends.
        other: of these, those decided otherwise than they would be there.
        mean_frames: of a clip until its decision.
    """

    clips: int
    steps: int
    believed: int
    wrong: int
    early: int
    other: int
    mean_frames: float

    @classmethod
    def of(
        cls, probabilities_NTK: Floats, targets_N: npt.NDArray[np.integer], thresholds: DecisionThresholds
    ) -> "DecidedClips":
        """Return the decisions of each clip on its own; no scene counts as still.

        Args:
            probabilities_NTK: after each step.
        """
        clips, steps, _ = probabilities_NTK.shape
        label_N, step_N, end_N = _decided(probabilities_NTK, thresholds.unknown_below, thresholds.decide_at)
        believed_N = label_N >= 0
        wrong_N = believed_N & (label_N != targets_N)
        return cls(
            clips, steps, int(believed_N.sum()), int(wrong_N.sum()), int((step_N < steps - 1).sum()),
            int((label_N != end_N).sum()), float(step_N.mean()) + 1,
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        error = self.wrong / self.believed if self.believed else None
        return asdict(self) | {"coverage": self.believed / self.clips, "error": error}


def fit_early(probabilities_NTK: Floats, unknown_below: float, target_agreement: float) -> EarlyDecisions:
    """Return the lowest threshold for deciding early that, as all higher ones, agrees as often as `target_agreement`.

    Lower thresholds decide earlier. The agreement need not fall with them; by the condition on the higher ones no lucky
    value below a bad one is chosen.

    Args:
        probabilities_NTK: after each step.
        unknown_below: of the model; what is less probable is not decided early, and unknown at the end.
    """
    clips = len(probabilities_NTK)
    label_NT, confidence_NT = _told(probabilities_NTK, unknown_below)
    # As the threshold falls, a clip is decided at the step of ever earlier records of its confidence.
    highest_before_NT = np.maximum.accumulate(np.pad(confidence_NT, ((0, 0), (1, 0)))[:, :-1], axis=1)
    is_record_NT = (confidence_NT > highest_before_NT) & (label_NT >= 0)
    is_record_NT[:, -1] = False
    clip_M, step_M = np.nonzero(is_record_NT)
    value_M = confidence_NT[clip_M, step_M]
    is_other_M = label_NT[clip_M, step_M] != label_NT[clip_M, -1]
    if not len(value_M):
        return EarlyDecisions.at(None, probabilities_NTK, unknown_below)
    # Whether the clip was decided otherwise by the higher threshold: at its next record, or at its end.
    was_other_M = np.append((clip_M[1:] == clip_M[:-1]) & is_other_M[1:], False)
    order = np.argsort(-value_M, kind="stable")
    value_M = value_M[order]
    other_M = np.cumsum(is_other_M[order].astype(int) - was_other_M[order])
    last = np.flatnonzero(np.append(np.diff(value_M) != 0, True))
    fails = np.flatnonzero(other_M[last] > (1 - target_agreement) * clips + 1e-9)
    good = last[: fails[0]] if len(fails) else last
    if not len(good):
        return EarlyDecisions.at(None, probabilities_NTK, unknown_below)
    below = value_M[good[-1] + 1 :]
    threshold = between(float(below[0]) if len(below) else unknown_below, float(value_M[good[-1]]))
    return EarlyDecisions.at(threshold, probabilities_NTK, unknown_below)


@dataclass(frozen=True)
class StillScenes:
    """What a threshold on the rate of events tells apart.

    Attributes:
        threshold: events per second, below which nothing is there; 0 is no threshold.
        still, silent: clips in which nothing moves, and those of them below the threshold.
        moving, lost: clips in which something moves, and those of them below the threshold.
    """

    threshold: float
    still: int
    silent: int
    moving: int
    lost: int


def fit_still(moving_hz_N: Floats, still_hz_M: Floats, target_agreement: float) -> StillScenes:
    """Return the threshold with the most still clips below it that at least `target_agreement` of the moving reach.

    Args:
        moving_hz_N, still_hz_M: events per second of each clip, at least one of both kinds.
    """
    allowed = int((1 - target_agreement) * len(moving_hz_N) + 1e-9)
    highest = np.sort(moving_hz_N)[min(allowed, len(moving_hz_N) - 1)]
    silent_hz = still_hz_M[still_hz_M < highest]
    if not len(silent_hz):
        return StillScenes(0.0, len(still_hz_M), 0, len(moving_hz_N), 0)
    top = silent_hz.max()
    threshold = between(float(top), float(moving_hz_N[moving_hz_N > top].min()))
    silent, lost = (int((rates < threshold).sum()) for rates in (still_hz_M, moving_hz_N))
    return StillScenes(threshold, len(still_hz_M), silent, len(moving_hz_N), lost)


def between(low: float, high: float) -> float:
    """Return a number above `low` and at most `high`, near their middle, with as few decimals as possible."""
    for decimals in range(1, 18):
        value = round((low + high) / 2, decimals)
        if low < value <= high:
            return value
    return high


def upper_bound(wrong: int, clips: int) -> float:
    """Return the largest error that is compatible with `wrong` of `clips`, with 95 % confidence (Clopper and Pearson).

    Clips count as independent; those of one recording rarely are.
    """
    from scipy.stats import beta

    return 1.0 if wrong >= clips else float(beta.ppf(CONFIDENCE, wrong + 1, clips - wrong))


def _decided(
    probabilities_NTK: Floats, unknown_below: float, decide_at: float | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return for each clip its decision, -1 for unknown, the step of it, and what it would be at the end."""
    label_NT, confidence_NT = _told(probabilities_NTK, unknown_below)
    reached_NT = np.zeros(label_NT.shape, bool) if decide_at is None else confidence_NT >= decide_at
    reached_NT &= label_NT >= 0
    reached_NT[:, -1] = True
    step_N = reached_NT.argmax(1)
    return label_NT[np.arange(len(label_NT)), step_N], step_N, label_NT[:, -1]


def _told(probabilities_NTK: Floats, unknown_below: float) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the class after each step, -1 for unknown, and its probability."""
    confidence_NT: Floats = probabilities_NTK.max(2)
    return np.where(confidence_NT >= unknown_below, probabilities_NTK.argmax(2), -1), confidence_NT
