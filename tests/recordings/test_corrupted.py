"""Corrupted recordings have the clips of the recordings as they are, in the same windows, whatever is dropped."""

from pathlib import Path

import numpy as np
import pytest

from stdl_events.events import write_recording
from stdl_events.events.corruption_registry import CORRUPTIONS
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.recordings import Entry, RecordingSet
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.corrupted import CorruptedCut

SIZE = (8, 6)
SPEC = FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SIZE, cap=255)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> RecordingSet:
    """One whole recording of 400 ms, sparse at its ends, and two parts: labelled, and on the grid of the whole."""
    rng = np.random.default_rng(0)
    events = empty_events(900)
    events["t"] = 3_000 + np.sort(np.concatenate([[0, 399_999], rng.integers(45_000, 350_000, 898)]))
    events["x"], events["y"] = rng.integers(0, 8, 900), rng.integers(0, 6, 900)
    path = tmp_path_factory.mktemp("corrupted") / "r.h5"
    write_recording(path, events, SIZE)
    whole = Entry("whole", path, 0)
    labelled = Entry("labelled", path, 1, span=(107_000, 290_000), begin=107_000)
    part = Entry("part", path, 1, span=("30%", None))
    return RecordingSet(("a", "b"), SIZE, (whole, labelled, part))


def test_level_that_changes_nothing_cuts_the_same_clips(recordings: RecordingSet) -> None:
    filtered = FrameSpec.parse(SPEC.model_dump() | {"filters": {"background_us": 3_000}, "downscale": 2})
    for spec in (SPEC, filtered, FrameSpec.parse(SPEC.model_dump() | {"grid": "clock"})):
        _, expected, _ = load_readable_clips(recordings, spec)
        for kind in ("drop", "speed"):
            identity = CORRUPTIONS[kind].identity
            _, found, _ = load_readable_clips(recordings, spec, cut=CorruptedCut(CORRUPTIONS[kind], identity))
            assert len(expected) > 15
            assert np.array_equal(found.frames_NTCHW, expected.frames_NTCHW)
            assert np.array_equal(found.t_start_us_N, expected.t_start_us_N)
            assert found.incomplete == expected.incomplete


def test_dropped_events_keep_the_clips_in_their_windows(recordings: RecordingSet) -> None:
    _, expected, _ = load_readable_clips(recordings, SPEC)
    _, found, _ = load_readable_clips(recordings, SPEC, cut=CorruptedCut(CORRUPTIONS["drop"], 97))
    assert np.array_equal(found.t_start_us_N, expected.t_start_us_N)
    assert np.array_equal(found.entry_index_N, expected.entry_index_N)
    assert (np.asarray(found.frames_NTCHW) <= np.asarray(expected.frames_NTCHW)).all()
    empty = CorruptedCut(CORRUPTIONS["drop"], 100)
    _, nothing, _ = load_readable_clips(recordings, SPEC, cut=empty)
    assert len(nothing) == len(expected)
    assert not np.asarray(nothing.frames_NTCHW).any()


def test_events_are_corrupted_before_they_are_framed_and_filtered(recordings: RecordingSet) -> None:
    cut = CorruptedCut(CORRUPTIONS["noise"], 50, seed=3)
    whole = recordings.with_entries(recordings.entries[:1])
    events = whole.entries[0].open().read()
    corrupted = cut.corrupted(whole.entries[0], events, SIZE)
    assert len(corrupted) > 1.5 * len(events)
    _, found, _ = load_readable_clips(whole, SPEC, cut=cut)
    counts = np.zeros((10, 4, 2, *SIZE[::-1]), np.int64)
    step = (corrupted["t"] - events["t"][0]) // 10_000
    np.add.at(counts, (step // 4, step % 4, corrupted["p"].astype(int), corrupted["y"], corrupted["x"]), 1)
    assert np.array_equal(found.frames_NTCHW, counts)
    binned = FrameSpec(kind="recording", steps=5, by="count", sensor_size=SIZE, cap=255)
    _, bins, _ = load_readable_clips(whole, binned, cut=cut)
    assert np.array_equal(bins.frames_NTCHW[0], recording_frames(corrupted, binned))


def test_twice_the_speed_is_half_the_clips(recordings: RecordingSet) -> None:
    whole = recordings.with_entries(recordings.entries[:1])
    _, found, _ = load_readable_clips(whole, SPEC, cut=CorruptedCut(CORRUPTIONS["speed"], 2))
    assert len(found) == 5


def test_draws_depend_on_seed_and_recording_alone(recordings: RecordingSet) -> None:
    events = recordings.entries[0].open().read()

    def drawn(entry: int, seed: int) -> EventArray:
        return CorruptedCut(CORRUPTIONS["drop"], 50, seed).corrupted(recordings.entries[entry], events, SIZE)

    assert np.array_equal(drawn(0, 0), drawn(0, 0))
    assert not np.array_equal(drawn(0, 0), drawn(0, 1))
    assert not np.array_equal(drawn(0, 0), drawn(1, 0))


def test_recording_without_events_has_no_clips(tmp_path: Path) -> None:
    write_recording(tmp_path / "empty.h5", empty_events(), SIZE)
    empty = RecordingSet(("a",), SIZE, (Entry("empty", tmp_path / "empty.h5", 0),))
    _, found, bad = load_readable_clips(empty, SPEC, cut=CorruptedCut(CORRUPTIONS["noise"], 1))
    assert (len(found), bad) == (0, [])
