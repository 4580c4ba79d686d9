"""Parts of a recording, and their pace."""

import os
from pathlib import Path

import event_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events import ReplaySource, held, open_recording, span_us, write_recording
from stdl_events.events.sources.replay import LoopedReplay


class FakeWall:
    """A wall clock that advances only by `sleep`."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def clock_s(self) -> float:
        return self.now_s

    def sleep_s(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory):
    """1001 events, 100 us apart, from 5,000 us to 105,000 us."""
    events = event_files.make_events(1001, 34, 34)
    events["t"] = 5000 + 100 * np.arange(1001)
    path = tmp_path_factory.mktemp("replay") / "a.h5"
    write_recording(path, events, (34, 34))
    return open_recording(path)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (None, None, (5000, 105_001)),
        ("0%", "100%", (5000, 105_001)),
        ("70%", None, (75_000, 105_001)),
        ("70%", "80%", (75_000, 85_000)),
        (0.25, 0.5, (30_000, 55_000)),
        (6000, 7000, (6000, 7000)),
        (np.int64(6000), "12.5%", (6000, 17_500)),
        (0, 10**9, (0, 10**9)),
    ],
)
def test_spans(recording, start, stop, expected) -> None:
    assert span_us(recording, start, stop) == expected


@pytest.mark.parametrize("position", ["lots", "101%", "-1%", 1.5, "nan%", True])
def test_positions_that_are_none(recording, position) -> None:
    with pytest.raises(RecordingError, match=r"the position .* expected 0% to 100%, or microseconds as an integer"):
        span_us(recording, position)


def test_span_that_ends_before_it_starts(recording) -> None:
    with pytest.raises(RecordingError, match="got a part from 50% to 20%; expected a start before the stop"):
        span_us(recording, "50%", "20%")


def test_span_of_nothing(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.h5", np.zeros(0, event_files.EVENT_DTYPE), (8, 9))
    with pytest.raises(RecordingError, match="got no events"):
        span_us(open_recording(tmp_path / "a.h5"))


@pytest.mark.parametrize("side", [-1, 1])
def test_a_part_before_or_after_the_recording_is_refused_with_its_times(recording, side: int) -> None:
    first_us, last_us = recording.t_first_us, recording.t_last_us
    start = first_us - 1000 if side < 0 else last_us + 500
    with pytest.raises(RecordingError, match=f"got a part from {start} .* expected a part of {first_us} to {last_us}"):
        span_us(recording, start, start + 400)


@settings(max_examples=50)
@given(cut=st.floats(0, 1), speed=st.sampled_from([None, 0.5, 3.0]), chunk_us=st.integers(1, 200_000))
def test_two_parts_make_the_whole(recording, cut: float, speed: float | None, chunk_us: int) -> None:
    chunk_us = max(chunk_us, 500)
    parts = []
    for start, stop in ((None, cut), (cut, None)):
        wall = FakeWall()
        source = ReplaySource(
            recording,
            speed=speed,
            start=start,
            stop=stop,
            chunk_us=chunk_us,
            clock_s=wall.clock_s,
            sleep_s=wall.sleep_s,
        )
        parts += list(source.chunks())
        assert source.t_now_us == source.t_stop_us
    assert (np.concatenate(parts) == recording.read()).all()


def test_pace_follows_the_recordings_clock(recording) -> None:
    wall = FakeWall()
    source = ReplaySource(recording, speed=2.0, chunk_us=10_000, clock_s=wall.clock_s, sleep_s=wall.sleep_s)
    for index, events in enumerate(source.chunks()):
        end_us = min(15_000 + 10_000 * index, 105_001)
        assert source.t_now_us == end_us
        # At twice the speed, a chunk arrives at half its time after the start: never before its last event.
        assert wall.now_s == pytest.approx(100 + (end_us - 5000) * 1e-6 / 2)
        assert (events["t"] < end_us).all()
        assert (events["t"] >= end_us - 10_000).all()
    assert len(wall.slept_s) == 11


def test_late_receiver_is_not_made_to_wait(recording) -> None:
    wall = FakeWall()
    chunks = ReplaySource(recording, chunk_us=10_000, clock_s=wall.clock_s, sleep_s=wall.sleep_s).chunks()
    next(chunks)
    wall.now_s += 0.035
    slept = len(wall.slept_s)
    for _ in range(3):
        next(chunks)
    assert len(wall.slept_s) == slept
    next(chunks)
    assert wall.slept_s[slept:] == [pytest.approx(0.005)]


def test_quiet_time_passes_in_empty_chunks(tmp_path: Path) -> None:
    events = event_files.make_events(2, 34, 34)
    events["t"] = [0, 50_000]
    write_recording(tmp_path / "a.h5", events, (34, 34))
    wall = FakeWall()
    source = ReplaySource(
        open_recording(tmp_path / "a.h5"), chunk_us=10_000, clock_s=wall.clock_s, sleep_s=wall.sleep_s
    )
    assert [len(chunk) for chunk in source.chunks()] == [1, 0, 0, 0, 0, 1]


def test_as_fast_as_possible_never_sleeps(recording) -> None:
    wall = FakeWall()
    source = ReplaySource(recording, speed=None, start="70%", clock_s=wall.clock_s, sleep_s=wall.sleep_s)
    events = np.concatenate(list(source.chunks()))
    assert (events["t"] >= 75_000).all()
    assert len(events) == 301
    assert wall.slept_s == []


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), float("inf")])
def test_speeds_that_are_none(recording, speed) -> None:
    with pytest.raises(RecordingError, match="got the speed"):
        ReplaySource(recording, speed=speed)


@pytest.mark.parametrize("speed", [None, 1.0])
@pytest.mark.parametrize(
    ("lose", "text"),
    [
        (
            lambda path: path.unlink(),
            "got no such file any more; expected the recording as it was when the replay began",
        ),
        (lambda path: os.truncate(path, 3000), "got 3000 of 5000 bytes; expected the recording as it was"),
    ],
)
def test_a_file_that_disappears_or_shrinks_is_a_lost_source(
    tmp_path: Path, lose, text: str, speed, monkeypatch
) -> None:
    """The shorter file is a whole one of its format."""
    monkeypatch.setattr(held, "MAX_HELD_BACK", 999)  # with more events it is decoded again
    path = tmp_path / "a.bin"
    t_us = 100 * np.arange(1000)
    columns = [t_us % 34, t_us % 33, t_us >> 16, t_us >> 8 & 255, t_us & 255]
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())
    wall = FakeWall()
    source = ReplaySource(open_recording(path), speed=speed, clock_s=wall.clock_s, sleep_s=wall.sleep_s)
    lose(path)
    with pytest.raises(SourceLostError) as caught:
        list(source.chunks())
    assert str(caught.value).startswith(f"{path}: {text}")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("speed", [None, 2.0])
def test_a_looped_replay_repeats_its_part_with_a_clock_that_goes_on(recording, speed) -> None:
    wall = FakeWall()
    options = {"speed": speed, "start": "20%", "stop": "60%", "clock_s": wall.clock_s, "sleep_s": wall.sleep_s}
    once = np.concatenate(list(ReplaySource(recording, **options).chunks()))
    wall.now_s = 100.0
    source, parts, times = LoopedReplay(recording, **options), [], []
    for events in source.chunks():
        parts.append(events)
        times.append(source.t_now_us)
        if source.rounds == 3:
            break
    found = np.concatenate(parts)
    part_us = 40_000  # 40 % of 100 ms
    assert source.counts == {"rounds": 3}
    for number in range(3):
        again = found[number * len(once) : (number + 1) * len(once)]
        np.testing.assert_array_equal(again["t"], once["t"] + number * part_us)
        assert (again[["x", "y", "p"]] == once[["x", "y", "p"]]).all()
    assert times == sorted(times)
    if speed is not None:
        assert wall.now_s == pytest.approx(100 + (times[-1] - source.t_start_us) * 1e-6 / speed)


def test_a_part_without_events_is_not_repeated(recording) -> None:
    for speed in (None, 1e6):
        with pytest.raises(RecordingError, match="got a part without events; expected events to repeat; leave --loop"):
            list(LoopedReplay(recording, speed=speed, start=5010, stop=5090).chunks())
