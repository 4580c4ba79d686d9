"""Splits: the recordings of each side, and the check that both sides are disjoint."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_recordings import SIZE, draw_events, keys

from stdl_events.errors import DatasetError, SplitError
from stdl_events.events import open_recording, span_us
from stdl_events.frames import FrameSpec
from stdl_events.recordings import Entry, RecordingSet, Split, by_group, by_order, by_recording, by_time, clips_of
from stdl_events.recordings.splits.split import file_number

Write = Callable[..., Path]


def named(names: list[str], *, classes: int = 1, groups: list[str | None] | None = None) -> RecordingSet:
    """A set of recordings that are not on disk; label i % classes."""
    groups = groups or [None] * len(names)
    entries = tuple(Entry(name, Path(name), i % classes, group=groups[i]) for i, name in enumerate(names))
    return RecordingSet(tuple(f"class {label}" for label in range(classes)), SIZE, entries)


@pytest.mark.parametrize(
    ("classes", "key", "text"),
    [
        (("a", "b", "a"), "x", "classes: got 'a' twice; expected a name for each class"),
        (("a", "b\udcff"), "x", "class 'b.*': got a name that is not UTF-8; .* rename"),
        (("a", "b"), "x\udcff", "x.*: got a name that is not UTF-8; .* rename"),
    ],
)
def test_names_are_of_one_class_and_can_be_written(classes: tuple[str, ...], key: str, text: str) -> None:
    with pytest.raises(DatasetError, match=text):
        RecordingSet(classes, SIZE, (Entry(key, Path(key), 0),))


def test_by_order_goes_by_number_not_by_spelling() -> None:
    split = by_order(named([f"a_{n}.bin" for n in (10, 9, 2, 1, 100, 11)]), train=4, test=2)
    assert keys(split.train) == ["a_1.bin", "a_2.bin", "a_9.bin", "a_10.bin"]
    assert keys(split.test) == ["a_11.bin", "a_100.bin"]
    assert split.rule == "by file number, first 4 and last 2"
    split = by_order(named([f"a_{n}.bin" for n in range(6)]), train=1, test=2)
    assert split.rule == "by file number, first 1 and last 2, 3 between them on no side"


def test_by_order_counts_in_each_class() -> None:
    names = [f"{'ab'[i % 2]}/{i:02d}.bin" for i in range(10)]
    split = by_order(named(names, classes=2), train=3, test=1, per_class=True)
    assert keys(split.train) == ["a/00.bin", "a/02.bin", "a/04.bin", "b/01.bin", "b/03.bin", "b/05.bin"]
    assert keys(split.test) == ["a/08.bin", "b/09.bin"]


def test_by_order_refuses_what_is_not_there() -> None:
    with pytest.raises(SplitError, match=r"got 3 recordings for 3 to train and 1 held out; expected at least 4"):
        by_order(named(["1.bin", "2.bin", "3.bin"]), train=3, test=1)
    with pytest.raises(SplitError, match=r"walk\.bin: got a file name without a number"):
        by_order(named(["walk.bin", "2.bin"]), train=1, test=1)
    with pytest.raises(SplitError, match="at least 1 on each side"):
        by_order(named(["1.bin", "2.bin"]), train=2, test=0)


def test_file_number_is_the_last_one_before_the_suffixes() -> None:
    assert file_number(Entry("k", Path("day2/user3_take12.v4.aedat"), 0)) == 12


@given(st.integers(2, 30), st.integers(1, 4), st.floats(0.05, 0.95), st.integers(0, 100))
def test_by_recording_holds_a_share_of_each_class_out(per_class: int, classes: int, share: float, seed: int) -> None:
    recordings = named([f"{i}.bin" for i in range(per_class * classes)], classes=classes)
    split = by_recording(recordings, held_out=share, seed=seed)
    assert sorted(keys(split.train) + keys(split.test)) == sorted(keys(recordings))
    for label in range(classes):
        held_out = sum(entry.label == label for entry in split.test.entries)
        assert 1 <= held_out < per_class
        assert abs(held_out - share * per_class) <= 1


def test_by_recording_depends_on_the_seed_alone() -> None:
    recordings = named([f"{i}.bin" for i in range(40)], classes=2)
    shuffled = recordings.with_entries(reversed(recordings.entries))
    first = by_recording(recordings, held_out=0.3, seed=1)
    assert set(keys(first.test)) == set(keys(by_recording(shuffled, held_out=0.3, seed=1).test))
    assert set(keys(first.test)) != set(keys(by_recording(recordings, held_out=0.3, seed=2).test))


def test_by_recording_needs_two_of_a_class() -> None:
    with pytest.raises(SplitError, match=r"class class 1: got 1 recording; expected at least 2"):
        by_recording(named(["a", "b", "c"], classes=2), held_out=0.5, seed=0)
    with pytest.raises(SplitError, match="held out 1; expected a share between 0 and 1"):
        by_recording(named(["a", "b"]), held_out=1, seed=0)


def test_by_group_keeps_people_together() -> None:
    recordings = named(["a", "b", "c", "d"], groups=["ann", "bob", "ann", "cy"])
    split = by_group(recordings, held_out={"ann"})
    assert (keys(split.train), keys(split.test)) == (["b", "d"], ["a", "c"])
    with pytest.raises(SplitError, match="got dora, which no recording has; expected some of ann, bob, cy"):
        by_group(recordings, held_out=["dora"])
    with pytest.raises(SplitError, match="split by group, b: got no person or session"):
        by_group(named(["a", "b"], groups=["ann", None]), held_out=["ann"])


def test_by_time_leaves_a_gap_of_one_clip(write: Write) -> None:
    path = write("one.h5", draw_events(1, count=5000, t0_us=3_000, t1_us=1_003_000))
    recordings = RecordingSet(("one",), SIZE, (Entry("one", path, 0),))
    split = by_time(recordings, held_out=0.3, gap_us=50_000)
    recording = open_recording(path)
    trained, tested = (span_us(recording, *side.entries[0].span) for side in (split.train, split.test))
    assert tested == span_us(recording, "70%", None)
    assert trained == (3_000, tested[0] - 50_000)
    spec = FrameSpec(kind="stream", steps=5, dt_us=10_000, sensor_size=SIZE)
    starts = [clips_of(side.entries[0], spec)[1] for side in (split.train, split.test)]
    assert len(starts[0])
    assert len(starts[1])
    # A part that begins or ends inside a frame includes that frame.
    assert starts[1][0] - (starts[0][-1] + 50_000) >= 50_000 - 2 * spec.dt_us
    assert "1 recording on both sides, in parts at least 50 ms apart" in split.check_disjoint()


def test_by_time_refuses_recordings_too_short_for_the_gap(write: Write) -> None:
    recordings = RecordingSet(("one",), SIZE, (Entry("one", write("one.h5"), 0),))
    with pytest.raises(SplitError, match="69999 us before the held-out part, of 100000 us in all; expected"):
        by_time(recordings, held_out=0.3, gap_us=90_000)
    part = recordings.with_entries([replace(recordings.entries[0], span=(0, 10))])
    with pytest.raises(SplitError, match="7 us before the held-out part, of 10 us in all; expected"):
        by_time(part, held_out=0.3, gap_us=10)


@pytest.fixture
def pair(write: Write) -> Split:
    """One recording on each side."""
    sides = [RecordingSet(("one",), SIZE, (Entry(name, write(name), 0),)) for name in ("a.h5", "b.h5")]
    return Split(*sides, "of a test")


def test_the_outcome_of_the_check_is_one_line(pair: Split) -> None:
    expected = (
        "split of a test: 1 to train, 1 held out; checked: no recording on both sides; no persons or sessions named"
    )
    assert pair.check_disjoint() == expected
    grouped = replace(
        pair,
        train=pair.train.with_entries([replace(pair.train.entries[0], group="ann")]),
        test=pair.test.with_entries([replace(pair.test.entries[0], group="bob")]),
    )
    assert grouped.check_disjoint().endswith("none of 2 persons or sessions on both sides")


def test_one_recording_on_both_sides_is_found(pair: Split) -> None:
    leaking = replace(pair, test=pair.test.with_entries([*pair.test.entries, *pair.train.entries]))
    with pytest.raises(SplitError, match=r"got the recording a\.h5 on both sides; expected each on one side"):
        leaking.check_disjoint()


def test_a_copy_under_another_name_is_found(pair: Split, tmp_path: Path) -> None:
    copy = tmp_path / "innocent.h5"
    shutil.copy(pair.train.entries[0].path, copy)
    leaking = replace(pair, test=pair.test.with_entries([Entry("innocent", copy, 0)]))
    with pytest.raises(SplitError, match=r"the recording a\.h5 and innocent on both sides"):
        leaking.check_disjoint()


def test_files_of_one_size_and_other_content_are_no_leak(pair: Split, tmp_path: Path) -> None:
    sides = []
    for name, value in (("x.npy", 1), ("y.npy", 2)):
        np.save(tmp_path / name, np.full(9, value))
        sides.append(pair.train.with_entries([Entry(name, tmp_path / name, 0)]))
    assert "no recording on both sides" in Split(*sides, "of a test").check_disjoint()


def test_a_person_on_both_sides_is_found(pair: Split) -> None:
    sides = [side.with_entries([replace(side.entries[0], group="ann")]) for side in (pair.train, pair.test)]
    with pytest.raises(SplitError, match="got ann on both sides; expected each person or session on one side"):
        Split(*sides, "of a test").check_disjoint()


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ((0.0, 0.5), (0.4, None), "that overlap"),
        ((0.0, 0.5), (0.5, None), "that are 0 us apart"),
        ((0.5, None), (0.0, 0.45), "that are 5000 us apart"),
    ],
)
def test_parts_too_close_are_found(
    pair: Split, ours: tuple[float, float], theirs: tuple[float, float], message: str
) -> None:
    whole = pair.train.entries[0]
    sides = [pair.train.with_entries([replace(whole, key=str(span), span=span)]) for span in (ours, theirs)]
    with pytest.raises(SplitError, match=message):
        Split(*sides, "of a test", gap_us=10_000).check_disjoint()


def test_empty_and_unlike_sides_are_refused(pair: Split) -> None:
    with pytest.raises(SplitError, match="got no held-out recordings"):
        replace(pair, test=pair.test.with_entries([])).check_disjoint()
    other = RecordingSet(("two",), SIZE, pair.test.entries)
    with pytest.raises(SplitError, match="other classes or another sensor on one side"):
        replace(pair, test=other).check_disjoint()


def test_a_missing_file_is_a_clear_error(pair: Split) -> None:
    pair.test.entries[0].path.unlink()
    with pytest.raises(DatasetError, match=r"b\.h5: got No such file or directory; expected a recording"):
        pair.check_disjoint()


def test_a_set_refuses_one_key_twice_and_labels_without_a_class() -> None:
    with pytest.raises(DatasetError, match="got the key a for a second time"):
        named(["a", "a"])
    with pytest.raises(DatasetError, match="got the label 1; expected 0 to 0"):
        RecordingSet(("one",), SIZE, (Entry("a", Path("a"), 1),))


def test_objects_are_split_in_time(recordings_dir: Path) -> None:
    from stdl_events.recordings import read_folder

    recordings = read_folder(recordings_dir / "objects")
    assert len(recordings.classes) == 7
    assert recordings.sensor_size == (128, 128)
    split = by_time(recordings, held_out=0.3, gap_us=200_000)
    assert "7 recordings on both sides, in parts at least 200 ms apart" in split.check_disjoint()
