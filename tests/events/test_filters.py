"""Filters of events, against plain Python, and in chunks of any size."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.events import EVENT_DTYPE, open_recording
from stdl_events.events.filters import (
    crop,
    drop_background_activity,
    drop_pixels,
    find_hot_pixels,
    no_activity,
)
from stdl_events.events.stream import EventArray, empty_events

SIZE = (9, 7)


def draw_events(seed: int, count: int = 300, span_us: int = 3_000) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(0, span_us, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = rng.random(count) < 0.5
    return events


def in_chunks(events: EventArray, cuts: list[int]) -> Iterator[EventArray]:
    edges = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    for start, stop in pairwise(edges):
        yield events[start:stop]


def supported(events: EventArray, support_us: int) -> EventArray:
    """A literal transcription: a map of the latest event of every pixel."""
    last_us = np.full((SIZE[1], SIZE[0]), -(10**9))
    kept = []
    for t, x, y, p in events.tolist():
        around = [
            last_us[row, column]
            for row in range(max(0, y - 1), min(SIZE[1], y + 2))
            for column in range(max(0, x - 1), min(SIZE[0], x + 2))
            if (row, column) != (y, x)
        ]
        if max(around) >= t - support_us:
            kept.append((t, x, y, p))
        last_us[y, x] = t
    return np.array(kept, EVENT_DTYPE)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0, 5, 40, 500]), st.lists(st.integers(0, 10**6), max_size=5))
def test_background_activity_equals_the_plain_loop(seed: int, support_us: int, cuts: list[int]) -> None:
    events = draw_events(seed)
    kept, last_us_P = [], no_activity(SIZE)
    for chunk in in_chunks(events, cuts):
        passed, last_us_P = drop_background_activity(chunk, last_us_P, SIZE, support_us=support_us)
        kept.append(passed)
    np.testing.assert_array_equal(np.concatenate(kept), supported(events, support_us))


def test_background_activity_returns_what_it_remembers() -> None:
    events = draw_events(1)
    before = no_activity(SIZE)
    _, after = drop_background_activity(events, before, SIZE, support_us=10)
    assert (before == no_activity(SIZE)).all()
    assert (after != before).any()


def test_background_activity_of_a_real_camera(recordings_dir: Path) -> None:
    """Far more events of a turning object pass than of the same number of uniformly random events."""
    recording = open_recording(sorted((recordings_dir / "objects").glob("*.aedat"))[0])
    events = recording.read()[:100_000]
    size = recording.sensor_size
    kept, _ = drop_background_activity(events, no_activity(size), size, support_us=10_000)
    rng = np.random.default_rng(0)
    noise = events.copy()
    noise["x"], noise["y"] = rng.integers(0, size[0], len(events)), rng.integers(0, size[1], len(events))
    kept_noise, _ = drop_background_activity(noise, no_activity(size), size, support_us=10_000)
    assert len(kept) > 0.4 * len(events)
    assert len(kept_noise) < 0.25 * len(kept)


def test_crop_moves_the_origin() -> None:
    events = draw_events(2)
    cropped = crop(events, left=2, top=3, width=4, height=2)
    expected = [(t, x - 2, y - 3, p) for t, x, y, p in events.tolist() if 2 <= x < 6 and 3 <= y < 5]
    assert cropped.tolist() == expected
    outside = crop(events, left=-1, top=-1, width=3, height=3)
    assert outside.tolist() == [(t, x + 1, y + 1, p) for t, x, y, p in events.tolist() if x < 2 and y < 2]


def with_hot_pixel(events: EventArray, x: int, y: int, count: int) -> EventArray:
    hot = empty_events(count)
    hot["t"], hot["x"], hot["y"] = np.linspace(0, 2_999, count).astype(np.int64), x, y
    both = np.concatenate([events, hot])
    return both[np.argsort(both["t"], kind="stable")]


@pytest.mark.parametrize(("x", "y"), [(4, 3), (0, 0), (8, 6), (8, 2)])
def test_a_hot_pixel_is_found_in_the_middle_and_at_the_border(x: int, y: int) -> None:
    events = draw_events(5)
    noisy = with_hot_pixel(events, x, y, 200)
    mask_HW = find_hot_pixels(in_chunks(noisy, [10, 400]), SIZE)
    assert np.argwhere(mask_HW).tolist() == [[y, x]]
    cleaned = drop_pixels(noisy, mask_HW)
    assert cleaned.tolist() == [event for event in events.tolist() if event[1:3] != (x, y)]


def test_two_hot_neighbours_do_not_hide_each_other() -> None:
    noisy = with_hot_pixel(with_hot_pixel(draw_events(5), 4, 3, 200), 5, 3, 180)
    assert np.argwhere(find_hot_pixels([noisy], SIZE)).tolist() == [[3, 4], [3, 5]]


def test_busy_neighbourhoods_and_single_events_are_not_hot() -> None:
    events = draw_events(6, count=5)
    assert not find_hot_pixels([events], SIZE).any()
    busy = with_hot_pixel(events, 4, 3, 150)
    for dx, dy in ((1, 0), (0, 1), (1, 1), (-1, 0), (-1, -1), (0, -1)):
        busy = with_hot_pixel(busy, 4 + dx, 3 + dy, 100)
    assert not find_hot_pixels([busy], SIZE).any()
    assert not find_hot_pixels([], SIZE).any()


def hot(mask_HW: npt.NDArray[np.bool_]) -> Callable[[EventArray], EventArray]:
    return lambda events: drop_pixels(events, mask_HW)


FILTERS: dict[str, Callable[[EventArray], EventArray]] = {
    "crop": lambda events: crop(events, left=1, top=1, width=5, height=5),
    "drop_pixels": hot(np.eye(SIZE[1], SIZE[0], dtype=bool)),
    "drop_background_activity": lambda events: drop_background_activity(
        events, no_activity(SIZE), SIZE, support_us=100
    )[0],
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_the_streams_invariants(name: str) -> None:
    events = draw_events(7)
    events.flags.writeable = False
    filtered = FILTERS[name](events)
    assert filtered.dtype == EVENT_DTYPE
    assert 0 < len(filtered) <= len(events)
    assert (np.diff(filtered["t"]) >= 0).all()
    assert filtered["x"].max() < SIZE[0]
    assert filtered["y"].max() < SIZE[1]
    empty = FILTERS[name](empty_events())
    assert (empty.dtype, len(empty)) == (EVENT_DTYPE, 0)
