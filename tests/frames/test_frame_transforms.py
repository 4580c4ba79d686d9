"""Transforms of clips: one draw for all steps, reproducible, against literal loops and against torch and Pillow."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import FrameSpecError
from stdl_events.frames.resize import legacy_la, resize
from stdl_events.frames.transforms import (
    crop,
    cutout,
    drop_area,
    drop_random,
    drop_time,
    event_drop,
    flip_x,
    random_crop,
    random_flip_x,
    random_roll,
    random_shift,
    random_zoom,
    roll,
    shift,
)

T, H, W = 5, 9, 12


def draw_clip(seed: int = 0, shape: tuple[int, ...] = (T, 2, H, W), top: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


def still_clip() -> np.ndarray:
    """The same frame in every step, with distinct counts."""
    frame = np.arange(2 * H * W, dtype=np.uint16).reshape(2, H, W) + 1
    return np.repeat(frame[None], T, axis=0)


SPATIAL: dict[str, Callable[..., np.ndarray]] = {
    "random_crop": partial(random_crop, width=7, height=5),
    "random_zoom": partial(random_zoom, least=0.4),
    "random_shift": partial(random_shift, reach_px=3),
    "random_roll": partial(random_roll, reach_px=3),
    "random_flip_x": random_flip_x,
    "drop_area": partial(drop_area, share=0.25),
    "cutout": partial(cutout, side_px=4),
}
RANDOM = SPATIAL | {
    "drop_random": partial(drop_random, share=0.5),
    "drop_time": partial(drop_time, share=0.4),
    "event_drop": event_drop,
}


@pytest.mark.parametrize("name", SPATIAL)
def test_one_draw_serves_all_steps_and_draws_differ(name: str) -> None:
    rng, seen = np.random.default_rng(1), set()
    for _ in range(12):
        changed = SPATIAL[name](still_clip(), rng=rng)
        assert all(np.array_equal(frame, changed[0]) for frame in changed)
        seen.add(changed.tobytes())
    assert len(seen) > 1


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_says_everything_and_the_input_stays(name: str) -> None:
    clip = draw_clip()
    before = clip.copy()
    runs = []
    for seed in (3, 3, 4):
        rng = np.random.default_rng(seed)
        runs.append([RANDOM[name](clip, rng=rng) for _ in range(8)])
    np.testing.assert_array_equal(clip, before)
    for one, other in zip(runs[0], runs[1], strict=True):
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(one, other) for one, other in zip(runs[0], runs[2], strict=True))


@pytest.mark.parametrize("name", RANDOM)
def test_binary_frames_stay_binary(name: str) -> None:
    clip, rng = draw_clip(top=2), np.random.default_rng(0)
    for _ in range(10):
        assert set(np.unique(RANDOM[name](clip, rng=rng))) <= {0, 1}


@settings(max_examples=60)
@given(st.integers(-14, 14), st.integers(-11, 11))
def test_shift_and_roll_move_every_pixel(dx: int, dy: int) -> None:
    clip = draw_clip(top=200)
    shifted, rolled = shift(clip, dx=dx, dy=dy), roll(clip, dx=dx, dy=dy)
    for y in range(H):
        for x in range(W):
            inside = 0 <= y - dy < H and 0 <= x - dx < W
            expected = clip[..., y - dy, x - dx] if inside else np.zeros((T, 2), np.uint8)
            np.testing.assert_array_equal(shifted[..., y, x], expected)
            np.testing.assert_array_equal(rolled[..., y, x], clip[..., (y - dy) % H, (x - dx) % W])


def test_flip_and_crop_are_what_they_say() -> None:
    clip = draw_clip(top=200)
    np.testing.assert_array_equal(flip_x(clip)[..., 2], clip[..., W - 3])
    np.testing.assert_array_equal(crop(clip, left=3, top=1, width=4, height=2), clip[:, :, 1:3, 3:7])
    for wrong in ({"left": -1}, {"left": 9}, {"height": 9}, {"width": 0}):
        with pytest.raises(FrameSpecError, match=r"crop: got .* expected a part of a frame of 12x9; correct its size"):
            crop(clip, **({"left": 3, "top": 1, "width": 4, "height": 2} | wrong))
    with pytest.raises(FrameSpecError, match="crop: got 13x9"):
        random_crop(clip, width=13, height=9, rng=np.random.default_rng(0))


def test_random_shifts_reach_every_place_and_no_further() -> None:
    dot = np.zeros((1, 1, 9, 9), np.uint8)
    dot[0, 0, 4, 4] = 1
    for transform in (random_shift, random_roll):
        rng, places = np.random.default_rng(0), set()
        for _ in range(300):
            moved = transform(dot, reach_px=2, rng=rng)
            places.add((int(moved.argmax()) // 9 - 4, int(moved.argmax()) % 9 - 4))
        assert places == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_dropped_shares() -> None:
    clip, rng = np.full((10, 2, 40, 50), 20, np.uint8), np.random.default_rng(0)
    assert drop_random(clip, share=0.3, rng=rng).mean() == pytest.approx(14, rel=0.01)
    assert drop_random(clip, share=0.0, rng=rng).mean() == 20
    emptied = drop_time(clip, share=0.4, rng=rng)
    empty_steps = np.flatnonzero(emptied.sum(axis=(1, 2, 3)) == 0)
    assert empty_steps.tolist() == list(range(empty_steps[0], empty_steps[0] + 4)), "one stretch"
    gone = drop_area(clip, share=0.25, rng=rng) == 0
    rows, columns = np.flatnonzero(gone[0, 0].any(axis=1)), np.flatnonzero(gone[0, 0].any(axis=0))
    assert (len(rows), len(columns), gone[0, 0].sum()) == (20, 25, 500), "a rectangle of the frame's proportions"
    assert (gone == gone[0, 0]).all()


def test_cutout_is_a_square_around_any_pixel() -> None:
    """Every centre is drawn; the square is cut off at the edges."""
    clip, rng, seen = np.ones((2, 1, 5, 6), np.uint8), np.random.default_rng(0), set()
    expected = set()
    for row in range(5):
        for column in range(6):
            rows, columns = np.mgrid[:5, :6]
            inside = (rows >= row - 2) & (rows < row + 2) & (columns >= column - 2) & (columns < column + 2)
            expected.add((~inside).astype(np.uint8).tobytes())
    for _ in range(600):
        kept = cutout(clip, side_px=4, rng=rng)
        assert (kept == kept[0, 0]).all()
        seen.add(kept[0, 0].tobytes())
    assert seen == expected


def test_event_drop_takes_each_way_as_often() -> None:
    clip, rng, seen = np.full((10, 2, 20, 20), 5, np.uint8), np.random.default_rng(0), []
    for _ in range(400):
        kept = event_drop(clip, rng=rng)
        if np.array_equal(kept, clip):
            seen.append("nothing")
        elif (kept[:, 0, 0, 0] == 0).any() and np.isin(kept.sum(axis=(1, 2, 3)), [0, 4000]).all():
            seen.append("time")
        elif np.isin(kept, [0, 5]).all():
            seen.append("area")
        else:
            seen.append("random")
    counts = {way: seen.count(way) for way in ("nothing", "time", "area", "random")}
    assert all(60 < count < 140 for count in counts.values()), counts


SIZES = [(48, 48), (7, 20), (128, 128), (150, 131), (1, 1)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("method", ["area", "bilinear", "nearest"])
def test_resize_is_torchs(width: int, height: int, method: str) -> None:
    torch = pytest.importorskip("torch")
    clip = draw_clip(shape=(3, 2, 100, 128), top=50)
    mode: dict[str, Any] = {
        "area": {"mode": "area"},
        "bilinear": {"mode": "bilinear", "antialias": True, "align_corners": False},
        "nearest": {"mode": "nearest-exact"},
    }[method]
    theirs = torch.nn.functional.interpolate(torch.from_numpy(clip).double(), size=(height, width), **mode)
    ours = resize(clip, width=width, height=height, method=method)  # type: ignore[arg-type]
    assert ours.dtype == (np.uint8 if method == "nearest" else np.float32)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)


def test_area_keeps_the_mean_where_sides_divide() -> None:
    clip = draw_clip(shape=(2, 2, 12, 24), top=9)
    assert resize(clip, width=6, height=4, method="area").mean() == pytest.approx(clip.mean())


def pillows(clip: np.ndarray, width: int, height: int) -> np.ndarray:
    """Frames resized by Pillow, as in torchvision's ToPILImage, Resize and ToTensor."""
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    out = []
    for frame_CHW in clip:
        as_bytes = (frame_CHW.astype(np.float64) * 255).astype(np.int64).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(as_bytes.transpose(1, 2, 0)))
        assert image.mode == "LA"
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        out.append(np.asarray(resized).transpose(2, 0, 1).astype(np.float32) / 255)
    return np.stack(out)


@pytest.mark.parametrize(("width", "height"), [(48, 48), (30, 61), (128, 100), (140, 150)])
@pytest.mark.parametrize("busy", [0.02, 0.3, 1.0])
def test_legacy_la_is_pillows_bit_for_bit(width: int, height: int, busy: float) -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 300, (2, 2, 100, 128)) * (rng.random((2, 2, 100, 128)) < busy)
    ours = legacy_la(clip.astype(np.uint16), width=width, height=height)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, pillows(clip, width, height))


def test_legacy_la_does_what_is_wrong_with_it() -> None:
    clip = np.zeros((1, 2, 8, 8), np.uint8)
    clip[0, 0] = 1
    assert not legacy_la(clip, width=4, height=4).any(), "darker events vanish where there are no brighter ones"
    clip[0, 1] = 1
    np.testing.assert_array_equal(legacy_la(clip, width=4, height=4), 1.0)
    clip[0] = 2
    np.testing.assert_allclose(legacy_la(clip, width=4, height=4), 254 / 255, atol=1.01 / 255)
    with pytest.raises(FrameSpecError, match=r"legacy_la: got frames of shape \(5, 1, 9, 12\); expected \[\.\.\., 2"):
        legacy_la(draw_clip(shape=(T, 1, H, W)), width=4, height=4)


def test_resize_refuses_what_makes_no_sense() -> None:
    with pytest.raises(FrameSpecError, match="resize: got 0x4; expected a width and a height of at least 1"):
        resize(draw_clip(), width=0, height=4)
    with pytest.raises(FrameSpecError, match="resize: method: got 'cubic'; expected area, bilinear or nearest"):
        resize(draw_clip(), width=4, height=4, method="cubic")  # type: ignore[arg-type]
