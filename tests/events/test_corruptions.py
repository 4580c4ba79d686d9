"""Corruptions keep the stream's invariants and do what their level says; thresholds against a pixel by pixel loop."""

import numpy as np
import pytest

from stdl_events.errors import RecipeError
from stdl_events.events.corruption_registry import CORRUPTIONS, parse_corruptions
from stdl_events.events.corruptions import HOT_PIXEL_HZ, Scene
from stdl_events.events.stream import EVENT_DTYPE, EventArray, empty_events

SIZE = (24, 16)
START_US, STOP_US = 5_000, 2_005_000
SECONDS = (STOP_US - START_US) / 1e6


def some_events(count: int = 4_000, seed: int = 0) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(START_US, STOP_US, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = rng.random(count) < 0.5
    return events


def scene(seed: int = 0, camera: int = 0) -> Scene:
    return Scene(SIZE, START_US, STOP_US, np.random.default_rng(camera), np.random.default_rng((1, seed)))


def at(kind: str, level: float, events: EventArray, seed: int = 0, camera: int = 0) -> EventArray:
    return CORRUPTIONS[kind](events, level, scene(seed, camera))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_invariants_determinism_and_the_level_that_changes_nothing(kind: str) -> None:
    events = some_events()
    before = events.copy()
    corruption = CORRUPTIONS[kind]
    assert np.array_equal(at(kind, corruption.identity, events), before)
    assert not len(at(kind, corruption.levels[-1], empty_events()))
    assert corruption.identity not in corruption.levels
    for level in corruption.levels:
        found = at(kind, corruption.check(level), events)
        assert np.array_equal(events, before)
        assert found.dtype == EVENT_DTYPE
        assert (np.diff(found["t"]) >= 0).all()
        assert found["t"].min() >= START_US
        assert found["x"].max() < SIZE[0]
        assert found["y"].max() < SIZE[1]
        if corruption.keeps_time:
            assert found["t"].max() < STOP_US
        assert np.array_equal(found, at(kind, level, events))
    assert len(found) != len(events) or not np.array_equal(found, events)
    # A generator of another seed draws otherwise, where anything is drawn.
    assert kind in ("speed", "contrast", "shift") or not np.array_equal(at(kind, level, events, seed=1), found)


def counted(events: EventArray) -> dict[tuple[int, int, int, bool], int]:
    values, counts = np.unique(events, return_counts=True)
    return dict(zip(map(tuple, values.tolist()), counts.tolist(), strict=True))


def test_dropped_events_are_the_share_and_the_rest_is_as_before() -> None:
    events = some_events()
    found = at("drop", 70, events)
    assert len(found) == round(0.3 * len(events))
    had = counted(events)
    assert all(count <= had[event] for event, count in counted(found).items())


@pytest.mark.parametrize("kind", ["noise", "hot_pixels"])
def test_added_events_are_poisson_in_number_and_the_others_are_as_before(kind: str) -> None:
    events = some_events(500)
    level = {"noise": 5.0, "hot_pixels": 2.0}[kind]
    pixels = SIZE[0] * SIZE[1]
    expected = {"noise": level * pixels * SECONDS, "hot_pixels": round(level / 100 * pixels) * HOT_PIXEL_HZ * SECONDS}
    added = [len(at(kind, level, events, seed)) - len(events) for seed in range(20)]
    deviation = expected[kind] ** 0.5
    assert abs(np.mean(added) - expected[kind]) < 5 * deviation / 20**0.5
    assert 0.4 * deviation < np.std(added) < 2 * deviation
    found = counted(at(kind, level, events))
    assert all(found[event] >= count for event, count in counted(events).items())


def test_hot_pixels_are_those_of_the_camera() -> None:
    def hot(seed: int, camera: int) -> set[tuple[int, int]]:
        found = at("hot_pixels", 2, some_events(1), seed, camera)
        return set(zip(found["x"].tolist(), found["y"].tolist(), strict=True))

    its = hot(0, 0)
    assert len(its) in (8, 9)  # 2 % of 384, and the one event of the recording
    assert hot(1, 0) == its
    assert hot(0, 1) != its


def test_jitter_has_the_standard_deviation_and_keeps_the_pixels() -> None:
    events = some_events(1)
    events["t"] = 1_000_000
    many = np.repeat(events, 20_000)
    moved = at("jitter", 5_000, many)["t"] - 1_000_000
    assert moved.std() == pytest.approx(5_000, rel=0.03)
    assert abs(moved.mean()) < 150
    plain = some_events()
    changed = at("jitter", 20_000, plain)
    for name in ("x", "y", "p"):
        assert np.array_equal(np.sort(plain[name]), np.sort(changed[name]))


def test_shift_moves_everything_one_way_and_drops_what_leaves() -> None:
    events = some_events()
    seen = set()
    for seed in range(20):
        found = at("shift", 3, events, seed)
        ways = {"right": (3, 0), "left": (-3, 0), "down": (0, 3), "up": (0, -3)}
        for way, (dx, dy) in ways.items():
            x, y = events["x"].astype(int) + dx, events["y"].astype(int) + dy
            stays = (x >= 0) & (x < SIZE[0]) & (y >= 0) & (y < SIZE[1])
            if np.array_equal(np.stack([found["x"], found["y"]]), np.stack([x[stays], y[stays]])):
                assert np.array_equal(found["t"], events["t"][stays])
                seen.add(way)
                break
        else:
            pytest.fail("moved in no one way")
    assert seen == {"left", "right", "up", "down"}
    assert not len(at("shift", 24, events, 3)) or not len(at("shift", 24, events, 4))


def test_speed_divides_the_times() -> None:
    events = some_events()
    found = at("speed", 2, events)
    assert (found["t"] - START_US).tolist() == [(t - START_US) // 2 for t in events["t"].tolist()]
    assert np.array_equal(found[["x", "y", "p"]], events[["x", "y", "p"]])


@pytest.mark.parametrize("threshold", [2, 2.5, 4])
def test_contrast_keeps_the_events_of_a_higher_threshold(threshold: float) -> None:
    events = some_events(6_000)
    events["x"] //= 6  # many events a pixel
    level: dict[tuple[int, int], float] = {}
    kept = []
    for event in events:
        pixel = int(event["x"]), int(event["y"])
        level[pixel] = level.get(pixel, 0.0) + (1 if event["p"] else -1)
        if abs(level[pixel]) >= threshold:
            level[pixel] -= threshold * np.sign(level[pixel])
            kept.append(event)
    found = at("contrast", threshold, events)
    assert 0 < len(kept) < len(events) / threshold
    assert np.array_equal(found, np.array(kept, EVENT_DTYPE))


def test_text_names_kinds_and_levels() -> None:
    assert parse_corruptions("all") == {name: CORRUPTIONS[name].levels for name in CORRUPTIONS.names}
    assert parse_corruptions("drop=10+99.5, shift") == {"drop": (10, 99.5), "shift": CORRUPTIONS["shift"].levels}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dorp", "did you mean 'drop'"),
        ("drop,drop=3", "a second time"),
        ("drop=much", "the level 'much'"),
        ("drop=101", "101 % of events; expected 0 to 100"),
        ("speed=0", "expected 0.01 to 100"),
    ],
)
def test_wrong_kinds_and_levels_are_errors(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_corruptions(text)
