"""Mixes of two clips: where their events come from, and the share of the target."""

import numpy as np
import pytest

from stdl_events.frames.mix_registry import MIXES

T, H, W = 5, 12, 16
# Counts tell the clips apart; in a sum of both they would add up to 7.
ONE, OTHER = np.full((T, 2, H, W), 3, np.uint8), np.full((T, 2, H, W), 4, np.uint8)


@pytest.mark.parametrize("name", MIXES)
def test_shape_and_type_stay_and_a_seed_is_a_result(name: str) -> None:
    shares = []
    for seed in range(10):
        mixed, share = MIXES[name](ONE, OTHER, rng=np.random.default_rng(seed))
        again, same = MIXES[name](ONE, OTHER, rng=np.random.default_rng(seed))
        assert (mixed.shape, mixed.dtype, type(share)) == (ONE.shape, np.uint8, float)
        np.testing.assert_array_equal(mixed, again)
        assert share == same
        assert 0 <= share <= 1
        shares.append(share)
    assert (ONE == 3).all()
    assert (OTHER == 4).all()
    assert np.ptp(shares) > 0.3


@pytest.mark.parametrize("name", MIXES)
def test_a_clip_mixed_with_itself_has_its_own_events(name: str) -> None:
    clip = np.random.default_rng(0).integers(0, 5, (T, 2, H, W)).astype(np.uint8)
    mixed, _ = MIXES[name](clip, clip, rng=np.random.default_rng(1))
    if name == "mixup":
        assert (mixed[clip == 0] == 0).all()
        assert int(mixed.sum()) == pytest.approx(int(clip.sum()), rel=0.05)
    else:
        np.testing.assert_array_equal(mixed, clip)


def test_mixup_keeps_events_of_both_by_its_share() -> None:
    for seed in range(5):
        one, other = np.full((T, 2, 40, 50), 8, np.uint8), np.zeros((T, 2, 40, 50), np.uint8)
        mixed, share = MIXES["mixup"](one, other, rng=np.random.default_rng(seed))
        assert mixed.mean() == pytest.approx(8 * share, abs=0.1)
        mixed, share = MIXES["mixup"](other, one, rng=np.random.default_rng(seed))
        assert mixed.mean() == pytest.approx(8 * (1 - share), abs=0.1)
        assert mixed.max() <= 8
    capped, _ = MIXES["mixup"](one, one, rng=np.random.default_rng(0), cap=4)
    assert capped.max() == 4


def test_cutmix_exchanges_one_rectangle_in_all_windows() -> None:
    for seed in range(20):
        mixed, share = MIXES["cutmix"](ONE, OTHER, rng=np.random.default_rng(seed))
        assert (mixed == mixed[0, 0]).all()
        other_HW = mixed[0, 0] == 4
        assert share == pytest.approx(1 - other_HW.mean())
        np.testing.assert_array_equal(other_HW, np.outer(other_HW.any(1), other_HW.any(0)), "a rectangle")
        assert (mixed[:, :, ~other_HW] == 3).all()


def test_eventmix_shares_the_target_by_events() -> None:
    one, other = ONE.copy(), OTHER.copy()
    one[:, :, :, W // 2 :] = 0
    for seed in range(20):
        mixed, share = MIXES["eventmix"](one, other, rng=np.random.default_rng(seed))
        from_one, from_other = int(mixed[mixed == 3].sum()), int(mixed[mixed == 4].sum())
        assert share == pytest.approx(from_one / (from_one + from_other))
        assert from_one + from_other == mixed.sum(), "an event is of one of both"
        assert (mixed[:, 0] == mixed[:, 1]).all(), "both polarities alike"
    empty = np.zeros_like(ONE)
    mixed, share = MIXES["eventmix"](empty, empty, rng=np.random.default_rng(0))
    assert not mixed.any()
    assert 0 <= share <= 1


def test_eventmix_blobs_have_an_extent_in_time() -> None:
    differ = 0
    for seed in range(10):
        mixed, _ = MIXES["eventmix"](ONE, OTHER, rng=np.random.default_rng(seed))
        differ += bool((mixed != mixed[0]).any())
    assert differ >= 8
