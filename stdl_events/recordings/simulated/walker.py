"""A simulated walking person, seen from the side: the person (`Gait`), the take (`Take`), the position of the limbs.

The figure is twelve tapered capsules (round-ended sticks). Lengths are shares of the body height; angles are radians
from the downward vertical, positive forwards; phases are shares of one gait cycle (two steps). Before projection x
points where the person walks to and y points down, with the origin between the hips.

A person is recognisable by the relative motion of the limbs: cadence, the phase of the arms against the legs and of one
leg against the other, the share of the cycle spent in stance, knee timing, bounce. Body sizes, clothes, distance and
position in the picture vary from take to take and overlap between people.

Shape letters: T poses, S capsules of the figure, 2 the coordinates (x, y).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Range = tuple[float, float]

# Lengths and radii in body heights, after common anthropometric tables, rounded.
THIGH, SHANK, FOOT, TORSO, NECK_AND_HEAD, UPPER_ARM, FOREARM = 0.245, 0.246, 0.12, 0.29, 0.13, 0.17, 0.19
HIP_HALF_WIDTH, SHOULDER_HALF_WIDTH = 0.06, 0.09
# A standing leg is never completely straight.
STANCE_KNEE = 0.08
# Phase of the largest knee bend: the leg swings forwards from 0.5 to 1.
SWING_KNEE_PEAK = 0.70
# Sharpness of the choice of the lower foot (per body height), and the thickness of a sole.
SOFTNESS, SOLE = 40.0, 0.02


@dataclass(frozen=True)
class Gait:
    """One person. Phases and timing in cycles, angles in radians, `bounce` in body heights."""

    cadence_hz: float
    hip_swing: float
    hip_bias: float
    knee_swing: float
    knee_delay: float
    arm_swing: float
    arm_delay: float
    elbow_bend: float
    elbow_swing: float
    leg_asymmetry: float
    stance_warp: float
    bounce: float
    bounce_delay: float
    lean: float
    sway: float
    nod: float
    leg_share: float


# Cadence is in cycles per second, two steps each.
GAIT_RANGES: Mapping[str, Range] = {
    "cadence_hz": (0.8, 1.9),
    "hip_swing": (0.30, 0.55),
    "hip_bias": (0.02, 0.10),
    "knee_swing": (0.5, 1.4),
    "knee_delay": (-0.12, 0.12),
    "arm_swing": (0.2, 0.9),
    "arm_delay": (-0.5, 0.5),
    "elbow_bend": (0.1, 1.2),
    "elbow_swing": (0.0, 0.6),
    "leg_asymmetry": (-0.15, 0.15),
    "stance_warp": (-0.45, 0.45),
    "bounce": (0.0, 0.06),
    "bounce_delay": (0.0, 1.0),
    "lean": (0.02, 0.08),
    "sway": (0.0, 0.10),
    "nod": (0.0, 0.25),
    "leg_share": (0.97, 1.03),
}
# Delays over a whole cycle: 0 and 1 are neighbours.
CIRCULAR = frozenset({"arm_delay", "bounce_delay"})
CANDIDATES = 500


def draw_gaits(people: int, rng: np.random.Generator) -> tuple[Gait, ...]:
    """Draw `people` distinct gaits.

    Each parameter's range is cut into `people` equal strata. Each person gets one stratum by a permutation and a value
    from its middle half (a Latin hypercube), so that no two people have nearby values of a parameter. Of many such
    draws the one with the largest distance between its two most similar people is taken.
    """
    low_G, high_G = np.array([GAIT_RANGES[field.name] for field in fields(Gait)]).T
    wraps_G = np.array([field.name in CIRCULAR for field in fields(Gait)])
    best_PG, best_distance = np.empty(0), -1.0
    for _ in range(CANDIDATES):
        strata_PG = rng.permuted(np.tile(np.arange(people), (len(low_G), 1)), axis=1).T
        share_PG = (strata_PG + 0.25 + 0.5 * rng.random(strata_PG.shape)) / people
        apart_PPG = np.abs(share_PG[:, None] - share_PG[None])
        apart_PPG = np.where(wraps_G, np.minimum(apart_PPG, 1 - apart_PPG), apart_PPG)
        distance = float(np.square(apart_PPG).sum(-1)[np.triu_indices(people, 1)].min(initial=np.inf))
        if distance > best_distance:
            best_PG, best_distance = share_PG, distance
    return tuple(Gait(*map(float, low_G + (high_G - low_G) * share_G)) for share_G in best_PG)


@dataclass(frozen=True)
class Take:
    """Parameters of one recording of a person.

    Attributes:
        speed: walking speed as a share of the person's own; cadence and stride change by its square root each.
        heading: +1 walks to the right, -1 to the left.
        azimuth: radians between the walking direction and the picture plane.
        start_phase: phase of the cycle at the start.
        height_px: body height in pixels.
        x_px, ground_px: column of the hips at the start, row of the ground.
        drift_px_per_s: shift of the figure in the picture; the camera follows imperfectly.
        shade: luminance of near limbs, far limbs, torso and head as a share of the background's.
    """

    speed: float
    heading: int
    azimuth: float
    start_phase: float
    height_px: float
    x_px: float
    ground_px: float
    drift_px_per_s: float
    shade: tuple[float, float, float, float]


@dataclass(frozen=True)
class Figure:
    """Capsules in pixels, drawn in order: `start_TS2` and `end_TS2` with radii; `shade_S` is luminance."""

    start_TS2: Floats
    end_TS2: Floats
    start_radius_S: Floats
    end_radius_S: Floats
    shade_S: Floats


def _along(origin_T2: Floats, length: float, angle_T: Floats) -> Floats:
    return origin_T2 + length * np.stack([np.sin(angle_T), np.cos(angle_T)], axis=-1)


def _leg(gait: Gait, stride: float, cycle_T: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return hip, knee, ankle and toe of a leg at the given cycles, relative to the hips."""
    turn = 2 * math.pi
    warped_T = turn * cycle_T + gait.stance_warp * np.sin(turn * cycle_T)
    thigh_T = gait.hip_bias + stride * gait.hip_swing * np.cos(warped_T)
    swing_T = 0.5 + 0.5 * np.cos(warped_T - turn * (SWING_KNEE_PEAK + gait.knee_delay))
    shank_T = thigh_T - STANCE_KNEE - gait.knee_swing * swing_T**2
    hip_T2 = np.zeros((len(cycle_T), 2))
    knee_T2 = _along(hip_T2, THIGH * gait.leg_share, thigh_T)
    ankle_T2 = _along(knee_T2, SHANK * gait.leg_share, shank_T)
    return hip_T2, knee_T2, ankle_T2, _along(ankle_T2, FOOT, shank_T + math.pi / 2 - 0.1)


def _arm(gait: Gait, stride: float, cycle_T: Floats, shoulder_T2: Floats) -> tuple[Floats, Floats, Floats]:
    """Return shoulder, elbow and hand of the arm that swings with `cycle_T`."""
    swing_T = np.cos(2 * math.pi * (cycle_T - gait.arm_delay))
    upper_T = stride * gait.arm_swing * swing_T
    elbow_T2 = _along(shoulder_T2, UPPER_ARM, upper_T)
    return shoulder_T2, elbow_T2, _along(elbow_T2, FOREARM, upper_T + gait.elbow_bend + gait.elbow_swing * swing_T)


@dataclass(frozen=True)
class _Stick:
    """A capsule before projection; `aside` is its distance from the middle of the body, towards the viewer."""

    start_T2: Floats
    end_T2: Floats
    start_radius: float
    end_radius: float
    shade: float
    aside: float = 0.0


def _limbs(
    leg: tuple[Floats, Floats, Floats, Floats], arm: tuple[Floats, Floats, Floats], shade: float, side: int
) -> tuple[list[_Stick], list[_Stick]]:
    """Return the sticks of a leg and of an arm; `side` is +1 for the near ones. Shoes are darker, hands lighter."""
    hip, knee, ankle, toe = leg
    shoulder, elbow, hand = arm
    legs = [
        _Stick(hip, knee, 0.050, 0.036, shade, side * HIP_HALF_WIDTH),
        _Stick(knee, ankle, 0.036, 0.024, shade, side * HIP_HALF_WIDTH),
        _Stick(ankle, toe, 0.024, 0.016, 0.8 * shade, side * HIP_HALF_WIDTH),
    ]
    arms = [
        _Stick(shoulder, elbow, 0.030, 0.025, shade, side * SHOULDER_HALF_WIDTH),
        _Stick(elbow, hand, 0.025, 0.018, 1.2 * shade, side * SHOULDER_HALF_WIDTH),
    ]
    return legs, arms


def pose(gait: Gait, take: Take, t_s: Floats) -> Figure:
    """Return the figure at the times `t_s` (seconds since the start of the recording), in pixels.

    The lower foot stands on the ground, softly; the person's own bounce is added.
    """
    stride = math.sqrt(take.speed)
    cycle_T = take.start_phase + gait.cadence_hz * stride * t_s
    other_T = cycle_T + 0.5 + gait.leg_asymmetry
    # The right side is the near one for a person walking to the right.
    near_T, far_T = (cycle_T, other_T) if take.heading > 0 else (other_T, cycle_T)
    near_leg, far_leg = _leg(gait, stride, near_T), _leg(gait, stride, far_T)

    turn_T = 4 * math.pi * cycle_T
    bounce_T = np.cos(turn_T - 2 * math.pi * gait.bounce_delay)
    lean_T = gait.lean + gait.sway * bounce_T
    hips_T2 = np.zeros((len(t_s), 2))
    shoulder_T2 = _along(hips_T2, TORSO, math.pi - lean_T)
    crown_T2 = _along(shoulder_T2, NECK_AND_HEAD, math.pi - lean_T - gait.nod * np.sin(turn_T))
    brow_T2 = shoulder_T2 + 0.6 * (crown_T2 - shoulder_T2)

    near, far, torso, head = take.shade
    # An arm swings with the leg of the other side.
    far_legs, far_arms = _limbs(far_leg, _arm(gait, stride, near_T, shoulder_T2), far, -1)
    near_legs, near_arms = _limbs(near_leg, _arm(gait, stride, far_T, shoulder_T2), near, +1)
    trunk = [_Stick(hips_T2, shoulder_T2, 0.06, 0.07, torso), _Stick(brow_T2, crown_T2, 0.045, 0.05, head)]
    sticks = [*far_arms, *far_legs, *trunk, *near_legs, *near_arms]

    feet_y_TF = np.stack([joint_T2[:, 1] for leg in (near_leg, far_leg) for joint_T2 in leg[2:]], axis=-1)
    lowest_T = np.log(np.exp(SOFTNESS * feet_y_TF).sum(axis=-1)) / SOFTNESS
    hip_y_T = -lowest_T - SOLE - gait.bounce * (1 + bounce_T)
    hip_T2 = np.stack([take.x_px + take.drift_px_per_s * t_s, take.ground_px + take.height_px * hip_y_T], axis=-1)
    scale_2 = take.height_px * np.array([take.heading * math.cos(take.azimuth), 1.0])
    aside_px_S = take.height_px * math.sin(take.azimuth) * np.array([stick.aside for stick in sticks])

    def project(points_TS2: Floats) -> Floats:
        pixels_TS2 = hip_T2[:, None] + scale_2 * points_TS2
        pixels_TS2[..., 0] += aside_px_S
        return pixels_TS2

    return Figure(
        start_TS2=project(np.stack([stick.start_T2 for stick in sticks], axis=1)),
        end_TS2=project(np.stack([stick.end_T2 for stick in sticks], axis=1)),
        start_radius_S=take.height_px * np.array([stick.start_radius for stick in sticks]),
        end_radius_S=take.height_px * np.array([stick.end_radius for stick in sticks]),
        shade_S=np.array([stick.shade for stick in sticks]),
    )
