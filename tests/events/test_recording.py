"""Order, chunks and summaries, which do not depend on the format."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import event_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events import RecordingWarning, ordering
from stdl_events.events.decoder import Block, Header
from stdl_events.events.recording import Recording


@dataclass
class BlocksInMemory:
    """A decoder of given blocks."""

    parts: list[np.ndarray]
    header: Header = field(default_factory=Header)

    def blocks(self) -> Iterator[Block]:
        for index, part in enumerate(self.parts):
            yield Block(part.copy(), 1000 * index)


def recording_of(parts: list[np.ndarray], **options) -> Recording:
    return Recording(Path("memory.test"), "test", BlocksInMemory(parts), **options)


def blocks_of(times: list[list[int]]) -> list[np.ndarray]:
    """Blocks of events with these times; x counts the events, so that a stable sort is visible."""
    parts, count = [], 0
    for part_times in times:
        part = np.zeros(len(part_times), event_files.EVENT_DTYPE)
        part["t"] = part_times
        part["x"] = np.arange(count, count + len(part))
        count += len(part)
        parts.append(part)
    return parts


times_of_blocks = st.lists(st.lists(st.integers(-30, 30), max_size=12), max_size=6)


@settings(max_examples=200)
@given(times=times_of_blocks, max_events=st.integers(1, 20))
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_chunks_equal_a_stable_sort_of_everything(times: list[list[int]], max_events: int) -> None:
    in_file_order = [(t, x) for part in blocks_of(times) for t, x in part[["t", "x"]].tolist()]
    expected = sorted(in_file_order, key=lambda event: event[0])
    recording = recording_of(blocks_of(times))
    chunks = list(recording.chunks(max_events))
    assert all(0 < len(chunk) <= max_events for chunk in chunks)
    assert [event for chunk in chunks for event in chunk[["t", "x"]].tolist()] == expected
    assert recording_of(blocks_of(times)).read()[["t", "x"]].tolist() == expected


@settings(max_examples=200)
@given(times=times_of_blocks)
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_summary_equals_a_literal_count(times: list[list[int]]) -> None:
    flat = [t for part in times for t in part]
    summary = recording_of(blocks_of(times)).summary
    assert summary.events == len(flat)
    assert summary.t_first_us == min(flat, default=None)
    assert summary.t_last_us == max(flat, default=None)
    assert summary.backward_steps == sum(flat[i] < flat[i - 1] for i in range(1, len(flat)))
    assert summary.lateness_us == max((max(flat[: i + 1]) - t for i, t in enumerate(flat)), default=0)


def test_only_late_events_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # One step back of 3 us in a long stream: at any time only the events of 3 us are held back.
    parts = blocks_of([list(range(1000)), list(range(997, 2000)), list(range(2000, 3000))])
    monkeypatch.setattr(ordering, "MAX_HELD_EVENTS", 6)
    with pytest.warns(RecordingWarning, match="1 backward time steps, by at most 2 us: sorted"):
        chunks = list(recording_of(parts).chunks(10_000))
    assert (np.diff(np.concatenate(chunks)["t"]) >= 0).all()


def test_disorder_too_wide_for_a_stream_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MAX_HELD_EVENTS", 50)
    parts = blocks_of([list(range(100)), list(range(100))])
    with (
        pytest.warns(RecordingWarning),
        pytest.raises(CorruptRecordingError, match=r"at most 50 events to be held back.*read it whole"),
    ):
        list(recording_of(parts).chunks())


def test_warnings_come_once() -> None:
    recording = recording_of(blocks_of([[5, 3]]))
    with pytest.warns(RecordingWarning):
        recording.read()
    recording.read()
    list(recording.chunks())


def test_pixels_outside_the_sensor_name_event_and_block() -> None:
    parts = blocks_of([[1, 2], [3, 4, 5]])
    with pytest.raises(CorruptRecordingError, match=r"event 3 at x=3, y=0, in the block from byte 1000; .*3x1 sensor"):
        recording_of(parts, sensor_size=(3, 1)).read()
    with pytest.warns(RecordingWarning, match="event 3 at x=3.*kept the 3 events before it"):
        assert recording_of(parts, sensor_size=(3, 1), repair=True).read()["t"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("t", [2**62, -(2**62), 2**63 - 1])
def test_times_whose_differences_overflow_are_damage(t: int) -> None:
    parts = blocks_of([[1, 2], [3, t, 5]])
    with pytest.raises(CorruptRecordingError, match=rf"event 3 at {t} us, .* expected a time of fewer than 2\^62 us"):
        recording_of(parts).read()
    with pytest.warns(RecordingWarning, match="kept the 3 events before it"):
        assert recording_of(parts, repair=True).read()["t"].tolist() == [1, 2, 3]


def test_strict_and_repair_keep_the_part_before_the_first_backward_step() -> None:
    recording = recording_of(blocks_of([[1, 2], [1, 4, 5]]), strict=True, repair=True)
    with pytest.warns(RecordingWarning, match="event 2 at 1 us.*kept the 2 events before it"):
        assert recording.read()["t"].tolist() == [1, 2]


@settings(max_examples=100)
@given(times=times_of_blocks, bad=st.integers(0, 40), max_events=st.integers(1, 20))
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_repaired_chunks_equal_the_repaired_whole(times: list[list[int]], bad: int, max_events: int) -> None:
    def repaired() -> Recording:
        parts = blocks_of(times)
        for part in parts:
            part["y"][part["x"] == bad] = 9
        return recording_of(parts, sensor_size=(100, 9), repair=True)

    expected = sorted([event for part in blocks_of(times) for event in part.tolist()][:bad], key=lambda event: event[0])
    assert repaired().read().tolist() == expected
    assert [event for chunk in repaired().chunks(max_events) for event in chunk.tolist()] == expected


def test_size_is_inferred_from_all_events() -> None:
    recording = recording_of(blocks_of([[1, 2], [3]]))
    assert (recording.sensor_size, recording.sensor_size_from) == ((3, 1), "inferred")


def test_size_of_nothing_is_an_error() -> None:
    with pytest.raises(RecordingError, match=r"without events.*pass --sensor WxH"):
        _ = recording_of([]).sensor_size


@pytest.mark.parametrize(("size", "height"), [(None, 8), ((9, 10), 10)])
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_rows_that_count_upwards_are_turned_over(size: tuple[int, int] | None, height: int) -> None:
    parts = blocks_of([[3, 1], [2, 0]])
    for part in parts:
        part["y"] = 7 - part["t"]
    recording = Recording(Path("memory.test"), "test", BlocksInMemory(parts, Header(y_up=True)), sensor_size=size)
    assert recording.read()["y"].tolist() == [height - 8, height - 7, height - 6, height - 5]
    assert np.concatenate(list(recording.chunks(1)))["y"].tolist() == recording.read()["y"].tolist()


def test_header_size_wins_over_the_argument_and_says_so() -> None:
    decoder = BlocksInMemory(blocks_of([[1]]), Header((10, 20), "header"))
    with pytest.warns(RecordingWarning, match=r"its header says 10x20, so the sensor size 5x5 is not used"):
        recording = Recording(Path("memory.test"), "test", decoder, sensor_size=(5, 5))
    assert (recording.sensor_size, recording.sensor_size_from) == ((10, 20), "header")
