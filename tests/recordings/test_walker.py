"""The simulated figure: its geometry, its drawing, and distinct people."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest

from stdl_events.recordings.simulated.render import render
from stdl_events.recordings.simulated.walker import GAIT_RANGES, Figure, Gait, Take, draw_gaits, pose

TAKE = Take(
    speed=1.0, heading=1, azimuth=0.0, start_phase=0.0, height_px=100.0, x_px=60.0, ground_px=110.0, drift_px_per_s=0.0,
    shade=(0.3, 0.4, 0.5, 0.6),
)  # fmt: skip
GAIT = draw_gaits(4, np.random.default_rng(0))[1]
T_S = np.arange(0, 3, 0.01)


def lengths(figure: Figure) -> npt.NDArray[np.floating]:
    return np.linalg.norm(figure.end_TS2 - figure.start_TS2, axis=-1)


def feet(figure: Figure) -> npt.NDArray[np.floating]:
    """Row of the lowest joint at each time."""
    return np.maximum(figure.end_TS2[..., 1], figure.start_TS2[..., 1]).max(axis=1)


def test_limbs_keep_their_length() -> None:
    lengths_TS = lengths(pose(GAIT, TAKE, T_S))
    np.testing.assert_allclose(lengths_TS, np.broadcast_to(lengths_TS[0], lengths_TS.shape), rtol=1e-9)


def test_the_lower_foot_stands_on_the_ground() -> None:
    still = dataclasses.replace(GAIT, bounce=0.0)
    lowest_T = feet(pose(still, TAKE, T_S))
    assert (lowest_T < TAKE.ground_px).all()
    assert (lowest_T > TAKE.ground_px - 6).all(), "six hundredths of the height: sole and softness"


def test_the_gait_repeats_with_the_cadence() -> None:
    cycle_s = 1 / GAIT.cadence_hz
    now, later = pose(GAIT, TAKE, T_S), pose(GAIT, TAKE, T_S + cycle_s)
    np.testing.assert_allclose(now.end_TS2, later.end_TS2, atol=1e-9)
    half = pose(GAIT, TAKE, T_S + cycle_s / 2)
    assert np.abs(now.end_TS2 - half.end_TS2).max() > 5


def test_a_fast_take_has_a_higher_cadence_and_a_longer_stride() -> None:
    fast = dataclasses.replace(TAKE, speed=1.21)
    cycle_s = 1 / (1.1 * GAIT.cadence_hz)
    np.testing.assert_allclose(pose(GAIT, fast, T_S).end_TS2, pose(GAIT, fast, T_S + cycle_s).end_TS2, atol=1e-9)
    near_ankle = 8
    reach = [np.ptp(pose(GAIT, take, T_S).end_TS2[:, near_ankle, 0]) for take in (TAKE, fast)]
    assert reach[1] > 1.03 * reach[0]


def test_left_is_the_mirror_of_right_for_a_symmetric_gait() -> None:
    """With legs half a cycle apart, the figure that walks left is the one that walks right, half a cycle later."""
    even = dataclasses.replace(GAIT, leg_asymmetry=0.0)
    right = pose(even, TAKE, T_S + 0.5 / even.cadence_hz)
    left = pose(even, dataclasses.replace(TAKE, heading=-1), T_S)
    np.testing.assert_allclose(left.end_TS2[..., 0], 2 * TAKE.x_px - right.end_TS2[..., 0], atol=1e-9)
    np.testing.assert_allclose(left.end_TS2[..., 1], right.end_TS2[..., 1], atol=1e-9)


def test_azimuth_narrows_the_picture_and_parts_the_limbs() -> None:
    turned = pose(GAIT, dataclasses.replace(TAKE, azimuth=math.radians(60)), T_S)
    straight = pose(GAIT, TAKE, T_S)
    trunk = 5  # the first capsule of the trunk, after the far arm and leg
    lean = [figure.end_TS2[:, trunk, 0] - figure.start_TS2[:, trunk, 0] for figure in (turned, straight)]
    np.testing.assert_allclose(lean[0], 0.5 * lean[1], atol=1e-9)
    np.testing.assert_allclose(turned.end_TS2[..., 1], straight.end_TS2[..., 1], atol=1e-9)
    hips = turned.start_TS2[:, [2, 7], 0]
    np.testing.assert_allclose(hips[:, 1] - hips[:, 0], 2 * 6 * math.sin(math.radians(60)), atol=1e-9)


def test_people_keep_apart_in_every_parameter() -> None:
    people = 8
    gaits = draw_gaits(people, np.random.default_rng(11))
    for field in dataclasses.fields(Gait):
        low, high = GAIT_RANGES[field.name]
        values = np.sort([getattr(gait, field.name) for gait in gaits])
        assert low <= values[0]
        assert values[-1] <= high
        assert np.diff(values).min() >= 0.5 * (high - low) / people - 1e-12
    assert gaits == draw_gaits(people, np.random.default_rng(11))
    assert gaits != draw_gaits(people, np.random.default_rng(12))


def figure_of(start: tuple[float, float], end: tuple[float, float], radius: float, shade: float) -> Figure:
    return Figure(
        np.array([[start]]), np.array([[end]]), np.array([radius]), np.array([radius]), np.array([shade])
    )  # fmt: skip


def test_a_capsule_covers_its_area() -> None:
    picture_HW = render(figure_of((20.3, 25.7), (60.1, 40.2), 5.0, 0.25), (80, 70))[0]
    length = math.hypot(60.1 - 20.3, 40.2 - 25.7)
    covered = ((1 - picture_HW) / 0.75).sum()
    assert covered == pytest.approx(2 * 5 * length + math.pi * 25, rel=0.005)
    assert picture_HW.min() == pytest.approx(0.25)
    assert (picture_HW[:15] == 1).all()


def test_a_tapered_capsule_is_drawn_pixel_by_pixel() -> None:
    start, end, radii, shade = np.array([8.2, 7.4]), np.array([21.5, 15.1]), (4.0, 1.5), 0.4
    figure = Figure(start[None, None], end[None, None], np.array(radii[:1]), np.array(radii[1:]), np.array([shade]))
    picture_HW = render(figure, (30, 22))[0]
    for y in range(22):
        for x in range(30):
            point = np.array([x + 0.5, y + 0.5])
            along = min(1.0, max(0.0, float((point - start) @ (end - start) / ((end - start) @ (end - start)))))
            distance = float(np.linalg.norm(point - start - along * (end - start)))
            cover = min(1.0, max(0.0, radii[0] + (radii[1] - radii[0]) * along - distance + 0.5))
            assert picture_HW[y, x] == pytest.approx(1 + cover * (shade - 1), abs=1e-4), (x, y)


def test_later_capsules_hide_earlier_ones_and_the_picture_ends_at_its_border() -> None:
    figure = Figure(
        np.array([[[5.0, 5.0], [5.0, 5.0]]]),
        np.array([[[5.0, 5.0], [5.0, 5.0]]]),
        np.array([4.0, 2.0]),
        np.array([4.0, 2.0]),
        np.array([0.2, 0.7]),
    )
    picture_HW = render(figure, (10, 10))[0]
    assert picture_HW[5, 5] == pytest.approx(0.7)
    assert picture_HW[5, 2] == pytest.approx(0.2)
    outside = render(figure_of((-20, -20), (-10, -15), 3, 0.2), (10, 10))[0]
    assert (outside == 1).all()
    half = render(figure_of((0.0, 5.0), (0.0, 5.0), 3, 0.0), (10, 10))[0]
    assert (1 - half).sum() == pytest.approx(math.pi * 9 / 2, rel=0.05)


def test_pictures_do_not_depend_on_their_block() -> None:
    """Only the part of the picture that a block's figure can reach is drawn."""
    whole = render(pose(GAIT, TAKE, T_S[:60]), (120, 120))
    blocks = [render(pose(GAIT, TAKE, T_S[start : start + 7]), (120, 120)) for start in range(0, 60, 7)]
    np.testing.assert_array_equal(whole, np.concatenate(blocks)[:60])
