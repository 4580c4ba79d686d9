"""A source's clock that leaps forward begins another session; a still scene does not."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from collectors import LosslessCollector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events.stream import EventArray, RecordingWarning, empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.clock_watch import CLOCK_LEAP_US, ClockWatch

SIZE, CLIP_US = (8, 6), 40_000


class Camera:
    """Chunks without a clock."""

    sensor_size = SIZE

    def __init__(self, chunks: list[tuple[int, EventArray]]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[EventArray]:
        for _, events in self._chunks:
            yield events


class ClockedCamera(Camera):
    t_now_us = 0

    def chunks(self) -> Iterator[EventArray]:
        for t_now_us, events in self._chunks:
            self.t_now_us = t_now_us
            yield events


def events_from(t0_us: int) -> EventArray:
    """400 ms of events, one each millisecond."""
    events = empty_events(400)
    events["t"] = t0_us + 1_000 * np.arange(400)
    events["x"], events["y"] = np.arange(400) % 8, np.arange(400) % 6
    return events


def in_chunks(events: EventArray, size: int) -> list[tuple[int, EventArray]]:
    pieces = [events[start : start + size] for start in range(0, len(events), size)]
    return [(int(piece["t"][-1]), piece) for piece in pieces]


@pytest.fixture
def recogniser(tmp_path: Path) -> Recogniser:
    card = make_card(stream_spec(SIZE, 4, 10_000, grid="recording"))
    return Recogniser(OnnxSession(write_model(tmp_path / "m.onnx", card)), SIZE)


@pytest.mark.parametrize("camera", [Camera, ClockedCamera])
@pytest.mark.parametrize("size", [50, 800], ids=["between chunks", "inside a chunk"])
@pytest.mark.parametrize("leap_us", [100_000_000, 10**13])
def test_predictions_go_on_within_a_clip(recogniser: Recogniser, camera: type[Camera], size: int, leap_us: int) -> None:
    collector = LosslessCollector()
    source = camera(in_chunks(np.concatenate([events_from(7), events_from(leap_us)]), size))
    with pytest.warns(
        RecordingWarning, match=r"the source's clock leapt forward by \d+\.\d+ s: windows and clips begin"
    ):
        summary = run_live(source, recogniser, [collector], overload="complete")
    ends_us = [start_us + CLIP_US * clip for start_us in (7, leap_us) for clip in range(1, 11)]
    assert [one.t_us for one in collector.predictions] == ends_us
    assert (summary.clock_resets, summary.late_events, summary.frames) == (1, 0, 80)


def test_a_clock_that_leaps_in_a_still_scene_makes_no_flood(recogniser: Recogniser) -> None:
    collector = LosslessCollector()
    still = [(10**12 + 10_000 * tick, empty_events()) for tick in range(30)]
    with pytest.warns(RecordingWarning, match="leapt forward"):
        summary = run_live(
            ClockedCamera([*in_chunks(events_from(0), 50), *still]), recogniser, [collector], overload="complete"
        )
    assert (len(collector.predictions), summary.clock_resets) == (10, 1)


def test_a_still_scene_is_no_leap(recogniser: Recogniser) -> None:
    """Half a minute of ticks, and a silence of 9 s without them, are windows as usual."""
    collector = LosslessCollector()
    ticks = [(t_us, empty_events()) for t_us in range(400_000, 30_000_000, 500_000)]
    late = in_chunks(events_from(30_000_000 + 9_000_000), 50)
    summary = run_live(ClockedCamera([*in_chunks(events_from(0), 50), *ticks, *late]), recogniser, [collector],
                       overload="complete")  # fmt: skip
    assert summary.clock_resets == 0
    assert len(collector.predictions) == 39_400_000 // CLIP_US


@pytest.mark.parametrize("camera", [Camera, ClockedCamera])
def test_a_pause_of_too_many_short_windows_is_a_leap(tmp_path: Path, camera: type[Camera]) -> None:
    """9 s are no leap for usual windows, but more than a million of 5 us, which no framer makes at once."""
    card = make_card(stream_spec(SIZE, 4, 5, grid="recording"))
    recogniser = Recogniser(OnnxSession(write_model(tmp_path / "short.onnx", card)), SIZE)
    events = [empty_events(3), empty_events(3)]
    for part, t0_us in zip(events, (0, 9_000_000), strict=True):
        part["t"] = t0_us + np.array([0, 20, 25])
    with pytest.warns(RecordingWarning, match="leapt forward"):
        summary = run_live(camera([(25, events[0]), (9_000_025, events[1])]), recogniser, [], overload="complete")
    assert (summary.clock_resets, summary.clips, summary.events) == (1, 2, 6)


def test_the_bound_follows_long_clips_and_spares_recordings() -> None:
    late = events_from(CLOCK_LEAP_US + 1_000_000)
    for clip_us, is_recording, leaps in ((None, False, True), (CLIP_US, False, True), (2_000_000, False, False),
                                         (CLIP_US, True, False)):  # fmt: skip
        watch = ClockWatch(clip_us, is_recording=is_recording)
        assert not watch.ends_session(events_from(0))
        if leaps:
            with pytest.warns(RecordingWarning, match="leapt forward"):
                assert watch.ends_session(late)
        else:
            assert not watch.ends_session(late)
        assert watch.resets == leaps


def test_a_clock_that_goes_on_jumping_is_said_ten_times_and_counted():
    watch = ClockWatch(CLIP_US, is_recording=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for number in range(51):
            watch.ends_session(events_from(number % 2 * 60_000_000 + number))
    assert (len(said), watch.resets) == (10, 50)
    assert str(said[-1].message).endswith("more of these are counted alone")
