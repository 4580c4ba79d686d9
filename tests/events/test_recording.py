"""Order, chunks and summaries, which do not depend on the format."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import event_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events import RecordingWarning, held, ordering
from stdl_events.events.decoder import Block, Header
from stdl_events.events.recording import Recording


@dataclass
class BlocksInMemory:
    """A decoder of given blocks."""

    parts: list[np.ndarray]
    header: Header = field(default_factory=Header)

    passes: int = 0

    def blocks(self) -> Iterator[Block]:
        self.passes += 1
        for index, part in enumerate(self.parts):
            yield Block(part.copy(), 1000 * index)


def recording_of(parts: list[np.ndarray], *, header: Header | None = None, **options) -> Recording:
    return Recording(Path("memory.test"), "test", BlocksInMemory(parts, header or Header()), **options)


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


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@pytest.mark.parametrize(("most", "passes"), [(5, 1), (4, 2)])
@pytest.mark.parametrize("again", [Recording.read, lambda recording: np.concatenate(list(recording.chunks()))])
def test_a_short_recording_is_decoded_once(most: int, passes: int, again, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MAX_HELD_BACK", most)
    blocks = blocks_of([[0, 3], [], [1, 4, 5]])
    decoder, other = BlocksInMemory(blocks, Header((5, 2), "header", y_up=True)), recording_of(blocks)
    recording = Recording(Path("memory.test"), "test", decoder)
    for further in range(3):  # what was handed on is held no longer
        assert recording.summary.backward_steps == 1
        events = again(recording)
        assert events[["t", "x"]].tolist() == [(0, 0), (1, 2), (3, 1), (4, 3), (5, 4)]
        assert (events["y"] == 1).all()
        assert decoder.passes == passes + further
    recording.choose_take(1)
    assert recording.summary.events == other.summary.events  # which takes the place of the first one
    assert len(again(recording)) == 5
    assert decoder.passes == passes + 4


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
    with pytest.warns(RecordingWarning, match="1 backward time step, by at most 2 us: sorted"):
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


def test_pixels_outside_the_sensor_are_skipped_and_the_first_is_named() -> None:
    parts = blocks_of([[1, 2], [3, 4, 5]])
    recording = recording_of(parts, sensor_size=(3, 1))
    with pytest.warns(
        RecordingWarning, match=r"2 events .0\.4 of all. outside the 3x1 .*event 3 at x=3, y=0, in the bl"
    ):
        assert recording.read()["t"].tolist() == [1, 2, 3]
    assert (recording.summary.events, recording.summary.outside) == (3, 2)
    with pytest.raises(CorruptRecordingError, match=r"event 3 at x=3, y=0, in the block from byte 1000; .*3x1 sensor"):
        recording_of(parts, sensor_size=(3, 1), strict=True).read()


def test_a_sensor_that_most_events_miss_is_an_error() -> None:
    parts = blocks_of([[1, 2], [3, 4, 5]])
    text = (
        r"event 2 at x=2, .*and 2 more events outside the sensor; expected pixels of a 2x1 sensor; .*--sensor.*--repair"
    )
    with pytest.raises(CorruptRecordingError, match=text):
        recording_of(parts, sensor_size=(2, 1)).read()
    with pytest.warns(RecordingWarning, match="3 events"):
        assert recording_of(parts, sensor_size=(2, 1), repair=True).read()["t"].tolist() == [1, 2]


@pytest.mark.parametrize("t", [2**62, -(2**62), 2**63 - 1])
def test_times_whose_differences_overflow_are_damage(t: int) -> None:
    parts = blocks_of([[1, 2], [3, t, 5]])
    said = "no time, or one too large" if t == 2**63 - 1 else f"{t} us"
    with pytest.raises(CorruptRecordingError, match=rf"event 3 at {said}, .* expected times of fewer than 2\^62 us"):
        recording_of(parts).read()
    recording = recording_of(parts, repair=True)
    with pytest.warns(RecordingWarning, match=r"1 stray event without a possible time .*left out"):
        assert recording.read()["t"].tolist() == [1, 2, 3, 5]
    assert np.concatenate(list(recording.chunks(2)))["t"].tolist() == [1, 2, 3, 5]
    with pytest.warns(RecordingWarning, match="kept the 3 events before it"):
        assert recording_of(parts, repair=True, strict=True).read()["t"].tolist() == [1, 2, 3]


def test_events_outside_beside_impossible_times_are_counted_once() -> None:
    parts = blocks_of([list(range(40)), [2**62, *range(40, 79)]])
    parts[0]["y"][5] = parts[1]["y"][0] = parts[1]["y"][9] = 9
    parts[1]["t"][30] = -(2**62)
    recording = recording_of(parts, sensor_size=(100, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        found = recording.read()
    assert (recording.summary.outside, recording.summary.strays, len(found)) == (3, 1, 76)
    assert (np.concatenate(list(recording.chunks(7))) == found).all()


def test_strict_and_repair_keep_the_part_before_the_first_backward_step() -> None:
    recording = recording_of(blocks_of([[1, 2], [1, 4, 5]]), strict=True, repair=True)
    with pytest.warns(RecordingWarning, match="event 2 at 1 us.*kept the 2 events before it"):
        assert recording.read()["t"].tolist() == [1, 2]


@settings(max_examples=100)
@given(times=times_of_blocks, bad=st.integers(0, 40), max_events=st.integers(1, 20))
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_chunks_without_events_outside_equal_the_whole_without_them(
    times: list[list[int]], bad: int, max_events: int
) -> None:
    def repaired() -> Recording:
        parts = blocks_of(times)
        for part in parts:
            part["y"][part["x"] == bad] = 9
        return recording_of(parts, sensor_size=(100, 9), repair=True)

    good = [event for part in blocks_of(times) for event in part.tolist() if event[1] != bad]
    expected = sorted(good, key=lambda event: event[0])
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


def events_at(times: list[int], *, seed: int = 0) -> np.ndarray:
    """Events at `times` in the file's order, at random pixels of a 40x30 sensor."""
    random = np.random.default_rng(seed)
    events = np.zeros(len(times), event_files.EVENT_DTYPE)
    events["t"], events["x"], events["y"] = (
        times,
        random.integers(0, 40, len(times)),
        random.integers(0, 30, len(times)),
    )
    events["p"] = random.integers(0, 2, len(times))
    return events


def in_blocks(events: np.ndarray, size: int) -> list[np.ndarray]:
    return [events[start : start + size] for start in range(0, len(events), size)]


SECOND = 1_000_000


@pytest.mark.parametrize("size", [7, 100, 10_000])
@pytest.mark.parametrize("second_at", [0, 5 * SECOND])
def test_a_take_after_a_reset_never_comes_before_the_first(size: int, second_at: int) -> None:
    first = events_at(list(range(20 * SECOND, 24 * SECOND, 20_000)))
    second = events_at(list(range(second_at, second_at + 6 * SECOND, 20_000)), seed=1)
    parts = in_blocks(np.concatenate([first, second]), size)
    shifted = second.copy()
    shifted["t"] += int(first["t"][-1]) + SECOND - second_at
    recording = recording_of(parts, sensor_size=(40, 30))
    with pytest.warns(RecordingWarning, match=r"the clock leaps back, .*2 takes of 200 \+ 300 events, .* --take N"):
        events = recording.read()
    assert (events == np.concatenate([first, shifted])).all()
    assert (np.concatenate(list(recording.chunks(13))) == events).all()
    assert [take.t_first_us for take in recording.summary.takes] == [20 * SECOND, second_at]
    assert (recording.t_last_us, recording.summary.backward_steps) == (int(shifted["t"][-1]), 0)
    for number, expected in ((1, first), (2, second)):
        one = recording_of(parts, sensor_size=(40, 30), take=number)
        assert (one.read() == expected).all()
        assert (np.concatenate(list(one.chunks(13))) == expected).all()
        assert one.t_first_us == int(expected["t"][0])
    with pytest.raises(RecordingError, match="got the take 3; expected 1 to 2"):
        recording_of(parts, take=3).read()


def test_takes_that_do_not_fit_one_behind_another_are_refused() -> None:
    parts = [events_at([*range(start, start + 4 * SECOND, 20_000)]) for start in (1 << 61, -(1 << 61), 1 << 61, 0)]
    for read in (Recording.read, lambda recording: list(recording.chunks(77))):
        with pytest.raises(CorruptRecordingError, match=r"takes that, one behind another, end at \d+ us; .* --take N"):
            read(recording_of(parts, sensor_size=(40, 30)))


def test_a_late_packet_is_no_take() -> None:
    # 20 events 1.5 s late, between events that go on: disorder, which is sorted.
    now, late = list(range(0, 10 * SECOND, 10_000)), list(range(3_500_000, 3_700_000, 10_000))
    recording = recording_of(in_blocks(events_at(now[:500] + late + now[500:]), 64))
    with pytest.warns(RecordingWarning, match="1 backward time step, by at most 1490000 us: sorted"):
        assert recording.read()["t"].tolist() == sorted(now + late)
    assert len(recording.summary.takes) == 1


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_a_file_that_is_out_of_order_as_a_whole_is_sorted() -> None:
    times = list(range(0, 20 * SECOND, 50_000)) * 100
    recording = recording_of(in_blocks(events_at(times), 999))
    assert recording.read()["t"].tolist() == sorted(times)
    by_polarity = events_at(list(range(0, 20 * SECOND, 50_000)) * 2)
    by_polarity["p"] = np.arange(800) < 400
    assert len(recording_of([by_polarity]).summary.takes) == 1
    looped = [*range(5 * SECOND, 6 * SECOND, 1000), *range(0, 5 * SECOND, 1000)]
    assert recording_of([events_at(looped)]).read()["t"].tolist() == sorted(looped)


@pytest.mark.parametrize("at", ["before", "first", "middle", "last", "after"])
@pytest.mark.parametrize("size", [7, 10_000])
def test_stray_events_far_from_all_others_are_left_out(at: str, size: int) -> None:
    good = events_at(list(range(3000 * SECOND, 3001 * SECOND, 500)))
    stray = events_at([{"before": 0, "after": 9000 * SECOND}.get(at, 4800 * SECOND) + k for k in range(20)], seed=1)
    place = {"before": 0, "first": 0, "middle": 1000}.get(at, 2000)
    parts = in_blocks(np.concatenate([good[:place], stray, good[place:]]), size)
    recording = recording_of(parts, sensor_size=(40, 30))
    with pytest.warns(RecordingWarning, match=rf"20 stray events at {stray['t'][0]} to {stray['t'][-1]} us, far from"):
        assert (recording.read() == good).all()
    assert (np.concatenate(list(recording.chunks(100))) == good).all()
    summary = recording.summary
    assert (summary.events, summary.strays, len(summary.takes)) == (2000, 20, 1)
    assert (summary.t_first_us, summary.t_last_us) == (int(good["t"][0]), int(good["t"][-1]))
    assert summary.on_events == np.count_nonzero(good["p"])
    with pytest.raises(CorruptRecordingError, match=r"older than|stray events"):
        recording_of(parts, strict=True).read()


@pytest.mark.filterwarnings("error")
def test_pauses_and_parts_of_the_same_size_are_no_strays() -> None:
    times = [minute * 60 * SECOND + k for minute in range(10) for k in range(100)]
    assert recording_of([events_at(times)]).read()["t"].tolist() == times
    short_tail = [*range(0, 30 * SECOND, 10_000), *range(35 * SECOND, 35 * SECOND + 50)]
    assert recording_of([events_at(short_tail)]).read()["t"].tolist() == short_tail


@pytest.mark.parametrize("size", [100, 10_000])
def test_an_outlier_does_not_make_the_sensor(size: int) -> None:
    events = events_at(list(range(2000)))
    events["x"][1234] = 65_000
    good = np.delete(events, 1234)
    for read_first in (False, True):
        recording = recording_of(in_blocks(events, size))
        text = r"1 event .* outside the 40x30 sensor, inferred without outliers: skipped; first event 1234 at x=65000"
        with pytest.warns(RecordingWarning, match=text):
            found = recording.read() if read_first else recording.summary
        assert len(found) == 1999 if read_first else recording.summary.events == 1999
        assert (recording.read() == good).all()
        assert (recording.sensor_size, recording.sensor_size_from) == ((40, 30), "inferred")
        assert (np.concatenate(list(recording.chunks(100))) == good).all()


def test_a_sensor_of_absurd_size_stops_before_it_is_used() -> None:
    events = events_at(list(range(100)))
    events["x"][50] = 65_000
    text = r"got a sensor of 65001x30 by its coordinates; expected at most 4096 .* --sensor WxH"
    with pytest.raises(RecordingError, match=text):
        _ = recording_of([events]).sensor_size
    with pytest.raises(RecordingError, match=r"got a sensor of 60000x60000 by its header"):
        recording_of([events], header=Header((60_000, 60_000), "header"))


def test_a_long_step_back_is_said_to_mix_what_was_recorded() -> None:
    """Two takes less than a second apart were sorted into each other, and called disorder."""
    with pytest.warns(
        RecordingWarning, match=r"1 backward time step, by at most 399000 us: sorted, which mixes .* two takes"
    ):
        recording_of(blocks_of([list(range(0, 400_000, 1000)), list(range(0, 400_000, 1000))])).read()
    with pytest.warns(RecordingWarning, match=r"by at most 100000 us: sorted$"):
        recording_of(blocks_of([list(range(0, 101_000, 1000)), [0, 150_000]])).read()
