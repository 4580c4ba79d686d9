"""Measures of predictions against scikit-learn, scipy and counting by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    brier_score_loss,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from stdl_events.recordings import ClipArray, Entry, RecordingSet
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.measures import ClassMeasures, Reliability, brier_score, top_accuracy
from stdl_events.training.evaluation.spread import accuracy_interval, recording_of_entries, wilson


def random_evaluation(classes: int = 7, clips: int = 200, *, seed: int = 0) -> Evaluation:
    """No clip is of the last class, and none is predicted as the last but one."""
    rng = np.random.default_rng(seed)
    targets_N = rng.integers(0, classes - 1, clips)
    scores_NK = rng.normal(size=(clips, classes)) + 1.5 * np.eye(classes)[targets_N]
    scores_NK[:, classes - 2] -= 20
    probabilities_NK = np.exp(scores_NK) / np.exp(scores_NK).sum(1, keepdims=True)
    entries = tuple(
        Entry(f"r{n}", Path(f"r{n}"), 0, subject=("ann", "bob", None)[n % 3], session=None) for n in range(20)
    )
    recordings = RecordingSet(tuple("abcdefghij"[:classes]), (8, 8), entries)
    array = ClipArray(np.zeros((clips, 1, 2, 1, 1), np.uint8), targets_N, np.arange(clips) // 10, np.arange(clips), 0)
    return Evaluation(recordings, array, probabilities_NK)


def test_summary_has_the_numbers_of_scikit_learn() -> None:
    evaluation = random_evaluation()
    targets_N, predicted_N, labels = evaluation.clips.targets_N, evaluation.predicted_N, range(7)
    summary = evaluation.summary()
    columns = precision_recall_fscore_support(targets_N, predicted_N, labels=labels, zero_division=np.nan)
    got = [[row[key] for row in summary["per_class"]] for key in ("precision", "recall", "f1", "clips")]
    np.testing.assert_allclose(np.array(got, float), np.array(columns, float))
    assert summary["per_class"][5]["precision"] is None, "no clip is predicted as it"
    assert summary["per_class"][6]["recall"] is None, "no clip is of it"
    assert summary["macro_f1"] == pytest.approx(f1_score(targets_N, predicted_N, average="macro"))
    probabilities_NK = evaluation.probabilities_NK
    assert summary["nll"] == pytest.approx(log_loss(targets_N, probabilities_NK, labels=labels))
    assert summary["top5"] == pytest.approx(top_k_accuracy_score(targets_N, probabilities_NK, k=5, labels=labels))
    assert summary["brier"] == pytest.approx(brier_score_loss(targets_N, probabilities_NK, labels=labels))


def test_a_class_without_clips_or_predictions_is_not_in_the_macro_f1() -> None:
    measures = ClassMeasures.of(np.array([[3, 1, 0], [1, 5, 0], [0, 0, 0]]))
    assert measures.macro_f1 == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert np.isnan(measures.f1_K[2])


def test_top5_of_five_classes_is_not_a_measure() -> None:
    assert top_accuracy(np.eye(5), np.arange(5)) is None
    equal_NK = np.full((6, 6), 1 / 6)
    assert top_accuracy(equal_NK, np.arange(6)) == pytest.approx(5 / 6), "of equal ones the first five come first"


def test_calibration_error_equals_counting() -> None:
    evaluation = random_evaluation(seed=4)
    got = evaluation.reliability()
    error = 0.0
    for number in range(15):
        confidence_N = evaluation.probabilities_NK.max(1)
        own_N = (confidence_N > number / 15) & (confidence_N <= (number + 1) / 15)
        assert got.count_M[number] == own_N.sum()
        if own_N.any():
            assert got.confidence_M[number] == pytest.approx(confidence_N[own_N].mean())
            assert got.accuracy_M[number] == pytest.approx(evaluation.right_N[own_N].mean())
            error += abs(confidence_N[own_N].mean() - evaluation.right_N[own_N].mean()) * own_N.mean()
        else:
            assert np.isnan(got.accuracy_M[number])
    assert evaluation.summary()["ece"] == pytest.approx(error)
    assert got.document()["counts"] == got.count_M.tolist()


def test_confidence_on_an_edge_lies_in_the_bin_below_it() -> None:
    probabilities_NK = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.6, 0.4]])
    got = Reliability.of(probabilities_NK, np.array([0, 1, 0, 0]), bins=2)
    assert got.count_M.tolist() == [1, 3]
    assert got.accuracy_M.tolist() == [0, pytest.approx(2 / 3)]
    assert got.ece == pytest.approx(0.25 * 0.5 + 0.75 * (2.6 / 3 - 2 / 3))


def test_brier_score_of_certain_predictions() -> None:
    assert brier_score(np.eye(3), np.array([0, 1, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (5, 9), (990, 1000)])
def test_interval_of_independent_clips_is_that_of_scipy(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high))
    got = accuracy_interval(np.arange(count) < right, *[np.arange(count)] * 2)
    assert got is not None
    assert (got.low, got.high, got.method) == (*wilson(right, count), "wilson")


def test_clips_that_repeat_their_recording_make_the_interval_no_narrower() -> None:
    """Ten equal clips of each of 40 recordings tell as much as one of each."""
    right_R = np.arange(40) < 28
    got = accuracy_interval(np.repeat(right_R, 10), np.repeat(np.arange(40), 10), np.arange(400))
    assert got is not None
    assert (got.method, got.unit, got.count) == ("bootstrap", "recordings", 40)
    expected = np.random.default_rng(7).binomial(40, 0.7, 100_000) / 40
    np.testing.assert_allclose((got.low, got.high), np.quantile(expected, [0.025, 0.975]), atol=0.026)
    assert got.high - got.low > 2 * np.diff(wilson(280, 400))


def test_recordings_of_unlike_lengths_are_weighed_by_their_clips() -> None:
    right_N, recording_N = np.array([1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 1])
    got = accuracy_interval(right_N, recording_N, recording_N)
    assert got is not None
    # Both drawn: 4/5; twice the same: 1 or 0.
    assert (got.low, got.high) == (0.0, 1.0)
    assert accuracy_interval(right_N, recording_N, recording_N) == got, "the draws have a seed"


def test_all_right_is_not_certain() -> None:
    for right, expected in ((True, wilson(4, 4)), (False, wilson(0, 4))):
        got = accuracy_interval(np.full(12, right), np.arange(12) // 3, np.arange(12))
        assert got is not None
        assert (got.low, got.high, got.method) == (*expected, "wilson_units")


def test_parts_of_the_only_recording_are_what_an_interval_has() -> None:
    right_N, part_N = np.array([1, 1, 0, 1, 0, 0], bool), np.arange(6) // 2
    got = accuracy_interval(right_N, np.zeros(6, int), part_N)
    by_recording = accuracy_interval(right_N, part_N, part_N)
    assert got is not None
    assert by_recording is not None
    assert (got.low, got.high) == (by_recording.low, by_recording.high)
    assert (got.unit, got.count) == ("parts", 3)
    assert accuracy_interval(right_N, np.zeros(6, int), np.zeros(6, int)) is None


def test_takes_and_parts_of_a_file_are_one_recording_and_pictures_are_not() -> None:
    path = Path("a.h5")
    entries = [
        Entry("a", path, 0, span=(0, 10)), Entry("b", path, 0, span=(10, 20)), Entry("c", path, 0, take=2),
        Entry("d", Path("d.h5"), 0), Entry("e", Path("e.bin"), 0, picture=0), Entry("f", Path("e.bin"), 0, picture=1),
    ]  # fmt: skip
    assert recording_of_entries(entries).tolist() == [0, 0, 0, 1, 2, 3]


def test_people_are_told_apart_and_those_without_a_name_are_counted() -> None:
    evaluation = random_evaluation()
    summary = evaluation.summary()
    people = np.array(["ann", "bob", "?"])[evaluation.clips.entry_index_N % 3]
    assert [row["name"] for row in summary["per_subject"]] == ["ann", "bob", None]
    for row, name in zip(summary["per_subject"], ("ann", "bob", "?"), strict=True):
        own_N = people == name
        assert row["clips"] == own_N.sum()
        assert row["recordings"] == own_N.sum() / 10
        assert row["accuracy"] == pytest.approx(evaluation.right_N[own_N].mean())
        assert row["interval"]["low"] < row["accuracy"] < row["interval"]["high"]
    assert summary["per_session"] == []
