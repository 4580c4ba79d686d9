"""Pictures of a sensor that also takes pictures (DAVIS), the nearest in time for each event frame."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.recording_survey import FRAME_SIDE
from stdl_events.events.geometry import Geometry, Size
from stdl_events.events.other_streams import OtherStreams, Rows, read_other_streams
from stdl_events.events.recording import Recording
from stdl_events.frames import FrameSpec


@dataclass(frozen=True, eq=False)
class CameraPictures:
    """A picture for each kept frame of a survey.

    Attributes:
        gray_or_rgb_N: uint8, [H, W] or [H, W, 3], downsampled to at most `FRAME_SIDE` pixels a side.
        late_us_N: the picture's time minus the middle of the frame.
    """

    gray_or_rgb_N: list[npt.NDArray[np.uint8]]
    late_us_N: npt.NDArray[np.int64]


def nearest_pictures(
    recording: Recording, others: OtherStreams | None, spec: FrameSpec, middle_us_N: npt.NDArray[np.int64]
) -> CameraPictures | None:
    """Return the picture nearest in time to each frame; None if the recording has none.

    Of several streams of pictures, the first with the events' sensor size is taken, or else the first.

    Args:
        spec: of the frames; pictures are turned and cut alike.
        middle_us_N: times of the middles of the frames.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the pictures are damaged, and `repair` is off.
    """
    if others is None or not len(others.pictures) or not len(middle_us_N):
        return None
    numbers, late_us_N = _nearest(_of_one_sensor(others.pictures, spec.sensor_size), others.pictures, middle_us_N)
    with_pixels = read_other_streams(recording, set(numbers))
    if with_pixels is None or with_pixels.unread is not None:
        return None
    brightest = max(int(pixels.max(initial=1)) for pixels in with_pixels.pixels.values())
    geometry, size = spec.geometry, spec.sensor_size
    shown = {
        number: _shrunk(_moved(_to_8_bits(pixels, brightest), geometry, size))
        for number, pixels in with_pixels.pixels.items()
    }
    return CameraPictures([shown[number] for number in numbers], late_us_N)


def gray_of_size(picture: npt.NDArray[np.uint8], size_HW: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return a picture in gray, resized by nearest neighbour."""
    rows, columns = (np.arange(size) * shape // size for size, shape in zip(size_HW, picture.shape[:2], strict=True))
    sized = picture[rows[:, None], columns]
    return sized if sized.ndim == 2 else (sized @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


def _of_one_sensor(pictures: Rows, sensor_size: tuple[int, int]) -> npt.NDArray[np.intp]:
    """Return the numbers of the pictures of one stream."""
    own = (pictures["width"] == sensor_size[0]) & (pictures["height"] == sensor_size[1])
    streams = pictures["stream"][own] if own.any() else pictures["stream"]
    return np.flatnonzero(pictures["stream"] == streams.min())


def _nearest(
    candidates: npt.NDArray[np.intp], pictures: Rows, wanted_us_N: npt.NDArray[np.int64]
) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return (number of the picture, its time minus the frame's) for each frame."""
    candidates = candidates[np.argsort(pictures["t"][candidates], kind="stable")]
    times_us = pictures["t"][candidates]
    after = np.clip(np.searchsorted(times_us, wanted_us_N), 1, len(times_us) - 1) if len(times_us) > 1 else 0
    before = np.maximum(np.full(len(wanted_us_N), after) - 1, 0)
    best = np.where(times_us[after] - wanted_us_N < wanted_us_N - times_us[before], after, before)
    return candidates[best].tolist(), times_us[best] - wanted_us_N


def _to_8_bits(pixels: npt.NDArray[np.integer], brightest: int) -> npt.NDArray[np.uint8]:
    """Return pixels without transparency; 16-bit ones are scaled so that the brightest of all pictures is white."""
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    return (pixels * (255 / brightest)).round().astype(np.uint8)


def _moved(pixels: npt.NDArray[np.uint8], geometry: Geometry, sensor_size: Size) -> npt.NDArray[np.uint8]:
    """Return the picture turned and mirrored like the events, and cut like them if it has the events' pixels."""
    if pixels.shape[1::-1] != sensor_size:
        geometry = Geometry(rotate=geometry.rotate, flip=geometry.flip)
    table_x, table_y = replace(geometry, scale=None, scale_by="area").tables(pixels.shape[1::-1])
    if geometry.rotate in (90, 270):
        pixels = pixels.swapaxes(0, 1)
    columns, rows = (np.argsort(table)[np.sort(table) >= 0] for table in (table_x, table_y))
    return pixels[rows[:, None], columns]


def _shrunk(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Subsample the picture evenly, so that its sides are at most `FRAME_SIDE` long."""
    step = -(-max(pixels.shape[:2]) // FRAME_SIDE)
    return np.ascontiguousarray(pixels[::step, ::step])
