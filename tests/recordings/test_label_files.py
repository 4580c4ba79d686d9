"""Label files and lists of the published sets as editors, systems and incomplete archives leave them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from published_layouts import GESTURES, put, write_cifar10_dvs, write_dvs_gesture, write_gait_day, write_har_dvs
from small_recordings import keys

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import split_cifar10_dvs, split_dvs_gesture, split_gait_day, split_har_dvs
from stdl_events.recordings.labels.lists import numbered_lines

# One change of a text file each: all of them mean the same text.
EDITS: dict[str, Callable[[str], bytes]] = {
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "blank lines": lambda text: ("\n" + text.replace("\n", "\n  \n") + "\n\t\n").encode(),
    "spaces at the ends": lambda text: text.replace("\n", "  \n").encode(),
    "no line end": lambda text: text.rstrip("\n").encode(),
}


@pytest.fixture(params=EDITS)
def edit(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    def edit_file(path: Path) -> None:
        path.write_bytes(EDITS[request.param](path.read_text()))

    return edit_file


def in_upper_case(root: Path, suffix: str) -> None:
    """Rename all files of `suffix`, and the folders that hold them."""
    files = sorted(root.rglob(f"*{suffix}"))
    assert files
    for path in files:
        path.rename(path.with_name(path.stem + suffix.upper()))


def test_lines_of_any_editor(edit: Callable[[Path], None], tmp_path: Path) -> None:
    path = put(tmp_path / "list.txt", "über 1\nb 2\n")
    edit(path)
    assert [line for _, line in numbered_lines(path)] == ["über 1", "b 2"]


def test_lines_in_another_encoding_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "list.txt", "über".encode("latin-1"))
    with pytest.raises(DatasetError, match="got the byte 0xfc at 0; expected text in UTF-8"):
        list(numbered_lines(path))


def test_gesture_files_of_any_editor(edit: Callable[[Path], None], tmp_path: Path) -> None:
    write_dvs_gesture(tmp_path)
    expected = split_dvs_gesture(tmp_path)
    for path in [*tmp_path.rglob("*_labels.csv"), *tmp_path.rglob("trials_*.txt")]:
        edit(path)
    assert split_dvs_gesture(tmp_path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{number},{start},{end}\n" for number, start, end in GESTURES),
        "class,startTime_usec,endTime_usec\n" + "".join(f"{n}.0,{a}.0,{b}.00\n" for n, a, b in GESTURES),
        "class;start;end\n" + "".join(f"{n};{a};{b}\n" for n, a, b in GESTURES),
        "startTime_usec,endTime_usec,class\n" + "".join(f"{a},{b},{n}\n" for n, a, b in GESTURES),
        "class,startTime_usec,endTime_usec,\n" + "".join(f" {n}, {a}, {b},\n" for n, a, b in GESTURES),
        "".join(f"{n}\t{a}\t{b}\n" for n, a, b in GESTURES) + ",,\n",
    ],
)
def test_gesture_labels_in_other_words(tmp_path: Path, text: str) -> None:
    write_dvs_gesture(tmp_path)
    expected = split_dvs_gesture(tmp_path)
    put(tmp_path / "DvsGesture" / "user23_led_labels.csv", text)
    assert split_dvs_gesture(tmp_path) == expected


@pytest.mark.parametrize("row", ["3,10", "1.5,10,20", "3,20,10", "3,10,inf", "nan,1,2", "3,10,20,9", "three,10,20"])
def test_gesture_labels_that_make_no_sense_are_named(tmp_path: Path, row: str) -> None:
    write_dvs_gesture(tmp_path)
    put(tmp_path / "DvsGesture" / "user23_led_labels.csv", f"class,start,end\n\n2,1,5\n{row}\n")
    with pytest.raises(DatasetError, match=rf"user23_led_labels\.csv, line 4: got '{row}'; expected a class from 1"):
        split_dvs_gesture(tmp_path)


def test_gesture_lists_of_another_system(tmp_path: Path) -> None:
    write_dvs_gesture(tmp_path)
    expected = split_dvs_gesture(tmp_path)
    put(tmp_path / "DvsGesture" / "trials_to_test.txt", "DvsGesture\\user24_led.aedat\r\n")
    in_upper_case(tmp_path, ".aedat")
    split = split_dvs_gesture(tmp_path)
    assert (keys(split.train), keys(split.test)) == (keys(expected.train), keys(expected.test))
    assert split.test.entries[0].open().summary.events == 100


def test_activity_lists_of_any_editor(edit: Callable[[Path], None], tmp_path: Path) -> None:
    write_har_dvs(tmp_path, "npz")
    names = put(tmp_path / "HARDVS_300_class.txt", "Action001-Clamp\nAction002 wink\nAction003 - Run\n")
    expected = split_har_dvs(tmp_path)
    assert expected.train.classes == ("Clamp", "wink", "Run")
    for path in [names, *tmp_path.glob("*_label.txt")]:
        edit(path)
    assert split_har_dvs(tmp_path) == expected


@pytest.mark.parametrize(
    ("old", "new"), [("/", "\\"), ("action_", "./action_"), (" ", ".npz "), (" ", "\t"), (" ", ", "), ("a", "A")]
)
def test_activity_lists_in_other_words(tmp_path: Path, old: str, new: str) -> None:
    write_har_dvs(tmp_path, "npz")
    expected = split_har_dvs(tmp_path)
    path = tmp_path / "train_label.txt"
    path.write_text("".join(line.replace(old, new, 1) for line in path.read_text().splitlines(keepends=True)))
    assert split_har_dvs(tmp_path) == expected


@pytest.mark.parametrize("kind", ["npz", "aedat4", "nested"])
def test_listed_activities_that_are_missing_are_left_out_and_named(tmp_path: Path, kind: str) -> None:
    write_har_dvs(tmp_path, kind)
    whole = split_har_dvs(tmp_path)
    next(tmp_path.rglob("dvSave-2021_10_15_19_01_00.*")).unlink()
    said = r"left out 1 of 6 listed recordings of the train list, .*: action_002/dvSave-2021_10_15_19_01_00$"
    with pytest.warns(RecordingWarning, match=said) as warned:
        split = split_har_dvs(tmp_path)
    assert len(warned) == 1
    assert split.train.classes == whole.train.classes
    assert set(keys(whole.train)) - set(keys(split.train)) == {"action_002/dvSave-2021_10_15_19_01_00"}
    assert split.test == whole.test


def test_upper_case_suffixes_in_all_sets(tmp_path: Path) -> None:
    for kind, suffix in (("npz", ".npz"), ("aedat4", ".aedat4")):
        write_har_dvs(tmp_path / kind, kind)
        expected = keys(split_har_dvs(tmp_path / kind).train)
        in_upper_case(tmp_path / kind, suffix)
        assert keys(split_har_dvs(tmp_path / kind).train) == expected
    for kind, suffix in (("original", ".aedat"), ("mirror", ".aedat4")):
        write_cifar10_dvs(tmp_path / kind, kind, per_class=2)
        in_upper_case(tmp_path / kind, suffix)
        assert len(split_cifar10_dvs(tmp_path / kind, train=1, test=1).train) == 10
    write_gait_day(tmp_path / "gait")
    in_upper_case(tmp_path / "gait", ".txt")
    origin = tmp_path / "gait" / "DVS128-Gait-Day" / "origin"
    (origin / "train").rename(origin / "Train")
    put(origin / "Train" / "3" / "._0.txt", "hidden")
    assert len(split_gait_day(tmp_path / "gait").train) == 24
