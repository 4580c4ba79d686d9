"""A survey of a recording from one pass over its chunks: rate, heat map, and some of its frames.

Memory does not grow with the recording: the size of the heat map and of the frames is bounded, as is the number of
frames.

Shape letters: C=2 polarities (0: darker, 1: brighter), R bins of time, H rows, W columns, N frames.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.canvas import sum_squares
from stdl_events.analysis.frame_times import FrameTimes
from stdl_events.errors import RecordingError
from stdl_events.events.filtered import filtered
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray
from stdl_events.frames import MAX_COUNT, FrameSpec
from stdl_events.frames.counting import linear_indices
from stdl_events.frames.cut import cut_recording, frame_count

HEAT_SIDE = 1024
FRAME_SIDE = 320


@dataclass(frozen=True, eq=False)
class Rate:
    """Events per second over the time from the first event to the last.

    Attributes:
        bin_us: length of a bin; the last one may be shorter.
        rate_hz_CR: events per second of each polarity in each bin.
    """

    t_first_us: int
    t_last_us: int
    bin_us: int
    rate_hz_CR: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Survey:
    """The data of a recording's pictures.

    Attributes:
        heat_CHW: events per pixel and polarity.
        heat_downscale: sensor pixels per side of a heat map's pixel.
        frame_count: number of frames of `spec`.
        frame_indices_N: indices of the kept frames, spread evenly.
        frame_middle_us_N: the time in the middle of each.
        frames_NCHW: the kept frames, uint16.
        frames_downscale: frame pixels per side of a kept pixel; 1 unless frames are larger than `FRAME_SIDE`.
    """

    sensor_size: tuple[int, int]
    events: int
    rate: Rate
    heat_CHW: npt.NDArray[np.int64]
    heat_downscale: int
    spec: FrameSpec
    frame_count: int
    frame_indices_N: npt.NDArray[np.int64]
    frame_middle_us_N: npt.NDArray[np.int64]
    frames_NCHW: npt.NDArray[np.uint16]
    frames_downscale: int


def survey_recording(recording: Recording, spec: FrameSpec, *, frames: int, rate_bins: int) -> Survey:
    """Return the rate, the heat map and at most `frames` frames of `spec`, from one pass over `recording`.

    Rate and heat map count the events that the spec's filters and geometry keep, where the geometry moves them.

    Raises:
        RecordingError: there is no event.
        FrameSpecError: a gap of the recording spans too many windows.
        TruncatedRecordingError, CorruptRecordingError: the file is damaged.
    """
    recording, cut = filtered(recording, spec.filters, spec.geometry), spec.plain
    counter = _Counter(recording, rate_bins)
    total = frame_count(recording, cut)
    wanted_N = np.unique(np.linspace(0, total - 1, min(frames, total)).round().astype(np.int64))
    shrink = -(-max(spec.frame_shape_CHW[1:]) // FRAME_SIDE)
    times = FrameTimes(recording, cut, wanted_N)
    kept: list[npt.NDArray[np.uint16]] = []

    def watch(events: EventArray) -> None:
        counter.add(events)
        times.add(events)

    if frames:
        for index, counts_CHW in enumerate(cut_recording(recording, cut, watch)):
            if index == wanted_N[min(len(kept), len(wanted_N) - 1)]:
                kept.append(np.minimum(sum_squares(counts_CHW, shrink), MAX_COUNT).astype(np.uint16))
    else:
        for events in recording.chunks():
            counter.add(events)
    shape_CHW = sum_squares(np.zeros(spec.frame_shape_CHW, np.uint16), shrink).shape
    return Survey(
        recording.sensor_size,
        recording.summary.events,
        counter.rate(),
        counter.heat_CHW,
        counter.heat_downscale,
        spec,
        total,
        wanted_N,
        times.middle_us_N,
        np.stack(kept) if kept else np.zeros((0, *shape_CHW), np.uint16),
        shrink,
    )


class _Counter:
    """Counts events per bin of time and per pixel, chunk by chunk."""

    def __init__(self, recording: Recording, rate_bins: int) -> None:
        summary = recording.summary
        if summary.t_first_us is None or summary.t_last_us is None:
            raise RecordingError(
                str(recording.path), got="no events", expected="a recording with events",
                todo="use another recording",
            )  # fmt: skip
        self._first_us, self._last_us = summary.t_first_us, summary.t_last_us
        self._bin_us = -(-(self._last_us - self._first_us + 1) // rate_bins)
        self._bins = (self._last_us - self._first_us) // self._bin_us + 1
        self._events_CR = np.zeros((2, self._bins), np.int64)
        self.heat_downscale = -(-max(recording.sensor_size) // HEAT_SIDE)
        self._pixels = FrameSpec(
            kind="stream", steps=1, dt_us=1, sensor_size=recording.sensor_size, downscale=self.heat_downscale
        )
        self.heat_CHW = np.zeros(self._pixels.frame_shape_CHW, np.int64)

    def add(self, events: EventArray) -> None:
        bins = (events["t"] - self._first_us) // self._bin_us
        for polarity in (0, 1):
            self._events_CR[polarity] += np.bincount(bins[events["p"] == polarity], minlength=self._bins)
        np.add.at(self.heat_CHW.reshape(-1), linear_indices(events, self._pixels), 1)

    def rate(self) -> Rate:
        length_us = np.full(self._bins, self._bin_us)
        length_us[-1] = self._last_us - self._first_us + 1 - (self._bins - 1) * self._bin_us
        return Rate(self._first_us, self._last_us, self._bin_us, self._events_CR * 1e6 / length_us)
