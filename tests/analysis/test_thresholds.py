"""Fits of a temperature and of thresholds: against scipy's minimum, every threshold tried, and the live decider."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from stdl_events.analysis.thresholds import (
    DecidedClips,
    EarlyDecisions,
    between,
    fit_early,
    fit_rejection,
    fit_temperature,
    risk_curve,
    upper_bound,
)
from stdl_events.live.decision import decide_clips
from stdl_events.model_card import DecisionThresholds

LABELS = ("a", "b", "c")


def drawn_logits(seed: int, clips: int = 200, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return overconfident logits, and targets drawn from the softmax of `logits / scale`."""
    rng = np.random.default_rng(seed)
    logits_NK = rng.normal(0, 4, (clips, 3))
    weights_NK = np.exp(logits_NK / scale)
    cumulative_NK = np.cumsum(weights_NK / weights_NK.sum(1, keepdims=True), 1)
    return logits_NK, (rng.random((clips, 1)) > cumulative_NK).sum(1)


def mean_nll(logits_NK: np.ndarray, targets_N: np.ndarray, temperature: float) -> float:
    scaled_NK = logits_NK / temperature
    return float(np.mean(np.log(np.exp(scaled_NK).sum(1)) - scaled_NK[np.arange(len(targets_N)), targets_N]))


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_has_the_least_cross_entropy(seed: int) -> None:
    logits_NK, targets_N = drawn_logits(seed)
    found = fit_temperature(logits_NK, targets_N)
    best = minimize_scalar(
        lambda log_t: mean_nll(logits_NK, targets_N, np.exp(log_t)), bounds=(-3, 5), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)
    assert found == pytest.approx(3.0, rel=0.35)
    # Scaled logits have a scaled temperature and the same probabilities.
    assert fit_temperature(10 * logits_NK, targets_N) == pytest.approx(10 * found)


def test_a_temperature_that_never_ends_is_none() -> None:
    logits_NK, _ = drawn_logits(0)
    assert fit_temperature(logits_NK, logits_NK.argmax(1)) is None
    assert fit_temperature(logits_NK, logits_NK.argmin(1)) is None
    assert fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) is None


def cases(count: int = 60) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return confidences, with ties, and whether the clips are right; more often if confident."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        confidence_N = rng.choice(np.linspace(0.3, 1, 12), rng.integers(1, 40))
        found.append((confidence_N, rng.random(len(confidence_N)) < confidence_N))
    return found


@pytest.mark.parametrize("target", [0.0, 0.05, 0.2, 0.5])
def test_rejection_accepts_the_most_clips_with_the_wanted_error(target: float) -> None:
    unreachable = 0
    for confidence_N, is_right_N in cases():
        found = fit_rejection(confidence_N, is_right_N, target)
        accepted = {}
        for threshold in confidence_N:
            is_in_N = confidence_N >= threshold
            if (~is_right_N[is_in_N]).sum() <= target * is_in_N.sum():
                accepted[int(is_in_N.sum())] = int((~is_right_N[is_in_N]).sum())
        if found is None:
            unreachable += 1
            assert not accepted
            continue
        is_in_N = confidence_N >= found.threshold
        assert found.error is not None
        assert found.error <= target
        assert found.accepted == is_in_N.sum() == max(accepted)
        assert found.wrong == (~is_right_N[is_in_N]).sum() == accepted[found.accepted]
        assert found.coverage == found.accepted / len(confidence_N)
    assert 0 < unreachable < 60


def test_the_curve_of_coverage_and_error_counts_ties_together() -> None:
    confidence_N = np.array([0.9, 0.5, 0.7, 0.7])
    threshold_M, coverage_M, error_M = risk_curve(confidence_N, np.array([True, False, True, False]))
    assert threshold_M.tolist() == [0.9, 0.7, 0.5]
    assert coverage_M.tolist() == [0.25, 0.75, 1.0]
    assert error_M.tolist() == pytest.approx([0, 1 / 3, 0.5])


def random_walks(seed: int, clips: int = 25, steps: int = 6) -> np.ndarray:
    """Return probabilities_NTK that drift, with ties, so that some classes change on the way."""
    rng = np.random.default_rng(seed)
    logits_NTK = np.cumsum(rng.normal(0, 1, (clips, steps, 3)), 1)
    weights_NTK = np.exp(np.round(logits_NTK))
    return weights_NTK / weights_NTK.sum(2, keepdims=True)


@pytest.mark.parametrize("unknown_below", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_early_decisions_against_every_threshold_and_the_live_decider(seed: int, unknown_below: float) -> None:
    probabilities_NTK = random_walks(seed)

    def decided(decide_at: float | None) -> list[tuple[str | None, int]]:
        thresholds = DecisionThresholds(unknown_below=unknown_below, decide_at=decide_at)
        return [(one.label, one.frames or 0) for one in decide_clips(probabilities_NTK, LABELS, thresholds)]

    at_the_end = decided(None)
    candidates = sorted({value for value in probabilities_NTK.max(2).ravel().tolist() if value >= unknown_below})
    for target in (1.0, 0.9, 0.7):
        found = fit_early(probabilities_NTK, unknown_below, target)
        best = None
        for candidate in reversed(candidates):  # down to the first that agrees too rarely
            label_and_time = decided(candidate)
            other = sum(one[0] != end[0] for one, end in zip(label_and_time, at_the_end, strict=True))
            if other > (1 - target) * len(label_and_time) + 1e-9:
                break
            best = label_and_time if any(time < 6 for _, time in label_and_time) else best
        expected = best or at_the_end
        assert decided(found.threshold) == expected
        times = [time for _, time in expected]
        assert (found.threshold is None) == (best is None)
        assert found.mean_frames == pytest.approx(np.mean(times))
        assert found.early == sum(time < 6 for time in times)
        assert found.other == sum(one[0] != end[0] for one, end in zip(expected, at_the_end, strict=True))
        assert found.agreement >= target
    assert EarlyDecisions.at(None, probabilities_NTK, unknown_below).mean_frames == 6


@pytest.mark.parametrize("decide_at", [None, 0.8])
def test_decided_clips_are_counted_as_the_live_decider_decides_them(decide_at: float | None) -> None:
    probabilities_NTK = random_walks(9)
    targets_N = np.random.default_rng(1).integers(0, 3, len(probabilities_NTK))
    thresholds = DecisionThresholds(unknown_below=0.6, decide_at=decide_at)
    decisions = decide_clips(probabilities_NTK, LABELS, thresholds)
    at_the_end = decide_clips(probabilities_NTK, LABELS, DecisionThresholds(unknown_below=0.6))
    wrong = [one.label not in (None, LABELS[target]) for one, target in zip(decisions, targets_N, strict=True)]
    assert DecidedClips.of(probabilities_NTK, targets_N, thresholds).document() == {
        "clips": 25,
        "steps": 6,
        "believed": (believed := sum(one.label is not None for one in decisions)),
        "wrong": sum(wrong),
        "early": sum((one.frames or 0) < 6 for one in decisions),
        "other": sum(one.label != end.label for one, end in zip(decisions, at_the_end, strict=True)),
        "mean_frames": pytest.approx(np.mean([one.frames for one in decisions])),
        "coverage": believed / 25,
        "error": sum(wrong) / believed,
    }


def test_pictures_of_one_step_are_decided_at_their_end() -> None:
    found = fit_early(random_walks(0, steps=1), 0.0, 0.9)
    assert (found.threshold, found.early, found.mean_frames) == (None, 0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.5, 0.7, 0.6), (0.94, 0.96, 0.95), (0.9, 0.90001, 0.900005), (0.0, 0.04, 0.02), (0.7, 0.7, 0.7)],
)
def test_a_threshold_between_two_numbers_has_few_decimals(low: float, high: float, expected: float) -> None:
    assert between(low, high) == expected
    rng = np.random.default_rng(0)
    for one, other in rng.random((200, 2)):
        assert min(one, other) < between(min(one, other), max(one, other)) <= max(one, other)
    after = np.nextafter(0.3, 1)
    assert between(0.3, float(after)) == after


@pytest.mark.parametrize(("wrong", "clips"), [(0, 20), (1, 50), (7, 90)])
def test_the_upper_bound_is_where_so_few_wrong_clips_are_rare(wrong: int, clips: int) -> None:
    bound = upper_bound(wrong, clips)
    assert binom.cdf(wrong, clips, bound) == pytest.approx(0.05)
    assert upper_bound(clips, clips) == 1.0
