"""Transforms of counts of events: what they keep, what they do on average, and their identity."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import FrameSpecError
from stdl_events.frames.event_transforms import (
    flip_polarity,
    random_centre,
    random_flip_polarity,
    random_noise,
    random_rate,
    random_scale,
    random_time_warp,
    warped,
)

T, H, W = 6, 9, 12
RANDOM: dict[str, Callable[..., np.ndarray]] = {
    "random_rate": partial(random_rate, least=0.3, most=2.5),
    "random_flip_polarity": random_flip_polarity,
    "random_time_warp": partial(random_time_warp, reach=0.8),
    "random_centre": partial(random_centre, reach_px=3),
    "random_scale": partial(random_scale, least=0.6, most=1.6),
}


def draw_clip(seed: int = 0, top: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, (T, 2, H, W)).astype(np.uint8)


@pytest.mark.parametrize("name", RANDOM)
def test_shape_and_type_stay_and_a_seed_is_a_result(name: str) -> None:
    clip = draw_clip()
    before, results = clip.copy(), set()
    for seed in range(8):
        changed = RANDOM[name](clip, rng=np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (clip.shape, clip.dtype)
        np.testing.assert_array_equal(changed, RANDOM[name](clip, rng=np.random.default_rng(seed)))
        results.add(changed.tobytes())
    assert len(results) > 1
    np.testing.assert_array_equal(clip, before)
    empty = np.zeros_like(clip)
    np.testing.assert_array_equal(RANDOM[name](empty, rng=np.random.default_rng(0)), empty)


@pytest.mark.parametrize("factor", [0.25, 1.0, 2.0, 2.75])
def test_a_rate_is_the_expected_count(factor: float) -> None:
    clip = np.array([0, 1, 3, 8] * 5000, np.uint8).reshape(5, 2, 40, 50)
    changed = random_rate(clip, least=factor, most=factor, rng=np.random.default_rng(0))
    for count in (0, 1, 3, 8):
        own = changed[clip == count].astype(float)
        assert own.mean() == pytest.approx(factor * count, abs=0.1)
        share = factor % 1
        assert own.var() == pytest.approx(count * share * (1 - share), abs=0.15), "binomial in the rest"
    if factor % 1 == 0:
        np.testing.assert_array_equal(changed, clip * int(factor))


def test_rates_are_uniform_in_their_logarithm_and_between_their_ends() -> None:
    clip = np.full((1, 2, 50, 50), 20, np.uint8)
    rates = [random_rate(clip, least=0.5, most=2.0, rng=np.random.default_rng(seed)).mean() / 20 for seed in range(200)]
    assert min(rates) > 0.49
    assert max(rates) < 2.01
    assert 70 < sum(rate < 1 for rate in rates) < 130


@pytest.mark.parametrize("cap", [1, 3])
def test_counts_saturate_at_the_cap(cap: int) -> None:
    clip = draw_clip(top=cap + 1)
    for change in (partial(random_rate, least=3.0, most=3.0), partial(random_time_warp, reach=0.9)):
        changed = change(clip, rng=np.random.default_rng(1), cap=cap)
        assert changed.max() == cap
    np.testing.assert_array_equal(
        random_rate(clip, least=3.0, most=3.0, rng=np.random.default_rng(1), cap=cap), np.minimum(3 * clip, cap)
    )


@pytest.mark.parametrize("factor", [0.55, 0.8, 1.0, 1.25, 2.0])
def test_a_scale_moves_pixels_away_from_the_middle_or_towards_it(factor: float) -> None:
    """Pixel by pixel: shrunk, each count goes to one place; enlarged, each place takes from one pixel."""
    clip, expected = draw_clip(), np.zeros((T, 2, H, W), int)

    def at(pixel: int, size: int, scale: float) -> int:
        return int((pixel + 0.5 - size / 2) * scale + size / 2)

    for y, x in np.ndindex(H, W):
        if factor < 1:
            expected[:, :, at(y, H, factor), at(x, W, factor)] += clip[:, :, y, x]
        else:
            expected[:, :, y, x] = clip[:, :, at(y, H, 1 / factor), at(x, W, 1 / factor)]
    for cap in (2, 255):
        changed = random_scale(clip, least=factor, most=factor, rng=np.random.default_rng(0), cap=cap)
        np.testing.assert_array_equal(changed, np.minimum(expected, cap))
    if factor <= 1:
        assert expected.sum() == clip.sum(), "no event is lost"


def test_scales_are_between_their_ends_and_on_both_sides() -> None:
    clip = np.zeros((1, 2, 64, 64), np.uint8)
    clip[..., 16:48, 16:48] = 1
    sides = [
        np.sqrt((random_scale(clip, least=0.5, most=2.0, rng=np.random.default_rng(seed), cap=1) > 0).mean() * 4)
        for seed in range(100)
    ]
    assert min(sides) > 0.48
    assert max(sides) < 2.02
    assert 30 < sum(side < 1 for side in sides) < 70


def test_noise_is_poisson_and_alike_in_a_whole_clip() -> None:
    clip, means = np.full((4, 2, 50, 50), 3, np.uint8), []
    for seed in range(60):
        added = random_noise(clip, most=0.5, rng=np.random.default_rng(seed)) - clip.astype(int)
        assert added.min() >= 0
        assert added.var() == pytest.approx(added.mean(), abs=0.03)
        np.testing.assert_allclose(added.mean((2, 3)), added.mean(), atol=0.06)
        means.append(added.mean())
    assert np.mean(means) == pytest.approx(0.25, abs=0.06), "uniform between 0 and the greatest"
    assert max(means) < 0.52
    assert random_noise(clip, most=9.0, rng=np.random.default_rng(1), cap=4).max() == 4
    np.testing.assert_array_equal(random_noise(clip, most=0.0, rng=np.random.default_rng(0)), clip)


def test_wrong_rates_and_channels_are_told() -> None:
    with pytest.raises(FrameSpecError, match="random_scale: got least=2 and most=1; expected least at most as large"):
        random_scale(draw_clip(), least=2, most=1, rng=np.random.default_rng(0))
    with pytest.raises(FrameSpecError, match="random_rate: got least=2 and most=1; expected least at most as large"):
        random_rate(draw_clip(), least=2, most=1, rng=np.random.default_rng(0))
    with pytest.raises(FrameSpecError, match="flip_polarity: got 3 channels; expected 2"):
        flip_polarity(np.zeros((1, 3, 4, 4), np.uint8))


def test_polarities_are_exchanged_in_half_of_the_calls() -> None:
    clip = draw_clip()
    expected = np.stack([clip[:, 1], clip[:, 0]], axis=1)
    np.testing.assert_array_equal(flip_polarity(clip), expected)
    rng = np.random.default_rng(0)
    flipped = [(random_flip_polarity(clip, rng=rng) == expected).all() for _ in range(200)]
    assert 70 < sum(flipped) < 130
    assert not (random_flip_polarity(clip, rng=rng, probability=0.0) == expected).all()


@settings(max_examples=40)
@given(st.integers(0, 1000), st.floats(0, 0.99), st.integers(1, 9))
def test_a_time_warp_moves_each_event_in_time_alone(seed: int, reach: float, steps: int) -> None:
    rng = np.random.default_rng(seed)
    clip = rng.integers(0, 5, (steps, 2, 4, 5)).astype(np.uint8)
    changed = random_time_warp(clip, reach=reach, rng=rng)
    np.testing.assert_array_equal(changed.sum(0, dtype=int), clip.sum(0, dtype=int))


def test_a_warp_without_reach_changes_nothing() -> None:
    np.testing.assert_array_equal(random_time_warp(draw_clip(), reach=0.0, rng=np.random.default_rng(3)), draw_clip())


def test_events_follow_the_curve() -> None:
    """The mean number in each window is that of many times, uniform in their window, warped one by one."""
    reach, seed, per_window = 0.9, 5, np.array([400, 0, 100, 0, 0, 250])
    clip = np.zeros((T, 2, 5, 10), np.uint8)
    clip += per_window.astype(np.uint16).reshape(T, 1, 1, 1).astype(np.uint8)
    first, second = np.random.default_rng(seed).uniform(-reach / 2, reach / 2, 2)
    times = np.concatenate([(np.arange(50_000) + 0.5) / 50_000 / T + window / T for window in range(T)])
    moved = np.minimum((warped(times, first, second) * T).astype(int), T - 1)
    weights = np.repeat(clip[:, 0, 0, 0] / 50_000, 50_000)
    expected = np.bincount(moved, weights, minlength=T)
    counts = random_time_warp(clip, reach=reach, rng=np.random.default_rng(seed)).mean((1, 2, 3))
    # The curve within a window is a straight line here: at six windows, within 0.12 of its slope.
    np.testing.assert_allclose(counts, expected, atol=0.04 * clip.sum(0)[0, 0, 0])
    assert np.abs(expected - clip[:, 0, 0, 0]).max() > 20, "it moves much more than that"


@pytest.mark.parametrize(("first", "second"), [(0.49, 0.49), (-0.49, 0.49), (0.3, -0.6), (0.0, 0.0)])
def test_the_curve_rises_and_keeps_its_ends(first: float, second: float) -> None:
    curve = warped(np.linspace(0, 1, 1000), first, second)
    assert (np.diff(curve) > 0).all()
    assert curve[[0, -1]] == pytest.approx([0, 1])
    slopes = np.diff(curve) * 999
    assert abs(slopes - 1).max() <= abs(first) + abs(second) + 1e-9


@pytest.mark.parametrize(("x", "y"), [(1, 1), (6, 4), (11, 8)])
def test_the_middle_of_the_events_comes_to_the_middle(x: int, y: int) -> None:
    clip = np.zeros((T, 2, H, W), np.uint8)
    clip[0, 0, y, x] = clip[3, 1, y, x] = 40
    clip[1, 0, 0, 0] = 9  # noise does not move a median
    changed = random_centre(clip, reach_px=0, rng=np.random.default_rng(0))
    assert changed[0, 0, H // 2, W // 2] == changed[3, 1, H // 2, W // 2] == 40
    places = set()
    for seed in range(60):
        changed = random_centre(clip, reach_px=2, rng=np.random.default_rng(seed))
        (row,), (column,) = np.nonzero(changed[0, 0] == 40)
        assert changed[3, 1, row, column] == 40, "all windows alike"
        places.add((int(row) - H // 2, int(column) - W // 2))
    assert {place[0] for place in places} == {place[1] for place in places} == {-2, -1, 0, 1, 2}
