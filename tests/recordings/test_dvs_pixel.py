"""The pixel model against one pixel at a time in plain Python, and its noise."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.events.stream import EVENT_DTYPE
from stdl_events.recordings.simulated.dvs_pixel import (
    PixelModel,
    background_activity,
    make_sensor,
    simulate,
    sort_events,
)

Pictures = list[tuple[int, npt.NDArray[np.float32]]]


def one_pixel(levels: list[tuple[int, float]], on: float, off: float, refractory_us: int) -> list[tuple[int, bool]]:
    """Return (t_us, p) of one pixel, a literal transcription of the model."""
    events: list[tuple[int, bool]] = []
    (t0_us, before), *rest = levels
    memory, last_us = before, -math.inf
    for t1_us, now in rest:
        while now - memory >= on or memory - now >= off:
            rising = now - memory >= on
            memory += on if rising else -off
            at_us = t0_us + max(1, min(t1_us - t0_us, math.ceil((memory - before) / (now - before) * (t1_us - t0_us))))
            if at_us - last_us >= refractory_us:
                events.append((at_us, rising))
                last_us = at_us
        t0_us, before = t1_us, now
    return events


def film(seed: int, *, size: tuple[int, int], count: int, step_us: int, swing: float) -> Pictures:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(swing * rng.standard_normal((count, size[1], size[0])), axis=0).astype(np.float32)
    times = np.cumsum(rng.integers(1, 2 * step_us, count))
    return [(int(t_us), picture) for t_us, picture in zip(times, walk, strict=True)]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0, 300, 5_000]), st.sampled_from([0.05, 0.3, 1.5]))
def test_every_pixel_equals_the_scalar_loop(seed: int, refractory_us: int, swing: float) -> None:
    size = (5, 3)
    rng = np.random.default_rng(seed)
    model = make_sensor(size, rng, mismatch=0.3, refractory_us=refractory_us)
    pictures = film(seed, size=size, count=12, step_us=2_000, swing=swing)
    events = simulate(model, pictures, noise_hz=0, rng=rng)
    expected = []
    for pixel in range(size[0] * size[1]):
        levels = [(t_us, float(picture.ravel()[pixel])) for t_us, picture in pictures]
        thresholds = float(model.on_threshold_P[pixel]), float(model.off_threshold_P[pixel])
        own = one_pixel(levels, *thresholds, refractory_us)
        expected += [(t_us, pixel % size[0], pixel // size[0], p) for t_us, p in own]
    assert events.tolist() == sort_events(np.array(expected, EVENT_DTYPE)).tolist()


def plain_sensor(refractory_us: int = 0) -> PixelModel:
    one = np.ones(1)
    return PixelModel((1, 1), 0.5 * one, 0.25 * one, one, refractory_us)


def level(value: float) -> npt.NDArray[np.float64]:
    return np.full((1, 1), value)


def test_crossings_are_dated_between_pictures() -> None:
    """From 0 to 1.25 in 1000 us with ON thresholds of 0.5: at 0.5 and 1.0. Then to 0 with OFF thresholds of 0.25."""
    pictures = [(0, level(0)), (1000, level(1.25)), (2000, level(0))]
    events = simulate(plain_sensor(), pictures, noise_hz=0, rng=np.random.default_rng(0))
    assert events["t"].tolist() == [400, 800, 1400, 1600, 1800, 2000]
    assert events["p"].tolist() == [True, True, False, False, False, False]


def test_events_within_the_refractory_period_are_lost() -> None:
    pictures = [(0, level(0)), (1000, level(2))]
    times = [
        simulate(plain_sensor(refractory_us), pictures, noise_hz=0, rng=np.random.default_rng(0))["t"].tolist()
        for refractory_us in (250, 251, 10_000)
    ]
    assert times == [[250, 500, 750, 1000], [250, 750], [250]]


def test_an_even_picture_is_silent_but_for_the_noise() -> None:
    pictures = [(t_us, np.zeros((4, 5))) for t_us in range(0, 2_000_001, 500_000)]
    sensor = make_sensor((5, 4), np.random.default_rng(0))
    assert len(simulate(sensor, pictures, noise_hz=0, rng=np.random.default_rng(1))) == 0
    assert len(simulate(sensor, pictures, noise_hz=20, rng=np.random.default_rng(1))) > 0


def test_the_noise_has_its_rate_and_both_polarities() -> None:
    sensor = make_sensor((40, 30), np.random.default_rng(0), noise_spread=0.5)
    noise = background_activity(sensor, 5.0, 1_000_000, 11_000_000, np.random.default_rng(2))
    expected = 5.0 * 1200 * 10
    assert abs(len(noise) - expected) < 5 * math.sqrt(expected)
    assert abs(noise["p"].mean() - 0.5) < 5 * 0.5 / math.sqrt(expected)
    assert noise["t"].min() > 1_000_000
    assert noise["t"].max() <= 11_000_000
    assert (np.diff(noise["t"]) >= 0).all()
    per_pixel = np.bincount(noise["y"].astype(int) * 40 + noise["x"], minlength=1200)
    assert np.corrcoef(per_pixel, sensor.noise_share_P)[0, 1] > 0.9


def test_pixels_differ_by_the_mismatch() -> None:
    sensor = make_sensor((60, 50), np.random.default_rng(3), threshold=0.2, mismatch=0.1)
    for threshold_P in (sensor.on_threshold_P, sensor.off_threshold_P):
        assert threshold_P.mean() == pytest.approx(0.2, rel=0.02)
        assert threshold_P.std() == pytest.approx(0.02, rel=0.1)
    assert np.corrcoef(sensor.on_threshold_P, sensor.off_threshold_P)[0, 1] == pytest.approx(0, abs=0.1)
    assert sensor.noise_share_P.mean() == pytest.approx(1)
