"""The streams of a file besides its events: pictures of the same sensor, IMU samples, triggers.

Times are microseconds of the recording's own clock.
"""

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import CorruptRecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events.formats import FORMATS
from stdl_events.events.recording import Recording
from stdl_events.events.stream import RecordingWarning

PICTURE_DTYPE = np.dtype(
    [
        ("stream", "<i4"), ("t", "<i8"), ("begin", "<i8"), ("end", "<i8"), ("exposure_begin", "<i8"),
        ("exposure_end", "<i8"), ("height", "<i4"), ("width", "<i4"), ("channels", "<i4"), ("bits", "<i4"),
        ("offset_x", "<i4"), ("offset_y", "<i4"),
    ]
)  # fmt: skip
_AXES = [(f"{name}_{axis}", "<f4") for name in ("accelerometer", "gyroscope", "magnetometer") for axis in "xyz"]
IMU_DTYPE = np.dtype([("stream", "<i4"), ("t", "<i8"), ("temperature", "<f4"), *_AXES])
TRIGGER_DTYPE = np.dtype([("stream", "<i4"), ("t", "<i8"), ("source", "u1")])
TRIGGER_SOURCES = (
    "timestamp reset", "external rising edge", "external falling edge", "external pulse", "generator rising edge",
    "generator falling edge", "frame begin", "frame end", "exposure begin", "exposure end",
)  # fmt: skip

Rows: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class OtherStreams:
    """The streams of a file besides its events, in the file's order.

    Attributes:
        pictures: `PICTURE_DTYPE`, one row each; `t` is the middle of the exposure. `channels` 1 is gray, 3 is RGB, 4
            is RGBA; `bits` are those of a channel.
        pixels: number of a picture -> [H, W] or [H, W, channels], uint8 or uint16; only the requested ones.
        imu: `IMU_DTYPE`, one row per sample: degrees Celsius, g, degrees per second, microtesla.
        triggers: `TRIGGER_DTYPE`, one row each; `source` is an index into `TRIGGER_SOURCES`.
        unread: the reason if the streams were not readable, else None.
    """

    pictures: Rows = field(default_factory=partial(np.empty, 0, PICTURE_DTYPE))
    pixels: dict[int, Rows] = field(default_factory=dict)
    imu: Rows = field(default_factory=partial(np.empty, 0, IMU_DTYPE))
    triggers: Rows = field(default_factory=partial(np.empty, 0, TRIGGER_DTYPE))
    unread: str | None = None

    def by_stream(self) -> list[tuple[int, str, Rows]]:
        """Return (number of the stream, "pictures", "imu" or "triggers", its rows) of every non-empty stream."""
        tables = {"pictures": self.pictures, "imu": self.imu, "triggers": self.triggers}
        return sorted(
            (
                (int(stream), kind, rows[rows["stream"] == stream])
                for kind, rows in tables.items()
                for stream in np.unique(rows["stream"])
            ),
            key=lambda part: part[:2],
        )


def read_other_streams(recording: Recording, pixels: Collection[int] | None = ()) -> OtherStreams | None:
    """Read the streams of `recording`'s file besides its events.

    Args:
        pixels: numbers of the pictures to decode; None for all.

    Returns:
        None if the file has no other stream, which takes one pass over its header and packet headers.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: these streams are damaged, and `repair` is off.
    """
    format = FORMATS[recording.format]
    if format.read_other_streams is None:
        return None
    try:
        return format.read_other_streams(recording.data_path, pixels)
    except UnknownFormatError as error:
        unread = error.got
    except (TruncatedRecordingError, CorruptRecordingError) as error:
        if not recording.repair:
            raise
        unread = error.got
    text = f"{unread}: the pictures, IMU samples and triggers are left out"
    warnings.warn(f"{recording.path}: {text}", RecordingWarning, stacklevel=2)
    return OtherStreams(unread=unread)
