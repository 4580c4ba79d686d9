"""Geometry of events against numpy's rotations, flips, slices and sums of pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import FrameSpecError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import filtered
from stdl_events.events.geometry import Geometry
from stdl_events.events.stream import EventArray, empty_events

WIDTH, HEIGHT = 7, 5


def random_events(size: tuple[int, int] = (WIDTH, HEIGHT), count: int = 400, seed: int = 0) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.arange(count)
    events["x"], events["y"] = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    events["p"] = rng.integers(0, 2, count)
    return events


def picture(events: EventArray, size: tuple[int, int]) -> np.ndarray:
    """Events per polarity and pixel, [C, H, W]."""
    counts_CHW = np.zeros((2, size[1], size[0]), np.int64)
    np.add.at(counts_CHW, (events["p"].astype(int), events["y"], events["x"]), 1)
    return counts_CHW


def cells(side: int, target: int) -> list[list[int]]:
    """The pixels of each target pixel, by the definition x * W // w."""
    return [[x for x in range(side) if x * target // side == cell] for cell in range(target)]


def reference(counts_CHW: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The steps one after another, on a picture."""
    counts_CHW = np.rot90(counts_CHW, -geometry.rotate // 90, axes=(1, 2))
    if geometry.flip != "none":
        counts_CHW = np.flip(counts_CHW, axis=2 if geometry.flip == "horizontal" else 1)
    if geometry.crop is not None:
        x, y, width, height = geometry.crop
        counts_CHW = counts_CHW[:, y : y + height, x : x + width]
    if geometry.center_crop is not None:
        width, height = geometry.center_crop
        y, x = (counts_CHW.shape[1] - height) // 2, (counts_CHW.shape[2] - width) // 2
        counts_CHW = counts_CHW[:, y : y + height, x : x + width]
    if geometry.scale is not None:
        for axis, target in ((1, geometry.scale[1]), (2, geometry.scale[0])):
            groups = cells(counts_CHW.shape[axis], target)
            if geometry.scale_by == "pick":
                groups = [[group[(len(group) - 1) // 2]] for group in groups]
            counts_CHW = np.stack([counts_CHW.take(group, axis).sum(axis) for group in groups], axis)
    return counts_CHW


@st.composite
def geometries(draw) -> Geometry:
    chosen = {"rotate": draw(st.sampled_from([0, 90, 180, 270]))}
    chosen["flip"] = draw(st.sampled_from(["none", "horizontal", "vertical"]))
    width, height = (WIDTH, HEIGHT) if chosen["rotate"] in (0, 180) else (HEIGHT, WIDTH)
    window = draw(st.sampled_from([None, "crop", "center_crop"]))
    if window is not None:
        inner = draw(st.integers(1, width)), draw(st.integers(1, height))
        corner = draw(st.integers(0, width - inner[0])), draw(st.integers(0, height - inner[1]))
        chosen[window] = (*corner, *inner) if window == "crop" else inner
        width, height = inner
    if draw(st.booleans()):
        chosen["scale"] = draw(st.integers(1, width)), draw(st.integers(1, height))
        chosen["scale_by"] = draw(st.sampled_from(["area", "pick"]))
    return Geometry(**chosen)


@settings(max_examples=300)
@given(geometries())
def test_events_move_as_pixels_do(geometry: Geometry) -> None:
    events = random_events()
    before = events.copy()
    moved = geometry.start((WIDTH, HEIGHT))(events)
    expected_CHW = reference(picture(events, (WIDTH, HEIGHT)), geometry)
    assert geometry.size((WIDTH, HEIGHT)) == expected_CHW.shape[:0:-1]
    np.testing.assert_array_equal(picture(moved, geometry.size((WIDTH, HEIGHT))), expected_CHW)
    assert (np.diff(moved["t"]) > 0).all(), "the order of the events stays"
    np.testing.assert_array_equal(events, before)
    if geometry.keeps_all:
        assert len(moved) == len(events)
    assert len(geometry.start((WIDTH, HEIGHT))(empty_events(0))) == 0


def test_clockwise_as_seen() -> None:
    """The left upper corner of a picture that is turned clockwise becomes its right upper corner."""
    corner = random_events(count=1)
    corner["x"], corner["y"] = 0, 0
    found = {rotate: Geometry(rotate=rotate).start((WIDTH, HEIGHT))(corner)[0] for rotate in (90, 180, 270)}
    assert {rotate: (int(event["x"]), int(event["y"])) for rotate, event in found.items()} == {
        90: (HEIGHT - 1, 0), 180: (WIDTH - 1, HEIGHT - 1), 270: (0, WIDTH - 1),
    }  # fmt: skip


def test_whole_cells_are_sums_and_picks() -> None:
    size = (8, 6)
    events = random_events(size)
    counts_CHW = picture(events, size)
    summed = Geometry(scale=(4, 3)).start(size)(events)
    np.testing.assert_array_equal(picture(summed, (4, 3)), counts_CHW.reshape(2, 3, 2, 4, 2).sum(axis=(2, 4)))
    picked = Geometry(scale=(4, 3), scale_by="pick").start(size)(events)
    np.testing.assert_array_equal(picture(picked, (4, 3)), counts_CHW[:, ::2, ::2])


def test_settings_may_be_text() -> None:
    text = {"rotate": "90", "flip": "vertical", "crop": "1, 0,3x4", "scale": "2x2", "scale_by": "pick"}
    geometry = Geometry.parse(text)
    assert geometry == Geometry(rotate=90, flip="vertical", crop=(1, 0, 3, 4), scale=(2, 2), scale_by="pick")
    assert Geometry.parse(dict(geometry.words)) == geometry
    assert Geometry().words == []
    assert not Geometry(crop=None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"rotate": "45"}, "rotate: got 45; expected 0, 90, 180 or 270"),
        ({"flip": "up"}, "flip: got 'up'; expected 'none', 'horizontal' or 'vertical'"),
        ({"crop": "3x4"}, "crop: got '3x4'; expected x,y,width x height, such as 40,0,260x260"),
        ({"scale": "half"}, "scale: got 'half'; expected width x height, such as 128x96"),
        ({"scale": "0x4"}, "scale.0: got 0; expected greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, str], text: str) -> None:
    with pytest.raises(FrameSpecError) as caught:
        Geometry.parse(given)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("geometry", "text"),
    [
        (Geometry(crop=(5, 0, 3, 4)), "crop: got 3x4 pixels from 5,0; expected a window inside the 7x5 pixels"),
        (Geometry(rotate=90, crop=(0, 0, 7, 5)), "expected a window inside the 5x7 pixels of the turned picture"),
        (Geometry(center_crop=(8, 5)), "center_crop: got 8x5 pixels from"),
        (Geometry(crop=(0, 0, 1, 1), center_crop=(1, 1)), "crop: got crop and center_crop; expected one of them"),
        (Geometry(scale=(8, 5)), "scale: got 8x5; expected at most 7x5"),
        (Geometry(center_crop=(4, 4), scale=(4, 5)), "scale: got 4x5; expected at most 4x4"),
        (Geometry(scale_by="pick"), "scale_by: got pick; expected a scale as well"),
    ],
)
def test_what_does_not_fit_the_sensor_is_named(geometry: Geometry, text: str) -> None:
    with pytest.raises(FrameSpecError) as caught:
        geometry.size((WIDTH, HEIGHT))
    assert text in str(caught.value)


def test_a_recording_after_filters_and_geometry(tmp_path) -> None:
    """Hot pixels are pixels of the sensor, not of the turned picture."""
    path, events = tmp_path / "r.h5", random_events()
    write_recording(path, events, (WIDTH, HEIGHT))
    geometry = Geometry(rotate=270, crop=(0, 1, 5, 4))
    changed = filtered(open_recording(path), FilterSpec(hot_pixels=((6, 0), (2, 3))), geometry)
    cold = events[~(((events["x"] == 6) & (events["y"] == 0)) | ((events["x"] == 2) & (events["y"] == 3)))]
    assert changed.sensor_size == (5, 4)
    expected_CHW = np.rot90(picture(cold, (WIDTH, HEIGHT)), axes=(1, 2))[:, 1:5]
    np.testing.assert_array_equal(picture(changed.read(), (5, 4)), expected_CHW)
    assert changed.summary.events == expected_CHW.sum()
