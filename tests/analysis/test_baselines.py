"""The ridge on summed events: against a plain solve, blind to time, and chosen without the held-out clips."""

from pathlib import Path

import numpy as np
import pytest

from stdl_events.analysis.baselines import _predict, chance, ridge_on_summed_events
from stdl_events.errors import DatasetError
from stdl_events.frames import FrameSpec
from stdl_events.recordings import ClipArray, by_time, load_clips, read_folder


def clips_of_patterns(seed: int, *, temporal: bool, count: int = 60) -> ClipArray:
    """Two classes that differ in the positions of events, or only in their times."""
    rng = np.random.default_rng(seed)
    targets_N = np.arange(count) % 2
    rates = np.full((count, 4, 2, 6, 5), 2.0)
    for index, target in enumerate(targets_N):
        if temporal:
            rates[index, 2 * target : 2 * target + 2] *= 3
        else:
            rates[index, :, :, 3 * target : 3 * target + 3] *= 2
    frames = rng.poisson(rates).astype(np.uint8)
    return ClipArray(frames, targets_N, np.arange(count) // 4, np.zeros(count, np.int64), 0)


def test_it_sees_where_events_are_and_not_when() -> None:
    places = [clips_of_patterns(seed, temporal=False) for seed in (0, 1)]
    times = [clips_of_patterns(seed, temporal=True) for seed in (0, 1)]
    assert ridge_on_summed_events(*places) > 0.9
    assert 0.2 < ridge_on_summed_events(*times) < 0.8


def test_the_held_out_labels_choose_nothing() -> None:
    """With the labels exchanged, every correct prediction is wrong: the classifier does not depend on them."""
    train, test = clips_of_patterns(0, temporal=False), clips_of_patterns(1, temporal=False)
    other = ClipArray(test.frames_NTCHW, 1 - test.targets_N, test.entry_index_N, test.t_start_us_N, 0)
    assert ridge_on_summed_events(train, other) == pytest.approx(1 - ridge_on_summed_events(train, test))


@pytest.mark.parametrize(("clips", "features"), [(30, 70), (70, 30)])
def test_both_forms_equal_the_plain_solution(clips: int, features: int) -> None:
    rng = np.random.default_rng(3)
    fit_NF, test_NF = rng.random((clips, features)), rng.random((200, features))
    targets_NK = np.eye(4)[rng.integers(0, 4, clips)]
    mean_F, scale = fit_NF.mean(axis=0), 1 / np.sqrt(fit_NF.var(axis=0).mean())
    centred_NF = (fit_NF - mean_F) * scale
    for penalty, predicted_N in zip((0.5, 50.0), _predict(fit_NF, targets_NK, test_NF, (0.5, 50.0)), strict=True):
        gram_FF = centred_NF.T @ centred_NF + penalty * np.eye(features)
        weights_FK = np.linalg.solve(gram_FF, centred_NF.T @ (targets_NK - targets_NK.mean(axis=0)))
        scores_NK = (test_NF - mean_F) * scale @ weights_FK + targets_NK.mean(axis=0)
        np.testing.assert_array_equal(predicted_N, scores_NK.argmax(axis=1))


def test_chance_names_the_most_frequent_class() -> None:
    clips = clips_of_patterns(0, temporal=False, count=8)
    uneven = ClipArray(
        clips.frames_NTCHW, np.array([0, 0, 0, 1, 2, 2, 0, 0]), clips.entry_index_N, clips.t_start_us_N, 0
    )
    assert chance(uneven) == 5 / 8


def test_one_training_recording_is_refused() -> None:
    clips = clips_of_patterns(0, temporal=False, count=4)
    with pytest.raises(DatasetError, match="got 1 training recordings and 4 held-out clips; expected at least 2"):
        ridge_on_summed_events(clips, clips)


def test_a_silent_camera_is_no_division_by_zero() -> None:
    clips = clips_of_patterns(0, temporal=False, count=16)
    silent = ClipArray(np.zeros_like(clips.frames_NTCHW), clips.targets_N, clips.entry_index_N, clips.t_start_us_N, 0)
    assert ridge_on_summed_events(silent, silent) == 0.5


def test_real_objects(recordings_dir: Path) -> None:
    """Seven objects on a turntable, split in time: still pictures separate most of them."""
    split = by_time(read_folder(recordings_dir / "objects"), held_out=0.3, gap_us=200_000)
    spec = FrameSpec(kind="stream", steps=10, dt_us=20_000, sensor_size=(128, 128), downscale=4, cap=255)
    train, test = load_clips(split.train, spec), load_clips(split.test, spec)
    assert 0.85 < ridge_on_summed_events(train, test) <= 1.0
    assert chance(test) < 0.25
