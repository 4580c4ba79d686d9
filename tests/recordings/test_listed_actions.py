"""DailyDVS-200 and both parts of THU-E-ACT-50, in the layouts that their authors publish."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published_layouts import make, put, write_daily_dvs_200, write_thu_eact_50, write_thu_eact_50_chl

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import Split, read_events
from stdl_events.recordings.datasets.daily_dvs_200 import split_daily_dvs_200
from stdl_events.recordings.datasets.thu_eact_50 import split_thu_eact_50, split_thu_eact_50_chl

SETS = {
    "daily_dvs_200": (write_daily_dvs_200, split_daily_dvs_200),
    "thu_eact_50": (write_thu_eact_50, lambda root: split_thu_eact_50(root, time_unit="us")),
    "thu_eact_50_chl": (write_thu_eact_50_chl, lambda root: split_thu_eact_50_chl(root, time_unit="us")),
}


def labels(split: Split) -> list[list[int]]:
    return [[entry.label for entry in side.entries] for side in (split.train, split.test)]


@pytest.mark.parametrize("name", SETS)
def test_recordings_labels_and_sides_are_those_of_the_lists(tmp_path: Path, name: str) -> None:
    write, split_of = SETS[name]
    write(tmp_path)
    split = split_of(tmp_path)
    assert labels(split) == [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
    seeds = [3, 9, 4] if name == "daily_dvs_200" else [0, 1, 5]
    width, height = split.train.sensor_size
    for side, of_side in ((split.train, seeds[:2]), (split.test, seeds[2:])):
        expected = [make(10 * action + seed, width, height) for action in range(3) for seed in of_side]
        for entry, events in zip(side.entries, expected, strict=True):
            recording = entry.open()
            assert (recording.sensor_size, recording.time_unit_from) != ((0, 0), "guessed")
            np.testing.assert_array_equal(read_events(entry), events)
    assert "no recording on both sides" in split.check_disjoint()


def test_names_and_persons_of_daily_dvs_200(tmp_path: Path) -> None:
    write_daily_dvs_200(tmp_path)
    split = split_daily_dvs_200(tmp_path)
    assert split.train.classes[:3] == ("walk (0)", "walk (1)", "do 2")
    assert [entry.subject for entry in split.train.entries[:2]] == ["P3", "P9"]
    assert "none of 3 subjects on both sides" in split.check_disjoint()
    with pytest.raises(DatasetError, match=r"train\.txt, test\.txt and the listed recordings"):
        split_daily_dvs_200(tmp_path, held_out="val")
    put(tmp_path / "val.txt", (tmp_path / "test.txt").read_bytes())
    assert len(split_daily_dvs_200(tmp_path, held_out="val").test) == 3
    (tmp_path / "test.txt").write_text("".join((tmp_path / "train.txt").read_text().splitlines(keepends=True)[::2]))
    (tmp_path / "train.txt").write_text("".join((tmp_path / "train.txt").read_text().splitlines(keepends=True)[1::2]))
    three = split_daily_dvs_200(tmp_path)
    assert [entry.subject for entry in three.validation.entries] == ["P4"] * 3
    assert [len(side) for side in (three.train, three.validation, three.test)] == [3, 3, 3]
    (tmp_path / "action_description.csv").unlink()
    assert split_daily_dvs_200(tmp_path).train.classes[199] == "action_199"


def test_without_a_unit_times_are_guessed_and_said(tmp_path: Path) -> None:
    write_thu_eact_50(tmp_path)
    with pytest.warns(RecordingWarning, match=r"is not published: it is guessed; state it with data\.time_unit"):
        entry = split_thu_eact_50(tmp_path).train.entries[0]
    assert entry.open().summary.events == 60
    in_ms = split_thu_eact_50(tmp_path, time_unit="ms").train.entries[0]
    np.testing.assert_array_equal(read_events(in_ms)["t"], 1000 * read_events(entry)["t"])


def missing(root: Path) -> None:
    next(root.rglob("C1P9*")).unlink()


def two_of_a_name(root: Path) -> None:
    path = next(root.rglob("C1P9*"))
    put(root / "copy" / path.name, path.read_bytes())
    (root / "train.txt").write_text((root / "train.txt").read_text().replace("11_11/9/C1", "12_12/9/C1"))


def another_action(root: Path) -> None:
    (root / "test.txt").write_text((root / "test.txt").read_text().replace("aedat4 1", "aedat4 2"))


def no_label(root: Path) -> None:
    put(root / "train.txt", "event_raw/a.aedat4\n")


def label_200(root: Path) -> None:
    put(root / "train.txt", "event_raw/a.aedat4,200\n")


def label_of_5000_digits(root: Path) -> None:
    put(root / "train.txt", f"event_raw/a.aedat4 {'1' * 5000}\n")


def no_name(root: Path) -> None:
    put(root / "train.txt", "/ 0\n")


def long_blank(root: Path) -> None:
    put(root / "train.txt", f"a{' ' * 100_000}b\n")


def odd_number(root: Path) -> None:
    put(root / "action_description.csv", "\u00b2,walk,one\n")


def long_cell(root: Path) -> None:
    put(root / "action_description.csv", f"0,{'a' * 200_000},one\n")


def nothing_there(root: Path) -> None:
    for path in root.rglob("*.aedat4"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            two_of_a_name,
            r"train\.txt, line 4: got copy/C1P9\S+ and event_raw\S+ for .*; expected one file of that name",
        ),
        (another_action, r"test\.txt, line 2: got the action 2 for C1P4\S+; expected the one in the name"),
        (no_label, r"train\.txt, line 1: got 'event_raw/a\.aedat4'; expected a path and a label from 0 to 199"),
        (label_200, r"train\.txt, line 1: got .*; expected a path and a label from 0 to 199"),
        (label_of_5000_digits, r"train\.txt, line 1: got .*; expected a path and a label from 0 to 199"),
        (no_name, r"got none of the train list"),
        (long_blank, r"train\.txt, line 1: got 'a +'; expected a path and a label from 0 to 199"),
        (odd_number, r"action_description\.csv: got 0 actions; expected the IDs 0 to 199"),
        (long_cell, r"action_description\.csv: got field larger than .*; expected lines of ID,Action"),
        (nothing_there, r"got none of the train list; expected train\.txt, .*download DailyDVS-200 from https"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write_daily_dvs_200(tmp_path)
    damage(tmp_path)
    with pytest.raises(DatasetError, match=message):
        split_daily_dvs_200(tmp_path)


def test_missing_recordings_are_left_out_and_named(tmp_path: Path) -> None:
    write_daily_dvs_200(tmp_path)
    missing(tmp_path)
    with pytest.warns(
        RecordingWarning, match="left out 1 of 6 recordings of the train list, which are missing: event_raw"
    ):
        split = split_daily_dvs_200(tmp_path)
    assert labels(split) == [[0, 0, 1, 2, 2], [0, 1, 2]]


def test_lists_of_other_systems_and_moved_files(tmp_path: Path) -> None:
    write_daily_dvs_200(tmp_path)
    expected = labels(split_daily_dvs_200(tmp_path))
    for side in ("train", "test"):
        path = tmp_path / f"{side}.txt"
        lines = path.read_text().replace("/", "\\").replace(" ", ",\t").splitlines()
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["", *lines, ""]).encode())
    (tmp_path / "event_raw").rename(tmp_path / "unpacked")
    put(tmp_path / "__MACOSX" / "._C0P3M0S1_20231111_09_11_00.aedat4", b"hidden")
    assert labels(split_daily_dvs_200(tmp_path)) == expected
