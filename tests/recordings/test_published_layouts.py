"""The public datasets, on small files in their published layouts: loaded, split, checked for leaks and framed."""

import csv
from pathlib import Path

import numpy as np
import pytest
from published_layouts import GESTURES, make, put, write_cifar10_dvs, write_dvs_gesture, write_gait_day, write_har_dvs
from small_recordings import keys

from stdl_events.errors import DatasetError
from stdl_events.events import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings import (
    Cifar10Dvs,
    DvsGesture,
    GaitDay,
    HarDvs,
    Split,
    load_clips,
    read_cifar10_dvs,
    split_cifar10_dvs,
    split_dvs_gesture,
    split_gait_day,
    split_har_dvs,
)
from stdl_events.recordings.datasets import cifar10_dvs, dvs_gesture

DATASETS = Path(__file__).resolve().parents[2] / "datasets"


def check_frames(split: Split) -> None:
    """Both sides are disjoint and become frames."""
    assert "checked: no recording on" in split.check_disjoint()
    spec = FrameSpec(kind="recording", steps=5, by="count", sensor_size=split.train.sensor_size, downscale=4, cap=255)
    for side in (split.train, split.test):
        clips = load_clips(side, spec)
        assert clips.targets_N.tolist() == [entry.label for entry in side.entries]
        assert (clips.frames_NTCHW.sum(axis=(2, 3, 4)) > 0).all()


@pytest.fixture(params=["original", "mirror"])
def cifar10(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_cifar10_dvs(tmp_path, request.param)
    return tmp_path


def test_cifar10_dvs(cifar10: Path) -> None:
    split = split_cifar10_dvs(cifar10, train=10, test=2)
    assert (len(split.train), len(split.test)) == (100, 20)
    assert {int(entry.path.stem.rpartition("_")[2]) for entry in split.train.entries} == set(range(10))
    assert {int(entry.path.stem.rpartition("_")[2]) for entry in split.test.entries} == {10, 11}
    assert split.train.classes[3] == "cat"
    cat = next(entry for entry in split.test.entries if entry.path.stem == "cifar10_cat_11")
    assert (cat.label, cat.open().sensor_size) == (3, (128, 128))
    np.testing.assert_array_equal(cat.open().read(), make(12 * 3 + 11))
    check_frames(split)


def test_cifar10_dvs_that_is_not_whole(cifar10: Path, tmp_path: Path) -> None:
    todo = (
        r"download CIFAR10DVS\.zip from https://figshare\.com/\S+ \(md5 ce3a4a0682dc0943703bd8f749a7701c\) and unpack"
    )
    with pytest.raises(
        DatasetError, match=r"got airplane with 12 recordings .*expected the folders airplane .*" + todo
    ):
        split_cifar10_dvs(cifar10)
    with pytest.raises(DatasetError, match="got airplane with 12 recordings"):
        Cifar10Dvs(cifar10, train=True)
    folder = next(path for path in cifar10.rglob("truck") if path.is_dir())
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="got no recordings in truck;"):
        read_cifar10_dvs(cifar10)
    with pytest.raises(DatasetError, match="got no such folder; .*" + todo):
        read_cifar10_dvs(tmp_path / "nowhere")


def test_cifar10_dvs_of_two_kinds(cifar10: Path) -> None:
    folder = next(path for path in cifar10.rglob("truck") if path.is_dir())
    for path in folder.iterdir():
        path.rename(path.with_suffix(".aedat" if path.suffix == ".aedat4" else ".aedat4"))
    with pytest.raises(DatasetError, match=r"got files of \.aedat and \.aedat4;"):
        read_cifar10_dvs(cifar10)


def test_cifar10_dvs_follows_the_committed_split() -> None:
    with (DATASETS / "cifar10_dvs" / "split.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert tuple(row["class"] for row in rows) == cifar10_dvs.CLASSES
    for row in rows:
        (train_from, train_to), (test_from, test_to) = (map(int, row[side].split("-")) for side in ("train", "test"))
        assert (train_from, train_to + 1 - train_from) == (0, cifar10_dvs.TRAIN)
        assert (test_to, test_to + 1 - test_from) == (999, cifar10_dvs.TEST)


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    write_dvs_gesture(tmp_path)
    return tmp_path


def test_dvs_gesture(gestures: Path) -> None:
    split = split_dvs_gesture(gestures)
    assert keys(split.train) == [f"user{user}_led/{number:02d}" for user in ("07", "23") for number in range(3)]
    assert keys(split.test) == ["user24_led/00", "user24_led/01", "user24_led/02"]
    assert [entry.label for entry in split.test.entries] == [0, 4, 10]
    assert {entry.group for entry in split.train.entries} == {"user07", "user23"}
    assert "none of 3 persons or sessions on both sides" in split.check_disjoint()
    dataset = DvsGesture(gestures, train=False)
    assert dataset.classes[4] == "right arm counter clockwise"
    whole = make(24, count=100)
    for index, (number, start_us, end_us) in enumerate(GESTURES):
        events, label = dataset[index]
        assert label == number - 1
        np.testing.assert_array_equal(events, whole[(whole["t"] >= start_us) & (whole["t"] < end_us)])
    check_frames(split)


@pytest.mark.filterwarnings("ignore:.* where Tonic expects")
def test_dvs_gesture_mirror(tmp_path: Path) -> None:
    """Columns x, y, p, t in milliseconds."""
    table = np.array([[3, 4, 1, 0], [127, 5, 0, 7], [6, 90, 1, 70_001]])
    for side, user in (("Train", 23), ("Test", 24)):
        path = tmp_path / "DVSGesture" / f"ibmGesture{side}" / f"user{user}_natural" / "10.npy"
        path.parent.mkdir(parents=True)
        np.save(path, table + np.array([0, 0, 0, user]))
    split = split_dvs_gesture(tmp_path)
    assert keys(split.train) == ["ibmGestureTrain/user23_natural/10"]
    assert keys(split.test) == ["ibmGestureTest/user24_natural/10"]
    events, label = DvsGesture(tmp_path / "DVSGesture", train=False)[0]
    assert label == 10
    assert events.tolist() == [(24_000, 3, 4, True), (31_000, 127, 5, False), (70_025_000, 6, 90, True)]
    assert split.test.entries[0].open().sensor_size == (128, 128)
    assert "none of 2 persons" in split.check_disjoint()


def test_dvs_gesture_without_lists_goes_by_user(gestures: Path) -> None:
    for path in (gestures / "DvsGesture").glob("*.txt"):
        path.unlink()
    split = split_dvs_gesture(gestures / "DvsGesture")
    assert {entry.group for entry in split.test.entries} == {"user24"}


def test_dvs_gesture_that_is_not_whole(gestures: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"download DvsGesture\.tar\.gz from \S+ \(by hand\) \(md5 8a5c71fb11e24e5c"):
        split_dvs_gesture(tmp_path / "nowhere")
    labels = gestures / "DvsGesture" / "user23_led_labels.csv"
    labels.write_text("class,startTime_usec,endTime_usec\n3,10,20\n12,10,20\n")
    with pytest.raises(DatasetError, match=r"labels\.csv, line 3: got '12,10,20'; expected a class from 1 to 11"):
        split_dvs_gesture(gestures)
    labels.write_text("class,startTime_usec,endTime_usec\n")
    with pytest.raises(DatasetError, match=r"labels\.csv: got no gesture; expected lines of class, start and end"):
        split_dvs_gesture(gestures)
    labels.unlink()
    with pytest.raises(DatasetError, match=r"got user23_led\.aedat without user23_led_labels\.csv;"):
        split_dvs_gesture(gestures)
    (gestures / "DvsGesture" / "user23_led.aedat").unlink()
    with pytest.raises(DatasetError, match=r"got 1 of 3 listed recordings missing, such as user23_led\.aedat;"):
        split_dvs_gesture(gestures)


def test_a_repeated_line_is_one_gesture(gestures: Path) -> None:
    before = split_dvs_gesture(gestures)
    labels = gestures / "DvsGesture" / "user24_led_labels.csv"
    labels.write_bytes(labels.read_bytes() + labels.read_bytes().splitlines(keepends=True)[-1])
    assert keys(split_dvs_gesture(gestures).test) == keys(before.test)


def test_dvs_gesture_follows_the_committed_split() -> None:
    with (DATASETS / "dvs_gesture" / "split.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    sides = [row["side"] for row in rows]
    assert (sides.count("train"), sides.count("test")) == (98, 24)
    for row in rows:
        is_test = int(row["trial"][4:6]) >= dvs_gesture.FIRST_TEST_USER
        assert row["side"] == ("test" if is_test else "train")


@pytest.fixture
def gait(tmp_path: Path) -> Path:
    write_gait_day(tmp_path)
    return tmp_path


def test_gait_day(gait: Path) -> None:
    split = split_gait_day(gait)
    assert split.train.classes == tuple(map(str, range(12))), "10 comes after 9"
    assert (len(split.train), len(split.test)) == (24, 12)
    assert split.train.sensor_size == (128, 128)
    last = split.test.entries[-1]
    assert (last.key, last.label) == ("test/11/2.txt", 11)
    np.testing.assert_array_equal(last.open().read(), make(3 * 11 + 2))
    check_frames(split)
    for inner in ("DVS128-Gait-Day", "DVS128-Gait-Day/origin"):
        assert keys(split_gait_day(gait / inner).train) == keys(split.train)
    assert len(GaitDay(gait, train=True)) == 24


def test_gait_day_that_is_not_whole(gait: Path, tmp_path: Path) -> None:
    origin = gait / "DVS128-Gait-Day" / "origin"
    (origin / "test" / "3" / "2.txt").unlink()
    with pytest.raises(DatasetError, match="got the people 3 on one side only; expected DVS128-Gait-Day/origin/"):
        split_gait_day(gait)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match=r"got an empty folder; .*pan\.baidu\S+ \(extraction code mk55, by hand"):
        split_gait_day(empty)


@pytest.fixture(params=["npz", "aedat4", "nested"])
def har(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_har_dvs(tmp_path, request.param)
    return tmp_path


def test_har_dvs(har: Path) -> None:
    split = split_har_dvs(har)
    assert split.train.classes == ("action_001", "action_002", "action_003")
    assert (len(split.train), len(split.test), split.train.sensor_size) == (6, 3, (346, 260))
    assert keys(split.test)[2] == "action_003/dvSave-2021_10_15_19_02_03"
    np.testing.assert_array_equal(split.test.entries[2].open().read(), make(4 * 2 + 3, 346, 260))
    check_frames(split)
    assert split.validation is not None
    assert keys(split.validation)[0].startswith("action_001/")
    assert len({entry.path for entry in split.entries}) == 12
    assert split_har_dvs(har, held_out="val").validation is None
    assert split_har_dvs(har, held_out="val").rule == "of HAR-DVS, val list held out"
    assert [len(HarDvs(har, side=side)) for side in ("train", "val", "test")] == [6, 3, 3]


def test_har_dvs_names_of_activities(har: Path) -> None:
    put(har / "HARDVS_300_class.txt", "Action001-L type clamp back\nAction002 wink_ Blink an eye\nAction003 - Run\n")
    assert split_har_dvs(har).train.classes == ("L type clamp back", "wink_ Blink an eye", "Run")


def test_har_dvs_that_is_not_whole(har: Path, tmp_path: Path) -> None:
    todo = (
        r"MINI_HARDVS_files\.zip from \S+HARDVS \(link on the page, by hand\) \(md5 9c4cc0d9ba043faa17f6f1a9e9aff982\)"
    )
    with pytest.raises(DatasetError, match="got no such folder; expected train_label.txt, .*" + todo):
        split_har_dvs(tmp_path / "nowhere")
    next(har.rglob("dvSave-2021_10_15_19_00_02.*")).unlink()
    with pytest.warns(RecordingWarning, match="left out 1 of 3 listed recordings of the val list"):
        assert len(split_har_dvs(har).sides["validation"]) == 2
    gone = next(har.rglob("dvSave-2021_10_15_19_01_03.*"))
    gone.unlink()
    missing = r"got 1 of 3 listed recordings missing, all of action_002;"
    with pytest.raises(DatasetError, match=missing):
        split_har_dvs(har)
    put(har / "val_label.txt", f"action_001/a {'1' * 5000}\n")
    with pytest.raises(DatasetError, match=r"val_label\.txt, line 1: got .*; expected action_<number>/"):
        split_har_dvs(har, held_out="val")
    put(har / "val_label.txt", "action_001 0\n")
    with pytest.raises(DatasetError, match=r"val_label\.txt, line 1: got 'action_001 0'; expected action_<number>/"):
        split_har_dvs(har, held_out="val")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("action_001/dvSave-2021_10_15_19_00_03 1", "got the label 1 for action_002 and for action_001"),
        ("action_009/dvSave-2021_10_15_19_00_03 7", "got 4 folders with labels up to 7; expected labels from 0 on"),
    ],
)
def test_har_dvs_with_contradictory_labels(har: Path, line: str, message: str) -> None:
    put(har / "test_label.txt", line)
    with pytest.raises(DatasetError, match=message):
        split_har_dvs(har)


def test_har_dvs_with_one_recording_in_two_lists(har: Path) -> None:
    (har / "test_label.txt").write_text((har / "train_label.txt").read_text())
    with pytest.raises(DatasetError, match=r"got the recording action_00\d/\S+ on two sides \(to train, held out\)"):
        split_har_dvs(har).check_disjoint()
