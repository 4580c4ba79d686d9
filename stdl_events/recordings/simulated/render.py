"""Draw a figure of capsules as luminance, anti-aliased, only inside the figure's bounding box.

Shape letters: T pictures, S capsules, H rows, W columns.
"""

import numpy as np
import numpy.typing as npt

from stdl_events.recordings.simulated.walker import Figure

BACKGROUND = 1.0


def render(figure: Figure, sensor_size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return luminance [T, H, W] of `figure` in front of a uniform background of luminance 1.

    A pixel's coverage by a capsule falls from 1 to 0 over one pixel at the capsule's edge. Later capsules occlude
    earlier ones. Pixel (x, y) is sampled at its centre (x + 0.5, y + 0.5).
    """
    width, height = sensor_size
    pictures_THW = np.full((len(figure.start_TS2), height, width), BACKGROUND, np.float32)
    for index, shade in enumerate(figure.shade_S):
        start_T2 = figure.start_TS2[:, index].astype(np.float32)
        end_T2 = figure.end_TS2[:, index].astype(np.float32)
        r0, r1 = np.float32(figure.start_radius_S[index]), np.float32(figure.end_radius_S[index])
        reach = max(r0, r1) + 1
        low_2 = np.minimum(start_T2, end_T2).min(axis=0) - reach
        high_2 = np.maximum(start_T2, end_T2).max(axis=0) + reach
        left, top = (max(0, int(np.floor(value))) for value in low_2)
        right, bottom = min(width, int(np.ceil(high_2[0]))), min(height, int(np.ceil(high_2[1])))
        if left >= right or top >= bottom:
            continue
        x_W = np.arange(left, right, dtype=np.float32) + np.float32(0.5)
        y_H = np.arange(top, bottom, dtype=np.float32) + np.float32(0.5)
        stick_T2 = end_T2 - start_T2
        length2_T = np.maximum((stick_T2**2).sum(axis=-1), np.float32(1e-6))
        dx_TW = x_W[None] - start_T2[:, :1]
        dy_TH = y_H[None] - start_T2[:, 1:]
        along_x_TW = dx_TW * (stick_T2[:, :1] / length2_T[:, None])
        along_y_TH = dy_TH * (stick_T2[:, 1:] / length2_T[:, None])
        along_THW = np.clip(along_y_TH[:, :, None] + along_x_TW[:, None, :], 0, 1)
        off_x_THW = dx_TW[:, None, :] - along_THW * stick_T2[:, 0, None, None]
        off_y_THW = dy_TH[:, :, None] - along_THW * stick_T2[:, 1, None, None]
        distance_THW = np.sqrt(off_x_THW**2 + off_y_THW**2)
        coverage_THW = np.clip(r0 + (r1 - r0) * along_THW - distance_THW + np.float32(0.5), 0, 1)
        part_THW = pictures_THW[:, top:bottom, left:right]
        part_THW += coverage_THW * (np.float32(shade) - part_THW)
    return pictures_THW
