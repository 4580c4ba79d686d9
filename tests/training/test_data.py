"""The order of clips and their augmentation are functions of seed, epoch and batch."""

from typing import Any

import numpy as np
import pytest

from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import ClipArray
from stdl_events.training.data import (
    augment,
    balanced_order,
    batch_of,
    epoch_batches,
    ordered_batches,
    warn_of_few_events,
)
from stdl_events.training.settings import AugmentSettings


def draw_frames(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, (3, 5, 2, 6, 7), dtype=np.uint8)


@pytest.mark.parametrize(("clips", "batch_size"), [(33, 32), (1, 8), (40, 8), (41, 8)])
def test_an_epoch_sees_every_clip_once_in_batches_of_nearly_equal_size(clips: int, batch_size: int) -> None:
    batches = epoch_batches(clips, batch_size, seed=0, epoch=3)
    assert sorted(np.concatenate(batches)) == list(range(clips))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == -(-clips // batch_size)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {
        (seed, epoch): np.concatenate(epoch_batches(50, 8, seed=seed, epoch=epoch)).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[1, 1] == np.concatenate(epoch_batches(50, 8, seed=1, epoch=1)).tolist()


def test_evaluation_sees_clips_in_order() -> None:
    assert [batch.tolist() for batch in ordered_batches(5, 2)] == [[0, 1], [2, 3], [4]]


def test_a_batch_has_time_first() -> None:
    frames_NTCHW = draw_frames()
    clips = ClipArray(frames_NTCHW, np.arange(3), np.arange(3), np.zeros(3, np.int64), 0)
    frames_TBCHW, targets_B = batch_of(clips, np.array([2, 0]))
    assert frames_TBCHW.shape == (5, 2, 2, 6, 7)
    assert np.array_equal(frames_TBCHW[4, 0], frames_NTCHW[2, 4])
    assert targets_B.tolist() == [2, 0]


def test_frames_that_hold_hardly_any_event_are_said() -> None:
    frames_NTCHW = draw_frames()
    clips = ClipArray(frames_NTCHW, np.arange(3), np.arange(3), np.zeros(3, np.int64), 0)
    warn_of_few_events(clips, seed=0)
    frames_NTCHW[:] = 0
    frames_NTCHW[:, :, 0, 0, 0] = 1
    with pytest.warns(
        RecordingWarning, match=r"train on hold 1 events on average; check frames\.filters, frames\.dt_us"
    ):
        warn_of_few_events(clips, seed=0)


def test_augmentation_off_changes_nothing_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    frames = draw_frames()
    assert augment(frames, AugmentSettings(), rng) is frames
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_every_clip_is_one_shift_of_itself_in_all_its_frames() -> None:
    frames_TBCHW = draw_frames()
    before = frames_TBCHW.copy()
    shifted = augment(frames_TBCHW, AugmentSettings(shift_px=2), np.random.default_rng(1))
    assert np.array_equal(frames_TBCHW, before)
    assert shifted.dtype == np.uint8
    padded = np.pad(frames_TBCHW, [(0, 0)] * 3 + [(2, 2)] * 2)
    found = []
    for clip in range(5):
        matches = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(padded[:, clip, :, top : top + 6, left : left + 7], shifted[:, clip])
        ]
        assert len(matches) == 1
        found += matches
    assert len(set(found)) > 1


def test_flip_mirrors_about_half_of_the_clips() -> None:
    frames_TBCHW = np.repeat(draw_frames(), 40, axis=1)
    flipped = augment(frames_TBCHW, AugmentSettings(flip=True), np.random.default_rng(2))
    mirrored_B = [np.array_equal(flipped[:, clip], frames_TBCHW[:, clip, :, :, ::-1]) for clip in range(200)]
    same_B = [np.array_equal(flipped[:, clip], frames_TBCHW[:, clip]) for clip in range(200)]
    assert all(mirrored != same for mirrored, same in zip(mirrored_B, same_B, strict=True))
    assert 60 < sum(mirrored_B) < 140


@pytest.mark.parametrize(
    "changes", [{"roll_px": 2}, {"zoom": 0.5}, {"shift_px": 2, "roll_px": 1, "zoom": 0.3, "flip": True}]
)
def test_every_step_of_a_clip_changes_alike(changes: dict[str, Any]) -> None:
    frame = np.arange(2 * 6 * 7, dtype=np.uint8).reshape(2, 6, 7) + 1
    frames_TBCHW = np.broadcast_to(frame, (4, 20, 2, 6, 7)).copy()
    changed = augment(frames_TBCHW, AugmentSettings(**changes), np.random.default_rng(3))
    assert (changed == changed[0]).all()
    assert len({clip.tobytes() for clip in changed[0]}) > 5, "every clip by its own draw"
    assert (frames_TBCHW == frame).all()
    again = augment(frames_TBCHW, AugmentSettings(**changes), np.random.default_rng(3))
    np.testing.assert_array_equal(changed, again)


def test_event_drop_drops_and_never_adds() -> None:
    frames_TBCHW = np.repeat(draw_frames(), 20, axis=1)
    changed = augment(frames_TBCHW, AugmentSettings(event_drop=True), np.random.default_rng(4))
    assert (changed <= frames_TBCHW).all()
    same_B = [np.array_equal(changed[:, clip], frames_TBCHW[:, clip]) for clip in range(100)]
    assert 10 < sum(same_B) < 45, "about a quarter is left as it is"


def test_a_balanced_epoch_has_equally_many_of_each_class() -> None:
    """Classes of 20, 2 and 11 clips: 11 of each, those of the second 5 or 6 times, those of the others once at most."""
    targets_N = np.repeat(np.array([0, 2, 1]), [20, 2, 11])
    orders = [balanced_order(targets_N, seed=3, epoch=epoch) for epoch in range(20)]
    for order in orders:
        assert len(order) == 33
        np.testing.assert_array_equal(np.bincount(targets_N[order]), [11, 11, 11])
        times_N = np.bincount(order, minlength=33)
        assert set(times_N[:20]) == {0, 1}
        assert sorted(times_N[20:22]) == [5, 6]
        assert set(times_N[22:]) == {1}
    assert set(np.concatenate(orders)) == set(range(33)), "no clip is always left out"
    np.testing.assert_array_equal(orders[0], balanced_order(targets_N, seed=3, epoch=0))
    assert (orders[0] != balanced_order(targets_N, seed=4, epoch=0)).any()


def test_batches_are_balanced_if_labels_are_given() -> None:
    targets_N = np.repeat(np.array([0, 1]), [50, 5])
    batches = epoch_batches(55, 20, seed=1, epoch=2, balance=targets_N)
    assert [len(batch) for batch in batches] == [19, 18, 18]
    np.testing.assert_array_equal(np.concatenate(batches), balanced_order(targets_N, seed=1, epoch=2))
    assert sorted(np.bincount(targets_N[np.concatenate(batches)])) == [27, 28]


def test_a_balanced_epoch_of_equal_classes_has_each_clip_once() -> None:
    order = balanced_order(np.tile(np.arange(4), 5), seed=0, epoch=0)
    np.testing.assert_array_equal(np.sort(order), np.arange(20))


def test_clips_that_classes_do_not_share_evenly_go_to_random_ones() -> None:
    targets_N = np.repeat(np.arange(3), [3, 1, 1])
    counts = {tuple(np.bincount(targets_N[balanced_order(targets_N, seed=seed, epoch=0)])) for seed in range(20)}
    assert counts == {(2, 2, 1), (2, 1, 2), (1, 2, 2)}
