"""Folders with a label file: which part of which recording has which label, and what is said or refused."""

import re
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from files_of_takes import write_takes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_recordings import SIZE, draw_events, keys

from stdl_events.errors import DatasetError
from stdl_events.events import open_recording
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import read_events, read_folder, read_given_split
from stdl_events.recordings.labels.label_columns import COLUMNS, HEADER
from stdl_events.recordings.labels.label_file import read_label_file
from stdl_events.recordings.labels.layout import FIELDS, Layout
from stdl_events.recordings.orientation import parse_orientations

Write = Callable[..., Path]
FIRST_US = 5_000_000
HEAD = "recording,t_start,t_end,label"


def write_late(write: Write, *names: str, first_us: int = FIRST_US) -> None:
    """Recordings of 100 ms whose clock does not begin at 0."""
    for number, name in enumerate(names):
        write(name, draw_events(number, t0_us=first_us, t1_us=first_us + 100_000))


def label(root: Path, *lines: str, name: str = "labels.csv") -> Path:
    path = root / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def said(root: Path, **options: str | None) -> list[str]:
    """What reading a folder warns of, and the entries' keys, labels and spans."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recordings = read_folder(root, **options)  # type: ignore[arg-type]
    assert all(issubclass(one.category, RecordingWarning) for one in caught)
    parts = [f"{entry.key} {recordings.classes[entry.label]} {entry.span}" for entry in recordings.entries]
    return [*(str(one.message) for one in caught), *parts]


def test_rows_label_parts_of_a_recording(write: Write, tmp_path: Path) -> None:
    write_late(write, "day/a.h5", "day/b.h5")
    label(tmp_path, f"{HEAD},subject,session", "day/b.h5,0,30000,up,ann,1", "day/a.h5,50000,70000,down,ben,2",
          "day/a.h5,10000,40000,up,ben,2")  # fmt: skip
    with pytest.warns(RecordingWarning, match=r"labels\.csv: times count after each recording's first event") as caught:
        recordings = read_folder(tmp_path)
    assert len(caught) == 1
    assert recordings.classes == ("down", "up")
    assert recordings.sensor_size == SIZE
    facts = [(entry.key, entry.label, entry.span, entry.subject, entry.session) for entry in recordings.entries]
    assert facts == [
        ("day/a.h5:4", 1, (FIRST_US + 10_000, FIRST_US + 40_000), "ben", "2"),
        ("day/a.h5:3", 0, (FIRST_US + 50_000, FIRST_US + 70_000), "ben", "2"),
        ("day/b.h5:2", 1, (FIRST_US, FIRST_US + 30_000), "ann", "1"),
    ]
    for entry in recordings.entries:
        whole = entry.open().read()
        inside = (whole["t"] >= entry.span[0]) & (whole["t"] < entry.span[1])
        np.testing.assert_array_equal(read_events(entry), whole[inside])


def test_times_of_the_recordings_own_clock(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    label(tmp_path, HEAD, f"a.h5,{FIRST_US},{FIRST_US + 9},x", f"a.h5,{FIRST_US + 50_000},{FIRST_US + 60_000},y")
    first, *parts = said(tmp_path)
    assert (
        "times count in the recordings' own clock, since only so do all of them fit (data.label_times=clock)" in first
    )
    assert parts == [f"a.h5:2 x {(FIRST_US, FIRST_US + 9)}", f"a.h5:3 y {(FIRST_US + 50_000, FIRST_US + 60_000)}"]


def test_times_that_fit_both_clocks_must_be_stated(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5", first_us=30_000)
    label(tmp_path, HEAD, "a.h5,40000,50000,x", "a.h5,60000,70000,y")
    with pytest.raises(DatasetError, match=r"differ by up to 0\.03 s; .*say which with --set data\.label_times"):
        read_folder(tmp_path)
    assert said(tmp_path, label_times="clock") == ["a.h5:2 x (40000, 50000)", "a.h5:3 y (60000, 70000)"]
    assert said(tmp_path, label_times="recording") == ["a.h5:2 x (70000, 80000)", "a.h5:3 y (90000, 100000)"]


def test_clocks_that_begin_together_need_no_statement(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5", first_us=900)
    label(tmp_path, HEAD, "a.h5,0,50000,x", "a.h5,60000,,y")
    assert said(tmp_path) == ["a.h5:2 x (0, 50000)", "a.h5:3 y (60000, 100900)"]


WRONG = {
    "an end before the start": (["a.h5,20000,10000,x", "a.h5,0,1,y"], "line 2: got a part from 20000 to 10000 us"),
    "an end at the start": (["a.h5,0,1,x", "a.h5,20000,20000,y"], "line 3: got a part from 20000 to 20000 us"),
    "beyond the recording": (
        ["a.h5,0,1,x", "a.h5,90000,250000,y"],
        r"line 3: got a part from 90000 to 250000 us; expected a part of a\.h5, 0 to 99999 us after its first event",
    ),
    "behind the recording": (["a.h5,0,1,x", "a.h5,100001,100002,y"], "line 3: got a part from 100001 to 100002 us"),
    "before the recording": (["a.h5,0,1,x", "a.h5,-7,100002,y"], "line 3: got a part from -7 to 100002 us"),
    "two labels at once": (["a.h5,0,30000,x", "a.h5,20000,40000,y"], "line 3: got y during x of line 2"),
    "two labels within one": (
        ["a.h5,0,90000,x", "a.h5,1000,2000,x", "a.h5,50000,60000,y"],
        "line 4: got y during x of line 2",
    ),
    "a label of all and of a part": (["a.h5,,,x", "a.h5,20000,40000,y"], "line 3: got y during x of line 2"),
    "no label": (["a.h5,0,10,", "a.h5,20,40,y"], "line 2: got no label"),
    "no recording": (["a.h5,0,10,x", ",20,40,y"], "line 3: got no recording"),
    "no time": (["a.h5,0,10,x", "a.h5,20,soon,y"], "line 3: got 'soon' as t_end; expected a time"),
    "an endless time": (["a.h5,0,1e999999999,x"], "line 2: got '1e999999999' as t_end; expected a time"),
    "not a number": (["a.h5,0,nan,x"], "line 2: got 'nan' as t_end; expected a time"),
    "seconds": (["a.h5,0.5,1.5,x"], "line 2: got 0.5 as t_start; expected whole microseconds; .*t_start_s for seconds"),
    "more cells": (["a.h5,0,10,x", "a.h5,20,40,y,z"], "line 3: got 5 cells; expected 4"),
    "an open quote": (["a.h5,0,10,x", 'a.h5,20,40,"y'], "line 3: got unexpected end of data"),
    "one class": (["a.h5,0,10,x"], "got recordings of one class, x; expected at least two classes"),
    "no row": ([], "got a header without rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rows_are_named_by_their_line(write: Write, tmp_path: Path, name: str) -> None:
    write_late(write, "a.h5")
    lines, message = WRONG[name]
    label(tmp_path, HEAD, *lines)
    with pytest.raises(DatasetError, match=message):
        said(tmp_path)


@pytest.mark.parametrize("header", ["a.h5,0,10,x", "label;start;end", "file,start,end", "recording,class,label"])
def test_a_missing_header_shows_one(write: Write, tmp_path: Path, header: str) -> None:
    write_late(write, "a.h5")
    label(tmp_path, header, "a.h5,0,10,x")
    with pytest.raises(DatasetError, match="line 1: got") as caught:
        read_folder(tmp_path)
    assert HEADER in str(caught.value) or "got the columns class and label" in str(caught.value)


FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "blank lines": lambda text: ("\n" + text.replace("\n", "\n\n , ,\n")).encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "spaces": lambda text: text.replace(",", " , ").encode(),
    "quotes": lambda text: '"{}"'.format(text.replace(",", '","').replace("\n", '"\n"')).encode(),
    "an index column": lambda text: ("," + text.replace("\n", "\n0,")).encode(),
    "a comment mark": lambda text: b"# " + text.encode(),
    "upper case": lambda text: text.replace("recording", "Recording").replace("t_start", "T START").encode(),
    "other names": lambda text: text.replace("recording", "File Name").replace("label", "Activity").encode(),
    "a unit": lambda text: text.replace("t_start", "startTime_usec").replace("t_end", "end [us]").encode(),
    "backslashes": lambda text: text.replace("a/1", ".\\a\\1").encode(),
    "no suffix": lambda text: text.replace(".h5", "").encode(),
    "another case": lambda text: text.replace("a/1.h5", "A/1.H5").encode(),
    "another Unicode form": lambda text: unicodedata.normalize("NFD", text).encode(),
    "whole floats": lambda text: text.replace("10000", "1e4").replace("40000", "40000.0").encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["labels.csv", "Segments.TSV"])
def test_files_as_editors_and_systems_leave_them(write: Write, tmp_path: Path, form: str, name: str) -> None:
    write_late(write, "a/1.h5", "über/2.h5")
    text = f"{HEAD}\na/1.h5,10000,40000,auf\nüber/2.h5,0,40000,zurück"
    (tmp_path / name).write_bytes(FORMS[form](text))
    with pytest.warns(RecordingWarning, match="times count after") as caught:
        recordings = read_folder(tmp_path)
    assert len(caught) == 1
    assert recordings.classes == ("auf", "zurück")
    assert [entry.span for entry in recordings.entries] == [
        (FIRST_US + 10_000, FIRST_US + 40_000),
        (FIRST_US, FIRST_US + 40_000),
    ]
    assert [entry.key.split(":")[0] for entry in recordings.entries] == ["a/1.h5", "über/2.h5"]


@pytest.mark.parametrize(("unit", "factor"), [("us", 1), ("ms", 1e-3), ("s", 1e-6), ("ns", 1e3), ("seconds", 1e-6)])
def test_a_header_states_the_unit(write: Write, tmp_path: Path, unit: str, factor: float) -> None:
    write_late(write, "a.h5")
    times = [f"{time_us * factor:.6f}" for time_us in (10_000, 40_000, 50_000, 60_000)]
    label(tmp_path, f"recording,t_start_{unit},t_end ({unit}),label", f"a.h5,{times[0]},{times[1]},x",
          f"a.h5,{times[2]},{times[3]},y")  # fmt: skip
    spans = [f"{(FIRST_US + start, FIRST_US + stop)}" for start, stop in ((10_000, 40_000), (50_000, 60_000))]
    assert said(tmp_path, label_times="recording") == [f"a.h5:2 x {spans[0]}", f"a.h5:3 y {spans[1]}"]


def test_times_too_short_for_microseconds_are_said(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    label(tmp_path, HEAD, "a.h5,10,40,x", "a.h5,50,60,y")
    message = "the longest label takes 0.03 ms: times that are not microseconds need their unit in the header"
    assert message in said(tmp_path, label_times="recording")[0]
    label(tmp_path, "recording,t_start_us,t_end_us,label", "a.h5,10,40,x", "a.h5,50,60,y")
    assert said(tmp_path, label_times="recording")[0].startswith("a.h5:2 x")


@pytest.mark.parametrize("names", ["start_frame,end_frame", "startFrame,endFrame", "begin_idx,stop_idx"])
def test_frames_are_not_left_out_as_columns_of_something_else(write: Write, tmp_path: Path, names: str) -> None:
    write_late(write, "a.h5")
    label(tmp_path, f"recording,{names},label", "a.h5,1,2,up")
    with pytest.raises(DatasetError, match="as times, in t_start and t_end; write times in microseconds, or"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "head", ["# made by anna\nvideo;onset [s];offset [s];behaviour", "name;begin_s;end_s;annotation"]
)
def test_names_and_decimal_commas_of_other_tools(write: Write, tmp_path: Path, head: str) -> None:
    write_late(write, "a.h5", "b.h5")
    label(tmp_path, head, "a.h5;0,01;0,05;up", "b.h5;0,01;0,05;down")
    spans = {(FIRST_US + 10_000, FIRST_US + 50_000)}
    assert {entry.span for entry in read_folder(tmp_path, label_times="recording").entries} == spans


def test_subjects_of_alike_names_are_said(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5", "b.h5")
    label(tmp_path, "recording,label,subject", "a.h5,up,01", "b.h5,down,1")
    assert "'01' and '1' are subjects of their own; give them one name if they are one person" in said(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "text"), [("annotations.json", "{}"), ("a_times.csv", "class,start\nup,1\n"), ("labels.txt", "a up\n")]
)
def test_labels_under_another_name_are_not_passed_over(write: Write, tmp_path: Path, name: str, text: str) -> None:
    """Each recording was a class of its own."""
    write_late(write, "a.h5", "b.h5")
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=f"got {name}, which may label the recordings beside it"):
        read_folder(tmp_path)


def test_a_length_is_not_taken_for_an_end(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    label(tmp_path, "recording,length_in_s,label", "a.h5,10000,x", "a.h5,20000,y")
    with pytest.raises(DatasetError, match="line 1: got the column length_in_s; expected the end of each part"):
        read_folder(tmp_path)
    label(tmp_path, "recording,duration,label", "a.h5,10000,x", "a.h5,20000,y")
    with pytest.raises(DatasetError, match="line 1: got the column duration; expected the end of each part"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("header", "row"),
    [("onset,duration", "0.03,0.01"), ("t_start,duration", "30000,10000"), ("start_ms,duration_s", "30,0.01"),
     ("t_start,duration,t_end", "30000,7,40000")],
)  # fmt: skip
def test_a_length_may_take_the_place_of_an_end(write: Write, tmp_path: Path, header: str, row: str) -> None:
    """`onset` and `duration` are seconds, as in BIDS."""
    write_late(write, "a.h5")
    label(
        tmp_path, f"recording,{header},trial_type", f"a.h5,{row},x", f"a.h5,{row.replace('3', '5').replace('4', '6')},y"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        entries = read_folder(tmp_path).entries
    assert [(entry.span[1] - entry.span[0], entry.label) for entry in entries] == [(10_000, 0), (10_000, 1)]
    assert entries[1].span[0] - entries[0].span[0] == 20_000


@pytest.mark.parametrize(
    "front", ["{root}/", "{root}/x/../", "../{name}/", "/home/anna/", "C:\\walks\\day 1\\", "{name}/"]
)
def test_paths_may_begin_in_front_of_the_folder(write: Write, tmp_path: Path, front: str) -> None:
    write_late(write, "day1/a.h5", "day1/b.h5", "day2/a.h5")
    front = front.format(root=tmp_path, name=tmp_path.name)
    label(tmp_path, "recording,label", f"{front}day1/a.h5,x", f"{front}day1/b,y", f"{front}day3/a.h5,y")
    words, *parts = said(tmp_path)
    assert "paths of rows" in words
    assert "day3/a.h5 (line 4)" in words
    assert [part.split()[0] for part in parts] == ["day1/a.h5", "day1/b.h5"]


def test_paths_may_lack_folders_where_names_are_unique(write: Write, tmp_path: Path) -> None:
    write_late(write, "day1/a.h5", "day2/b.h5")
    label(tmp_path, "recording,label", "a.h5,x", "b,y")
    words, *parts = said(tmp_path)
    assert "without their folders" in words
    assert [part.split()[0] for part in parts] == ["day1/a.h5", "day2/b.h5"]
    write_late(write, "day2/a.h5")
    with pytest.raises(DatasetError, match=r"none of which names a recording, such as a\.h5"):
        read_folder(tmp_path)


def test_thousands_are_no_milliseconds(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    label(tmp_path, "recording;t_start;t_end;label", "a.h5;0;400.000;x")
    with pytest.raises(DatasetError, match=r"line 2: got '400\.000' as t_end"):
        read_folder(tmp_path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200), st.sampled_from(["", f"{HEADER}\n", "recording;label;t_end\n", '"recording"\t"label"\n'])
)
def test_any_bytes_are_rows_or_an_error(tmp_path: Path, data: bytes, header: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(header.encode() + data)
    with suppress(DatasetError):
        assert all(row.recording and row.label for row in read_label_file(path).rows)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "1", "1e999", "-0", "nan", "sNaN", '"', "\r", "\x00", "train"]), max_size=8)
    )
)
def test_any_cells_are_rows_or_an_error(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([HEADER, *map(",".join, rows)]), newline="")
    with suppress(DatasetError):
        assert all(row.recording and row.label for row in read_label_file(path).rows)


def test_every_usual_name_of_a_column_is_read(tmp_path: Path) -> None:
    values = {
        "recording": "a",
        "t_start": "1",
        "t_end": "2",
        "label": "x",
        "subject": "s",
        "session": "n",
        "split": "Val",
    }
    expected = read_label_file(label(tmp_path, ",".join(values), ",".join(values.values()))).rows
    assert expected[0].side == "validation"
    for role, names in COLUMNS.items():
        for name in names:
            header = ",".join(name if column == role else column for column in values)
            assert read_label_file(label(tmp_path, header, ",".join(values.values()))).rows == expected


def test_what_has_no_partner_is_counted_and_said(write: Write, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5", "c.h5", "notes.md", ".hidden/d.h5"):
        write_late(write, name) if name.endswith("h5") else (tmp_path / name).write_text("notes")
    label(tmp_path, "recording,label,remark", "a.h5,x,", "z.h5,x,lost", "b.h5,y,", "b.h5,y,", "../b.h5,x,")
    left_out, labels, *parts = said(tmp_path)
    assert "left out: 1 hidden (.hidden), 1 of another kind (notes.md)" in left_out
    assert "2 of 5 rows name recordings that are missing: z.h5 (line 3), ../b.h5 (line 6); " in labels
    assert "; left out, since no row names them: 1 recording: c.h5; columns not used: remark; " in labels
    assert "; 1 repeated row counted once" in labels
    assert parts == ["a.h5 x (None, None)", "b.h5 y (None, None)"]


@pytest.mark.parametrize("column", ["subject", "session", "split"])
def test_rows_of_one_part_that_contradict_each_other_are_refused(write: Write, tmp_path: Path, column: str) -> None:
    write_late(write, "a.h5", "b.h5")
    rows = ["a.h5,0,30000,x,train", "b.h5,0,30000,y,test"]
    label(tmp_path, f"{HEAD},{column}", *rows, "a.h5,0,30000,x,test")
    with pytest.raises(DatasetError, match=f"line 4: got test as {column}, and train for this part in line 2"):
        read_folder(tmp_path)
    label(tmp_path, f"{HEAD},{column}", *rows, "a.h5,0,30000,x,train")
    assert "1 repeated row counted once" in said(tmp_path)[0]


def test_rows_of_one_label_that_overlap_are_counted(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5", "b.h5")
    rows = ["a.h5,0,30000,x", "b.h5,0,10000,y", "b.h5,10000,30000,y"]
    label(tmp_path, HEAD, *rows, "a.h5,10000,20000,x", "a.h5,20000,40000,x")
    assert "whose common part counts in both: 2" in said(tmp_path)[0]
    label(tmp_path, HEAD, *rows)
    assert "common part" not in said(tmp_path)[0]


def test_rows_that_all_miss_are_an_error_that_shows_a_path(write: Write, tmp_path: Path) -> None:
    write("day/a.h5")
    label(tmp_path, "recording,label", "c.h5,x", "b.h5,y")
    with pytest.raises(DatasetError, match=r"got 2 rows, none .*, such as c\.h5; expected paths .*, such as day/a\.h5"):
        read_folder(tmp_path)


def test_a_name_of_two_recordings_is_refused(write: Write, tmp_path: Path) -> None:
    write("a.h5")
    write("a.npz")
    label(tmp_path, "recording,label", "a,x", "a.npz,y")
    with pytest.raises(DatasetError, match=r"line 2: got a, which may be a\.h5 or a\.npz"):
        read_folder(tmp_path)


def test_a_label_may_end_shortly_after_the_last_event(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    label(tmp_path, HEAD, "a.h5,0,50000,x", "a.h5,60000,200000,y")
    assert "1 labels end up to 100 ms after the last event" in said(tmp_path)[0]
    label(tmp_path, HEAD, "a.h5,0,50000,x", "a.h5,60000,200001,y")
    with pytest.raises(DatasetError, match="line 3: got a part from 60000 to 200001 us"):
        read_folder(tmp_path)


def test_a_damaged_recording_stays_to_be_named_with_all_others(write: Write, tmp_path: Path) -> None:
    write_late(write, "a.h5")
    (tmp_path / "b.npz").write_bytes(b"no recording")
    label(tmp_path, HEAD, "a.h5,0,50000,x", "a.h5,60000,80000,y", "b.npz,60000,80000,y")
    assert said(tmp_path)[-1] == "b.npz:4 y (60000, 80000)"


def test_which_file_is_read(write: Write, tmp_path: Path) -> None:
    write("x/a.h5")
    write("y/b.h5")
    label(tmp_path, "recording,label", "x/a.h5,1", "y/b.h5,2")
    assert read_folder(tmp_path).classes == ("1", "2")
    label(tmp_path, "recording,label", "x/a.h5,3", "y/b.h5,4", name="own.txt")
    with pytest.warns(RecordingWarning, match=r"left out: 1 of another kind \(labels\.csv\)"):
        assert read_folder(tmp_path, labels="own.txt").classes == ("3", "4")
    with pytest.warns(RecordingWarning, match=r"left out: 2 of another kind \(labels\.csv, own\.txt\)"):
        assert read_folder(tmp_path, labels=None).classes == ("x", "y")
    with pytest.raises(DatasetError, match=r"none\.csv: got no such label file; .*correct data\.labels"):
        read_folder(tmp_path, labels="none.csv")
    with pytest.raises(DatasetError, match="got no label file, but how its times count"):
        read_folder(tmp_path, labels=None, label_times="clock")
    label(tmp_path, "recording,label", "x/a.h5,3", "y/b.h5,4", name="segments.tsv")
    with pytest.raises(DatasetError, match=r"labels\.csv and segments\.tsv; expected one label file"):
        read_folder(tmp_path)


def test_a_column_of_sides_is_a_given_split(write: Write, tmp_path: Path) -> None:
    rows = [("a/1.h5", "x", "Training"), ("a/2.h5", "y", "train"), ("a/3.h5", "x", "TEST"), ("a/4.h5", "y", "testing")]
    for name, *_ in rows:
        write(name)
    write("a/5.h5")
    label(tmp_path, "recording,label,split", *map(",".join, rows), "a/5.h5,x,valid")
    split = read_given_split(tmp_path)
    assert split.validation is not None
    assert keys(split.validation) == ["a/5.h5"]
    assert (keys(split.train), keys(split.test)) == (["a/1.h5", "a/2.h5"], ["a/3.h5", "a/4.h5"])
    assert split.rule == "as given by labels.csv"
    label(tmp_path, "recording,label,split", *map(",".join, rows[:3]), "a/4.h5,y,")
    with pytest.raises(DatasetError, match="line 5: got no split, in 1 of 4 rows"):
        read_given_split(tmp_path)
    label(tmp_path, "recording,label,split", "a/1.h5,x,both")
    with pytest.raises(DatasetError, match="line 2: got the split 'both'; expected train or validation or test"):
        read_given_split(tmp_path)
    label(tmp_path, "recording,label", "a/1.h5,x", "a/2.h5,y")
    with (
        pytest.warns(RecordingWarning),
        pytest.raises(DatasetError, match="got no given split; expected a column split"),
    ):
        read_given_split(tmp_path)


def test_folders_of_sides_count_where_the_file_names_none(write: Write, tmp_path: Path) -> None:
    names = ["Train/1.h5", "Train/2.h5", "Test/3.h5", "Test/4.h5"]
    for name in names:
        write(name)
    label(tmp_path, "recording,label", *(f"{name},{'xy'[number % 2]}" for number, name in enumerate(names)))
    split = read_given_split(tmp_path)
    assert (keys(split.train), keys(split.test)) == (names[:2], names[2:])


def test_a_layout_names_class_subject_and_session(write: Write, tmp_path: Path) -> None:
    for name in ("1/ann/walk/a.h5", "1/ben/run/a.h5", "2/ben/walk/a.h5", "2/odd.h5", "1/ann/walk/deep/a.h5"):
        write(name)
    with pytest.warns(RecordingWarning, match=r"2 of 5 recordings do not match .*: 1/ann/walk/deep/a\.h5, 2/odd\.h5"):
        recordings = read_folder(tmp_path, layout="{session}/{subject}/{class}/*")
    facts = [(entry.key, entry.label, entry.subject, entry.session) for entry in recordings.entries]
    assert recordings.classes == ("run", "walk")
    assert facts == [
        ("1/ann/walk/a.h5", 1, "ann", "1"),
        ("1/ben/run/a.h5", 0, "ben", "1"),
        ("2/ben/walk/a.h5", 1, "ben", "2"),
    ]
    with pytest.raises(DatasetError, match=r"got 5 recordings that do not match, such as 1/ann/walk/a\.h5; "):
        read_folder(tmp_path, layout="{subject}/x/{class}")
    for deep in ("{session}/{subject}/{class}/**", "{session}/{subject}/{class}/**/*.h5"):
        with pytest.warns(RecordingWarning, match="1 of 5 recordings do not match"):
            assert len(read_folder(tmp_path, layout=deep)) == 4


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("*/x", "got no field"),
        ("{person}/{class}", r"got the field \{person\}; expected fields of \{class\}, \{subject\}"),
        ("{class}/{class}", r"got \{class\} twice"),
        ("{class/x", "got a single brace"),
    ],
)
def test_layouts_that_do_not_parse(tmp_path: Path, layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_folder(tmp_path, layout=layout)
    assert all(field in str(caught.value) for field in FIELDS)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["*", "**", "**/", "?", "a", "/", "{class}", "{subject}"]), min_size=1, max_size=6),
    st.text("ab/", max_size=9),
)
def test_a_layout_matches_as_the_regular_expression_does(pattern: list[str], path: str) -> None:
    patterns = {"*": "[^/]*@", "**": ".*@", "**/": "(?:[^/]+/)*@", "?": "[^/]"}
    fields = [part for part in pattern if part[0] == "{"]
    # Neighbours would be read as other wildcards.
    joined = any(before[-1] == "*" and after[0] in "*/" for before, after in pairwise(pattern))
    if not fields or len(set(fields)) < len(fields) or joined:
        return
    text = "".join(patterns.get(part, part if part[0] != "{" else f"(?P<{part[1:-1]}>[^/]+@)") for part in pattern)
    first, last = (re.fullmatch(text.replace("@", lazy), path) for lazy in ("?", ""))
    if first is None or last is None:
        assert Layout.parse("".join(pattern)).match(path, path) is None
    elif first.groupdict() == last.groupdict():
        assert Layout.parse("".join(pattern)).match(path, path) == first.groupdict()
    else:
        with pytest.raises(DatasetError, match="expected one way to read it"):
            Layout.parse("".join(pattern)).match(path, path)


def test_many_wildcards_take_no_exponential_time() -> None:
    assert Layout.parse("*a" * 30 + "{class}/x").match("a" * 200, "a" * 200) is None


@pytest.mark.parametrize("path", ["\0up", "a\0up", "a\0\0up"])
def test_a_layout_may_hold_any_character(path: str) -> None:
    pattern = path.replace("a", "*").replace("up", "{class}")
    assert Layout.parse(pattern).match(path, path) == {"class": "up"}


def test_a_layout_that_can_be_read_in_two_ways_is_refused(write: Write, tmp_path: Path) -> None:
    write("walk/person_1_2.h5")
    write("run/ann_2.h5")
    with pytest.raises(DatasetError, match="got the subject 'person' or 'person_1' by the layout"):
        read_folder(tmp_path, layout="{class}/{subject}_{session}")
    (tmp_path / "walk" / "person_1_2.h5").rename(tmp_path / "walk" / "ben_3.h5")
    recordings = read_folder(tmp_path, layout="{class}/{subject}_{session}")
    assert [(entry.subject, entry.session) for entry in recordings.entries] == [("ann", "2"), ("ben", "3")]


def test_a_layout_beside_a_label_file(write: Write, tmp_path: Path) -> None:
    for name in ("ann/1.h5", "ben/2.h5", "3.h5"):
        write(name)
    label(tmp_path, "recording,label,subject", "ann/1.h5,x,", "ben/2.h5,y,Benjamin", "3.h5,y,")
    with pytest.warns(RecordingWarning, match=r"1 labelled recordings do not match the layout \{subject\}/\*: 3\.h5"):
        recordings = read_folder(tmp_path, layout="{subject}/*")
    assert [entry.subject for entry in recordings.entries] == [None, "ann", "Benjamin"]
    with pytest.raises(DatasetError, match=r"got classes by labels\.csv too; .*data\.labels=none"):
        read_folder(tmp_path, layout="{class}/*")
    with pytest.raises(DatasetError, match=r"got no class; expected \{class\} in it, or a label file"):
        read_folder(tmp_path, layout="{subject}/*", labels=None)


def test_a_layout_with_sides_is_a_given_split(write: Write, tmp_path: Path) -> None:
    for name in ("x/train/1.h5", "y/Train/2.h5", "x/test/3.h5", "y/val/4.h5"):
        write(name)
    with pytest.raises(DatasetError, match=r"got no recording of y held out; .* another split, such as --split record"):
        read_given_split(tmp_path, layout="{class}/{split}/*")
    write("y/test/5.h5")
    split = read_given_split(tmp_path, layout="{class}/{split}/*")
    assert split.validation is not None
    assert keys(split.validation) == ["y/val/4.h5"]
    assert (keys(split.train), keys(split.test)) == (["x/train/1.h5", "y/Train/2.h5"], ["x/test/3.h5", "y/test/5.h5"])
    (tmp_path / "y" / "val").rename(tmp_path / "y" / "more")
    with pytest.raises(DatasetError, match="got the split 'more'; expected train, val or test"):
        read_given_split(tmp_path, layout="{class}/{split}/*")


def test_the_segments_of_real_recordings(recordings_dir: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recordings = read_folder(recordings_dir / "sit_stand_walk")
    assert any("times count after each recording's first event" in str(one.message) for one in caught)
    assert (recordings.classes, len(recordings)) == (("sit_down", "stand_up"), 25)
    first = recordings.entries[0]
    assert first.span == (136_635_479 + 4_200_000, 136_635_479 + 5_700_000)
    assert {entry.subject for entry in recordings.entries} == {"person_1"}


def test_parts_are_turned_by_the_folder_of_their_recording(write: Write, tmp_path: Path) -> None:
    write_late(write, "up/a.h5", "down/b.h5")
    label(tmp_path, HEAD, "up/a.h5,0,30000,x", "down/b.h5,0,30000,x", "down/b.h5,40000,50000,y")
    asked = parse_orientations(["down/b.h5:rotate=180"])
    recordings = read_folder(tmp_path, label_times="recording", orientation=asked)
    assert sorted(keys(recordings)) == ["down/b.h5:3", "down/b.h5:4", "up/a.h5:2"]
    for entry in recordings.entries:
        stored = open_recording(entry.path).read()["x"]
        turned = SIZE[0] - 1 - stored if entry.key.startswith("down") else stored
        np.testing.assert_array_equal(entry.open().read()["x"], turned)


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@pytest.mark.parametrize(("first_us", "begins_us"), [(0, 4_000_001), (5_000_000, 9_000_001)])
def test_how_times_count_behind_a_reset_is_said(tmp_path: Path, first_us: int, begins_us: int) -> None:
    """Times of a label file count on over all takes, while `info` lists those of each take as stored."""
    for name in "ab":
        takes = [draw_events(ord(name), t0_us=first_us, t1_us=first_us + 3_000_001), draw_events(3, t1_us=300_000)]
        write_takes(tmp_path / f"{name}.npz", takes if first_us else [takes[0], takes[1]])
    label(tmp_path, HEAD, f"a,{first_us},{first_us + 1_000_000},up", f"b,{begins_us},{begins_us + 200_000},down")
    texts = said(tmp_path, label_times="clock")
    expected = f"as if the takes followed one another, 1 s apart: a.npz: take 2 of 2 begins at {begins_us - 1} us"
    assert sum(expected in text for text in texts) == 1


def test_rows_that_contradict_their_folder_are_said(write: Write, tmp_path: Path) -> None:
    """They counted without a word."""
    rows = []
    for side in ("train", "test"):
        for name in ("walk", "wave"):
            write(f"{side}/{name}.h5")
            rows.append(f"{side}/{name},{name},ann,{'test' if side == 'train' else 'train'}")
    rows[3] = rows[3].replace("ann", "walk")
    label(tmp_path, "recording,label,session,split", *rows)
    with pytest.warns(RecordingWarning) as caught:
        read_given_split(tmp_path, layout="{split}/{session}")
    assert [str(one.message).partition("labels.csv: ")[2] for one in caught] == [
        "the session is that of the rows where a folder says another one: line 2: ann, in a folder of walk, "
        "line 3: ann, in a folder of wave, line 4: ann, in a folder of walk and 1 more; "
        "the split is that of the rows where a folder says another one: line 2: test, in a folder of train, "
        "line 3: test, in a folder of train, line 4: train, in a folder of test and 1 more"
    ]


def test_sessions_that_a_person_would_take_for_one_are_said(write: Write, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(f"{name}.h5")
    label(tmp_path, "recording,label,session", "a,walk,1", "b,wave,01")
    with pytest.warns(RecordingWarning, match="'01' and '1' are sessions of their own"):
        read_folder(tmp_path)
