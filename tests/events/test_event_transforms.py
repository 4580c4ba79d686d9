"""Transforms of events: invariants, reproducibility by seed, and composition with Tonic's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.events import EVENT_DTYPE, EventArray, write_recording
from stdl_events.events.filters import crop, drop_background_activity, no_activity
from stdl_events.events.stream import empty_events
from stdl_events.events.transforms import (
    drop_area,
    drop_random,
    drop_time,
    event_drop,
    random_crop,
    random_roll,
    roll,
    sometimes,
    without_background,
    without_hot_pixels,
)
from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.frames.transforms import random_shift
from stdl_events.recordings import Entry, EventDataset, RecordingSet

SIZE = (20, 12)
EPOCH_US = 1_700_000_000_000_000


def draw(count: int = 4_000, seed: int = 0, t_first_us: int = EPOCH_US) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = t_first_us + np.sort(rng.integers(0, 1_000_000, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = rng.random(count) < 0.5
    return events


RANDOM: dict[str, Callable[..., EventArray]] = {
    "drop_random": partial(drop_random, share=0.3),
    "drop_time": partial(drop_time, share=0.3),
    "drop_area": partial(drop_area, sensor_size=SIZE, share=0.3),
    "event_drop": partial(event_drop, sensor_size=SIZE),
    "random_roll": partial(random_roll, sensor_size=SIZE, reach_px=3),
    "random_crop": partial(random_crop, sensor_size=SIZE, width=9, height=7),
}
DROPS = ("drop_random", "drop_time", "drop_area", "event_drop")


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("count", [0, 1, 4_000])
def test_invariants_seeds_and_the_input(name: str, count: int) -> None:
    events = draw(count)
    before = events.copy()
    events.flags.writeable = False
    runs = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        runs.append([RANDOM[name](events, rng=rng) for _ in range(6)])
    np.testing.assert_array_equal(events, before)
    for one, other in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == EVENT_DTYPE
        assert (np.diff(one["t"]) >= 0).all()
        assert (one["x"] < SIZE[0]).all()
        assert (one["y"] < SIZE[1]).all()
    if count > 1:
        assert any(not np.array_equal(one, other) for one, other in zip(runs[0], runs[2], strict=True))


@pytest.mark.parametrize("name", DROPS)
def test_what_is_kept_is_kept_in_order(name: str) -> None:
    events = draw()
    events["t"] = np.arange(len(events))  # all events are distinct
    for seed in range(8):
        kept = RANDOM[name](events, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(kept, events[kept["t"]])


@settings(max_examples=40)
@given(st.integers(0, 200), st.floats(0, 1), st.integers(0, 5))
def test_a_share_of_the_events(count: int, share: float, seed: int) -> None:
    kept = drop_random(draw(count), share=share, rng=np.random.default_rng(seed))
    assert len(kept) == count - round(share * count)


@settings(max_examples=40)
@given(st.floats(0, 1), st.integers(0, 50), st.sampled_from([0, EPOCH_US]))
def test_a_stretch_of_time_wherever_the_clock_begins(share: float, seed: int, t_first_us: int) -> None:
    events = draw(2_000, t_first_us=t_first_us)
    kept = drop_time(events, share=share, rng=np.random.default_rng(seed))
    gone = events[~np.isin(events["t"], kept["t"])]
    duration_us = int(events["t"][-1] - events["t"][0]) + 1
    if len(gone):
        assert gone["t"][-1] - gone["t"][0] < share * duration_us + 1
        between = (events["t"] >= gone["t"][0]) & (events["t"] <= gone["t"][-1])
        assert between.sum() == len(gone), "one stretch"
    assert len(gone) == pytest.approx(share * len(events), abs=120)


def test_an_area_of_the_sensor() -> None:
    events = draw(20_000)
    for seed in range(10):
        kept = drop_area(events, sensor_size=SIZE, share=0.25, rng=np.random.default_rng(seed))
        seen_HW = np.zeros(SIZE[::-1], bool)
        seen_HW[kept["y"], kept["x"]] = True
        rows, columns = np.flatnonzero((~seen_HW).any(axis=1)), np.flatnonzero((~seen_HW).any(axis=0))
        assert (len(rows), len(columns), (~seen_HW).sum()) == (6, 10, 60)


def test_event_drop_never_drops_everything() -> None:
    events = draw(1)
    for seed in range(60):
        assert len(event_drop(events, sensor_size=SIZE, rng=np.random.default_rng(seed))) == 1


@settings(max_examples=30)
@given(st.integers(-30, 30), st.integers(-30, 30))
def test_rolled_events_make_rolled_frames(dx: int, dy: int) -> None:
    events = draw(500)
    spec = FrameSpec(kind="recording", steps=3, by="count", sensor_size=SIZE)
    rolled = recording_frames(roll(events, sensor_size=SIZE, dx=dx, dy=dy), spec)
    np.testing.assert_array_equal(rolled, np.roll(recording_frames(events, spec), (dy, dx), axis=(2, 3)))


def test_random_crop_is_a_crop_somewhere() -> None:
    events, places = draw(300), set()
    rng = np.random.default_rng(0)
    for _ in range(60):
        part = random_crop(events, sensor_size=SIZE, width=17, height=10, rng=rng)
        places |= {
            (left, top)
            for left in range(4)
            for top in range(3)
            if np.array_equal(part, crop(events, left=left, top=top, width=17, height=10))
        }
    assert len(places) == 12


def test_filters_as_transforms() -> None:
    events = draw(3_000)
    noisy = events.copy()
    noisy["x"][::2], noisy["y"][::2] = 5, 7
    cleaned = without_hot_pixels(noisy, sensor_size=SIZE)
    np.testing.assert_array_equal(cleaned, noisy[(noisy["x"] != 5) | (noisy["y"] != 7)])
    quiet = without_background(events, sensor_size=SIZE, support_us=500)
    expected, _ = drop_background_activity(events, no_activity(SIZE), SIZE, support_us=500)
    np.testing.assert_array_equal(quiet, expected)
    assert 0 < len(quiet) < len(events)


def test_sometimes_is_as_often_as_it_says() -> None:
    events, rng = draw(10), np.random.default_rng(0)
    maybe = sometimes(partial(crop, left=0, top=0, width=SIZE[0] - 1, height=SIZE[1]), probability=0.3, rng=rng)
    cropped = sum(not np.array_equal(maybe(events), events) for _ in range(500))
    assert 110 < cropped < 190


def test_tonics_and_ours_compose_in_a_dataset(tmp_path: Path) -> None:
    """Tonic's transforms of events, ours, Tonic's ToFrame, and ours of frames, in one `Compose`."""
    transforms = pytest.importorskip("tonic.transforms", reason="tonic is not installed")
    write_recording(tmp_path / "a.h5", draw(), SIZE)
    recordings = RecordingSet(("only",), SIZE, (Entry("a", tmp_path / "a.h5", 0),))

    def composed(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        steps = [
            partial(without_background, sensor_size=SIZE, support_us=2_000),
            transforms.RefractoryPeriod(delta=50),
            partial(event_drop, sensor_size=SIZE, rng=rng),
            transforms.RandomFlipLR(sensor_size=(*SIZE, 2), p=1.0),
            sometimes(partial(crop, left=0, top=0, width=SIZE[0] - 1, height=SIZE[1]), probability=1.0, rng=rng),
            transforms.ToFrame(sensor_size=(*SIZE, 2), n_event_bins=6),
            partial(random_shift, reach_px=2, rng=rng),
        ]
        frames, label = EventDataset(recordings, transform=transforms.Compose(steps))[0]
        assert label == 0
        return np.asarray(frames)

    frames_TCHW = composed(1)
    assert frames_TCHW.shape == (6, 2, SIZE[1], SIZE[0])
    assert frames_TCHW.sum() > 0
    np.testing.assert_array_equal(frames_TCHW, composed(1))
    assert any(not np.array_equal(frames_TCHW, composed(seed)) for seed in (2, 3))
