"""The same events on both sides are found, whatever their format, header, name and clock."""

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_recordings import SIZE, draw_events

from stdl_events.errors import SplitError
from stdl_events.events import WRITERS, RecordingWarning, open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray
from stdl_events.frames import FrameSpec
from stdl_events.prepared import prepare
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.splits.same_events import check_same_events
from stdl_events.recordings.splits.split import by_time

SPEC = FrameSpec(kind="stream", steps=2, dt_us=10_000, sensor_size=SIZE, cap=255)


def write(path: Path, events: EventArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, events, SIZE)
    return path


def converted(path: Path, name: str) -> Path:
    target = path.with_name(name)
    convert(open_recording(path), target)
    return target


def split_of(*trained: Path, held_out: Path) -> Split:
    """`held_out` and another recording against `trained`."""
    other = write(held_out.with_name("other.h5"), draw_events(77))
    recordings = RecordingSet(("a",), SIZE, tuple(Entry(path.name, path, 0, sensor_size=SIZE) for path in trained))
    tested = tuple(Entry(path.name, path, 0, sensor_size=SIZE) for path in (other, held_out))
    return Split(recordings, recordings.with_entries(tested), "of a test")


def read(split: Split) -> Split:
    train, test = (load_readable_clips(side, SPEC)[0] for side in (split.train, split.test))
    return replace(split, train=train, test=test)


@pytest.mark.parametrize(
    "suffix",
    sorted({suffix for name, writer in WRITERS.items() for suffix in writer.suffixes if name != "stdl-hdf5"}),
)
def test_a_converted_copy_is_found(tmp_path: Path, suffix: str) -> None:
    original = write(tmp_path / "one.h5", draw_events(1))
    copy = converted(original, f"copy{suffix}")
    split = split_of(original, held_out=copy)
    split.check_disjoint()  # the files differ
    with pytest.raises(SplitError) as caught:
        check_same_events(read(split))
    assert f"got the same events in {original} (to train) and {copy} (held out)" in str(caught.value)


def test_another_header_and_another_clock_are_found(tmp_path: Path) -> None:
    rows = "".join(f"{t} {x} {y} {int(p)}\n" for t, x, y, p in draw_events(1).tolist())
    later = "".join(f"{t + 500_000} {x} {y} {int(p)}\n" for t, x, y, p in draw_events(1).tolist())
    paths = [tmp_path / f"{name}.txt" for name in ("one", "remark", "later")]
    for path, text in zip(paths, (rows, "# a remark\n" + rows, later), strict=True):
        path.write_text(text)
    for other in paths[1:]:
        split = read(split_of(paths[0], held_out=other))
        with pytest.raises(SplitError, match=re.escape(f"{paths[0]} (to train) and {other} (held out)")):
            check_same_events(split)


def earlier(events: EventArray) -> None:
    events["t"][20] = events["t"][19]


def moved(events: EventArray) -> None:
    events["x"][20] = (events["x"][20] + 1) % SIZE[0]


@pytest.mark.parametrize("change", [earlier, moved])
def test_other_events_of_equal_counts_are_no_leak(tmp_path: Path, change: Callable[[EventArray], None]) -> None:
    events = draw_events(1)
    original = write(tmp_path / "one.h5", events)
    changed = events.copy()
    change(changed)
    split = read(split_of(original, held_out=write(tmp_path / "two.h5", changed)))
    assert split.train.entries[0].counted == split.test.entries[1].counted
    check_same_events(split)


def test_parts_of_copies_may_be_apart(tmp_path: Path) -> None:
    original = write(tmp_path / "one.h5", draw_events(1))
    later = draw_events(1)
    later["t"] += 3_000_000
    copy = write(tmp_path / "copy.h5", later)
    recordings = RecordingSet(("a",), SIZE, tuple(Entry(path.name, path, 0) for path in (original, copy)))
    split = read(by_time(recordings, held_out=0.4, gap_us=10_000))
    check_same_events(split)
    part = replace(split.test.entries[1], span=(3_040_000, 3_100_000))
    with pytest.raises(SplitError, match="the same events in"):
        check_same_events(replace(split, test=split.test.with_entries([part])))


def test_prepare_finds_them_too(tmp_path: Path) -> None:
    original = write(tmp_path / "one.h5", draw_events(1))
    split = split_of(original, held_out=converted(original, "copy.npz"))
    with pytest.raises(SplitError, match=r"the same events in .*one\.h5 \(to train\) and .*copy\.npz \(held out\)"):
        prepare(split, SPEC, tmp_path / "store", dataset="folder", root=tmp_path)


@pytest.mark.filterwarnings("default::stdl_events.events.RecordingWarning")
def test_the_same_events_under_two_labels_on_one_side_are_said(tmp_path: Path) -> None:
    original = write(tmp_path / "one.h5", draw_events(1))
    copy = converted(original, "two.h5")
    held_out = write(tmp_path / "other" / "other.h5", draw_events(7))
    entries = tuple(Entry(path.name, path, label, sensor_size=SIZE) for label, path in enumerate((original, copy)))
    recordings = RecordingSet(("a", "b"), SIZE, entries)
    split = Split(recordings, recordings.with_entries((Entry("other", held_out, 0, sensor_size=SIZE),)), "of a test")
    with pytest.warns(RecordingWarning, match="1 pair of recordings have the same events and two labels") as caught:
        check_same_events(read(split))
    assert f"such as {original} (a), {entries[1].path} (b): remove the wrong ones" in str(caught[-1].message)
    same_label = recordings.with_entries((entries[0], replace(entries[1], label=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_same_events(read(replace(split, train=same_label)))
    halves = [by_time(recordings.with_entries((entry,)), held_out=0.5, gap_us=0) for entry in entries]
    apart = recordings.with_entries((*halves[0].train.entries, *halves[1].test.entries))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_same_events(read(replace(split, train=apart)))
