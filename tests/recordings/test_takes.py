"""After a reset of the clock, each take of a file is a recording of its own, on the side of its file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from files_of_takes import write_takes
from small_recordings import SIZE, draw_events, keys

from stdl_events.errors import SplitError
from stdl_events.events import RecordingWarning, write_recording
from stdl_events.events.geometry import Geometry
from stdl_events.frames import FrameSpec
from stdl_events.recordings.clips import clips_of, load_clips, load_readable_clips
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.splits.same_events import check_same_events
from stdl_events.recordings.splits.split import by_recording, by_time
from stdl_events.recordings.takes import each_take

STREAM = FrameSpec(kind="stream", steps=5, dt_us=10_000, sensor_size=SIZE, cap=255)
WHOLE_ONE = FrameSpec(kind="recording", steps=5, by="count", remainder="drop", sensor_size=SIZE, cap=255)
EARLIER = draw_events(1, t0_us=5_000_000, t1_us=5_300_000)
LATER = draw_events(2, t0_us=0, t1_us=200_000)
# As they are read in one piece: the second take begins one second after the first.
SHIFT_US = 5_299_999 + 1_000_000

pytestmark = pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")


def folder_of(tmp_path: Path) -> RecordingSet:
    """One file of two takes, and two of one take."""
    entries = [Entry("a/reset.npz", write_takes(tmp_path / "a" / "reset.npz", [EARLIER, LATER]), 0, sensor_size=SIZE)]
    for number in (1, 2):
        path = write_takes(tmp_path / "a" / f"{number}.npz", [draw_events(number + 5)])
        entries.append(Entry(f"a/{number}.npz", path, 0, sensor_size=SIZE))
    return RecordingSet(("a",), SIZE, tuple(entries))


def alone(tmp_path: Path, *takes: np.ndarray) -> list[Entry]:
    """Each take as a file of its own."""
    return [
        Entry(f"alone{number}", write_takes(tmp_path / f"alone{number}.npz", [one]), 0, sensor_size=SIZE)
        for number, one in enumerate(takes)
    ]


@pytest.mark.parametrize("spec", [STREAM, WHOLE_ONE], ids=["stream", "recording"])
def test_the_clips_of_a_file_are_those_of_its_takes_alone(tmp_path: Path, spec: FrameSpec) -> None:
    recordings = folder_of(tmp_path)
    readable, clips, bad = load_readable_clips(recordings, spec)
    assert (keys(readable), bad) == (["a/reset.npz:take1", "a/reset.npz:take2", "a/1.npz", "a/2.npz"], [])
    expected = [clips_of(entry, spec) for entry in alone(tmp_path, EARLIER, LATER)]
    for number, (frames_NTCHW, t_start_us_N) in enumerate(expected):
        its = clips.entry_index_N == number
        np.testing.assert_array_equal(clips.frames_NTCHW[its], frames_NTCHW)
        np.testing.assert_array_equal(clips.t_start_us_N[its], t_start_us_N)
    counts = [len(one[0]) for one in expected]
    assert load_clips(recordings, spec).entry_index_N.tolist()[: sum(counts)] == [0] * sum(counts)
    frames_NTCHW, _ = clips_of(recordings.entries[0], spec)
    np.testing.assert_array_equal(frames_NTCHW, np.concatenate([one[0] for one in expected]))


def test_the_warning_says_that_each_is_a_recording(tmp_path: Path) -> None:
    with pytest.warns(RecordingWarning, match=r"2 takes of 200 \+ 200 events, each used as a recording of its own$"):
        load_readable_clips(folder_of(tmp_path), STREAM)


def test_a_part_across_a_reset_becomes_a_part_of_each_take(tmp_path: Path) -> None:
    entry = folder_of(tmp_path).entries[0]
    part = replace(entry, key="row", span=(5_150_000, SHIFT_US + 100_000), begin=5_150_000)
    one = RecordingSet(("a",), SIZE, (part,))
    readable, clips, _ = load_readable_clips(one, STREAM)
    assert [(each.key, each.span) for each in readable.entries] == [
        ("row:take1", (5_150_000, 5_300_000)),
        ("row:take2", (0, 100_000)),
    ]
    assert [each.begin for each in readable.entries] == [5_150_000, 0]
    parts = [EARLIER[EARLIER["t"] >= 5_150_000], LATER[LATER["t"] < 100_000]]
    expected = [clips_of(entry, STREAM)[0] for entry in alone(tmp_path, *parts)]
    np.testing.assert_array_equal(clips.frames_NTCHW, np.concatenate(expected))
    inside = replace(part, span=(SHIFT_US, SHIFT_US + 100_000), begin=SHIFT_US)
    assert keys(load_readable_clips(one.with_entries([inside]), STREAM)[0]) == ["row:take2"]


def test_takes_are_turned_upright_as_files_are(tmp_path: Path) -> None:
    turned = Geometry(rotate=180)
    entry = replace(folder_of(tmp_path).entries[0], orientation=turned)
    expected = [clips_of(replace(one, orientation=turned), STREAM)[0] for one in alone(tmp_path, EARLIER, LATER)]
    np.testing.assert_array_equal(clips_of(entry, STREAM)[0], np.concatenate(expected))
    second = replace(entry.of_take(2), span=(100_000, None))
    assert second.times_us() == (100_000, 200_000)


def test_the_last_time_of_each_take_is_held_out(tmp_path: Path) -> None:
    split = by_time(folder_of(tmp_path), held_out=0.5, gap_us=10_000)
    assert [(entry.key, entry.take, entry.span) for entry in split.train.entries[:2]] == [
        ("a/reset.npz:take1:train", 1, (5_000_000, 5_140_000)),
        ("a/reset.npz:take2:train", 2, (0, 90_000)),
    ]
    assert "3 recordings on both sides, in parts at least 10 ms apart" in split.check_disjoint()


def test_times_of_two_takes_are_not_compared(tmp_path: Path) -> None:
    """Their clocks overlap, and a part of one is no part of the other."""
    path = write_takes(tmp_path / "twice.npz", [draw_events(1, t1_us=2_000_000), draw_events(2, t1_us=2_000_000)])
    one, two = (Entry("f", path, 0, sensor_size=SIZE).of_take(number) for number in (1, 2))
    part = {"span": (0, 2_000_000)}

    def split(ours: Entry, theirs: Entry) -> Split:
        return Split(RecordingSet(("a",), SIZE, (ours,)), RecordingSet(("a",), SIZE, (theirs,)), "of a test")

    split(replace(one, **part), replace(two, **part)).check_disjoint()
    for ours, theirs in (
        (one, two),
        (one, replace(two, **part)),
        (replace(one, take=None, **part), replace(two, **part)),
    ):
        with pytest.raises(SplitError, match="on both sides"):
            split(ours, theirs).check_disjoint()
    with pytest.raises(SplitError, match="overlap"):
        split(replace(one, key="x", **part), replace(one, **part)).check_disjoint()


def test_takes_stay_on_the_side_of_their_file(tmp_path: Path) -> None:
    files = folder_of(tmp_path)
    takes = each_take(files)
    assert keys(takes)[:2] == ["a/reset.npz:take1", "a/reset.npz:take2"]
    sides = set()
    for seed in range(6):
        split, of_takes = (by_recording(recordings, held_out=0.4, seed=seed) for recordings in (files, takes))
        for side in ("train", "test"):
            paths = {entry.path for entry in getattr(split, side).entries}
            assert {entry.path for entry in getattr(of_takes, side).entries} == paths
        sides.add("a/reset.npz" in keys(split.test))
        of_takes.check_disjoint()
    assert sides == {True, False}


def test_a_copy_of_one_take_on_the_other_side_is_found(tmp_path: Path) -> None:
    entries = folder_of(tmp_path).entries
    write_recording(tmp_path / "copy.h5", LATER, SIZE)
    copy = Entry("copy.h5", tmp_path / "copy.h5", 0)
    sides = [RecordingSet(("a",), SIZE, one) for one in (entries, (copy,))]
    train, test = (load_readable_clips(side, STREAM)[0] for side in sides)
    with pytest.raises(SplitError, match=r"the same events in .*reset\.npz \(to train\) and .*copy\.h5"):
        check_same_events(Split(train, test, "of a test"))
