"""A user's folder of recordings: the supported layouts, and the errors for others."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_recordings import SIZE, keys

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import read_folder, read_given_split
from stdl_events.training.data_settings import DataSettings, FrameSettings
from stdl_events.training.load_recordings import split_recordings

Write = Callable[..., Path]


def test_a_folder_per_class(write: Write, tmp_path: Path) -> None:
    for name in ("walk/2.h5", "walk/1.h5", "run/day1/1.h5", "walk/.hidden.h5"):
        write(name)
    (tmp_path / "walk" / "notes.md").write_text("not a recording")
    (tmp_path / ".cache").mkdir()
    said = r"left out: 2 hidden \(\.cache, walk/\.hidden\.h5\), 1 of another kind \(walk/notes\.md\)$"
    with pytest.warns(RecordingWarning, match=said):
        recordings = read_folder(tmp_path)
    assert recordings.classes == ("run", "walk")
    assert recordings.sensor_size == SIZE
    assert keys(recordings) == ["run/day1/1.h5", "walk/1.h5", "walk/2.h5"]
    assert [entry.label for entry in recordings.entries] == [0, 1, 1]
    assert recordings.entries[0].open().summary.events == 200


def test_one_long_recording_per_class(write: Write, tmp_path: Path) -> None:
    write("b.h5")
    write("a.h5")
    recordings = read_folder(tmp_path)
    assert (recordings.classes, keys(recordings)) == (("a", "b"), ["a.h5", "b.h5"])


def test_classes_that_a_person_would_take_for_one_are_said(write: Write, tmp_path: Path) -> None:
    for name in ("Walk_away/1.h5", "walk away/1.h5", "run/1.h5"):
        write(name)
    with pytest.warns(
        RecordingWarning, match="'Walk_away' and 'walk away' are classes of their own; give them one name"
    ):
        assert len(read_folder(tmp_path).classes) == 3


def test_a_given_split(write: Write, tmp_path: Path) -> None:
    for name in ("train/a/1.h5", "train/a/2.h5", "train/b/1.h5", "test/a/3.h5", "test/b/3.h5"):
        write(name)
    split = read_given_split(tmp_path)
    assert keys(split.train) == ["train/a/1.h5", "train/a/2.h5", "train/b/1.h5"]
    assert keys(split.test) == ["test/a/3.h5", "test/b/3.h5"]
    assert "3 to train, 2 held out; checked: no recording on both sides" in split.check_disjoint()
    with pytest.raises(DatasetError, match="got the folders train and test, a given split;"):
        read_folder(tmp_path)


def test_sizes_that_no_file_states_are_inferred_over_all(tmp_path: Path) -> None:
    for name, x in (("a/1", 3), ("a/2", 9), ("b/1", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.array([[0, x, 2, 1], [5, 0, 4, 0]]))
    assert read_folder(tmp_path).sensor_size == (10, 5)
    given = read_folder(tmp_path, sensor_size=(32, 32))
    assert given.sensor_size == given.entries[0].open().sensor_size == (32, 32)


def test_a_format_without_content_to_recognise(tmp_path: Path) -> None:
    for name in ("a/1.raw_events", "b/1.raw_events"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes([3, 4, 0x80, 0, 7]))
    recordings = read_folder(tmp_path, format="nmnist")
    assert recordings.entries[0].open().read()["x"].tolist() == [3]


def odd_layouts(write: Write, tmp_path: Path) -> dict[str, str]:
    """Subfolder -> the error about it."""
    (tmp_path / "empty").mkdir()
    write("one class/a/1.h5")
    write("mixed/a/1.h5")
    write("mixed/b.h5")
    write("hollow/a/1.h5")
    (tmp_path / "hollow" / "b").mkdir()
    write("twins/a.h5")
    np.save(tmp_path / "twins" / "a.npy", np.zeros((1, 4), int))
    write("other things/a/1.h5").rename(tmp_path / "other things" / "1.mp4")
    return {
        "empty": "got an empty folder;",
        "one class": "got a/; expected <class>/<recording>",
        "mixed": "got a/, b.h5; .*move the loose recordings into folders of their class",
        "hollow": "got no recordings in b;",
        "twins": "got two recordings of one class side by side;",
        "other things": r"got 1.mp4, a/ \(left out: 1 of another kind \(1\.mp4\)\);",
        "nowhere": "got no such folder; expected a folder of recordings; check the path",
        "twins/a.h5": "got a file; expected a folder",
    }


def test_odd_layouts_are_named(write: Write, tmp_path: Path) -> None:
    for name, message in odd_layouts(write, tmp_path).items():
        with pytest.raises(DatasetError, match=message):
            read_folder(tmp_path / name)


def test_a_given_split_with_other_classes_on_one_side(write: Write, tmp_path: Path) -> None:
    for name in ("train/a/1.h5", "train/b/1.h5", "test/a/3.h5", "test/c/3.h5"):
        write(name)
    with pytest.raises(DatasetError, match="got the classes b, c on one side only"):
        read_given_split(tmp_path)
    with pytest.raises(DatasetError, match=r"got a/, b/; .*add the folders train and test"):
        read_given_split(tmp_path / "train")


def test_a_split_that_would_pass_for_classes_is_named(write: Write, tmp_path: Path) -> None:
    for name in ("a/walk/1.h5", "a/wave/2.h5", "b/walk/3.h5", "b/wave/4.h5"):
        for root, side, other in (
            ("half", "train", "holdout"),
            ("days", "day1", "day2"),
            ("named", "x_train", "x_test"),
        ):
            write(f"{root}/{name}".replace("/a/", f"/{side}/").replace("/b/", f"/{other}/"))
    with pytest.raises(DatasetError, match=r"got train/ beside holdout/, with the folders walk, wave in each"):
        read_folder(tmp_path / "half")
    with pytest.raises(DatasetError, match=r"got x_test, x_train/, .* in each; .* as 'x_\{split\}/\{class\}/\*\*' for"):
        read_folder(tmp_path / "named")
    split = read_given_split(tmp_path / "named", layout="x_{split}/{class}/**")  # what the error advises
    assert (keys(split.train), keys(split.test)) == (
        ["x_train/walk/1.h5", "x_train/wave/2.h5"], ["x_test/walk/3.h5", "x_test/wave/4.h5"],
    )  # fmt: skip
    with pytest.warns(
        RecordingWarning, match=r"day1, day2 holds the folders walk, wave; .* --layout '\*/\{class\}/\*\*'"
    ):
        assert read_folder(tmp_path / "days").classes == ("day1", "day2"), "who walked on which day is no split"
    for person in ("p1", "p2"):
        for name in ("day1/walk/1.h5", "day1/wave/2.h5", "day2/walk/3.h5", "day2/wave/4.h5"):
            write(f"deep/{person}/{name}")
    with pytest.warns(RecordingWarning, match=r"day1, day2, and each of those walk, wave; .* or '\*/\*/\{class"):
        read_folder(tmp_path / "deep")
    assert read_folder(tmp_path / "deep", layout="*/*/{class}/**").classes == ("walk", "wave")
    write("days/day2/sit/5.h5")
    with pytest.warns(RecordingWarning, match="day1, day2 holds the folders walk, wave; "):
        read_folder(tmp_path / "days")
    for name in ("1_train/walk/1.h5", "1_train/wave/2.h5", "1_train/sit/3.h5", "2_test/walk/4.h5"):
        write(f"less/{name}")
    with pytest.raises(DatasetError, match=r"got 1_train, 2_test/, with the folders walk in each"):
        read_folder(tmp_path / "less")
    for name in ("walk/Train/1.h5", "walk/Test/2.h5", "wave/Train/3.h5", "wave/Test/4.h5"):
        write(f"sides/{name}")
    with pytest.raises(DatasetError, match=r"sides Test, Train inside the class walk .* --layout '\{class\}/\{split\}"):
        read_folder(tmp_path / "sides")
    split = read_given_split(tmp_path / "sides", layout="{class}/{split}/**")
    assert [entry.key for entry in split.test.entries] == ["walk/Test/2.h5", "wave/Test/4.h5"]
    assert len(read_folder(tmp_path / "sides", layout="{class}/**")) == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("walk/1.h5 wave/1.h5 backup/walk/2.h5", "backup/walk are folders in one class with the name of another one"),
        ("0.h5 1.h5 2.h5", "0 and 1 are classes of their own, .*; if they are of one class, give the folder"),
        ("walk_1.h5 walk_2.h5 walk_3.h5", "walk_1 and walk_2 are classes of their own, .* give the folder that"),
        (
            "walk_1_ann.h5 walk_2_bob.h5 wave_1_ann.h5 wave_2_cy.h5",
            r"walk_1_ann and walk_2_bob are .*'\{class\}_\*_\*'",
        ),
        ("walk_1.h5 walk_2.h5 wave_1.h5 wave_2.h5", r"walk_1 and walk_2 are classes of their own, .* '\{class\}_\*'"),
    ],
)
def test_folders_and_names_that_may_be_no_classes_are_said(write: Write, tmp_path: Path, names: str, said: str) -> None:
    for name in names.split():
        write(name)
    with pytest.warns(RecordingWarning, match=said):
        read_folder(tmp_path)


def test_the_folder_inside_of_an_archive_is_named(write: Write, tmp_path: Path) -> None:
    for name in ("mine/walk/1.h5", "mine/wave/1.h5"):
        write(name)
    with pytest.raises(DatasetError, match=f"or give --data {tmp_path / 'mine'} if they are in it"):
        read_folder(tmp_path)


def test_several_sensors_are_refused(write: Write, tmp_path: Path) -> None:
    write("a/1.h5")
    write("b/1.h5", size=(64, 48))
    with pytest.raises(DatasetError, match=r"sizes: 8x6 in a/1\.h5, 64x48 in b/1\.h5; expected one sensor"):
        read_folder(tmp_path)


def test_a_recording_that_does_not_open_is_named(write: Write, tmp_path: Path) -> None:
    for name in ("a/1.h5", "b/1.h5"):
        write(name).write_bytes(b"")
    with pytest.raises(RecordingError, match=r"a/1\.h5: got an empty file"):
        read_folder(tmp_path)


def test_unit_and_stream_reach_every_recording(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for side, first in (("left", 1), ("right", 5)):
                file[f"{side}/t"] = np.arange(first, first + 9)
                file[f"{side}/x"] = file[f"{side}/y"] = file[f"{side}/p"] = np.zeros(9, "u1")
    recordings = read_folder(tmp_path, sensor_size=(4, 4), stream=1, time_unit="ms")
    for entry in recordings.entries:
        assert entry.open().read()["t"].tolist() == list(range(5_000, 14_000, 1_000))
    with pytest.raises(RecordingError, match="events in 2 places"):
        read_folder(tmp_path)


def test_settings_pass_unit_and_stream_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", t=np.arange(900), **{key: np.zeros(900, "u1") for key in "xyp"})
    settings = DataSettings(dataset="folder", path=str(tmp_path), sensor_size=(4, 4), time_unit="100us")
    split = split_recordings(settings, FrameSettings(kind="stream", dt_us=1000, steps=2), "folder")
    assert {entry.open().t_last_us for entry in split.train.entries} == {89_900}
    with pytest.raises(ValueError, match="time unit: got 'weeks'"):
        DataSettings(dataset="folder", time_unit="weeks")


def test_settings_pass_columns_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        table = np.stack([np.arange(900) % 4, np.arange(900) % 3, np.arange(900) % 2, 100 * np.arange(900)], axis=1)
        np.save(tmp_path / f"{name}.npy", table)
    settings = DataSettings(dataset="folder", path=str(tmp_path), sensor_size=(4, 4), columns="y,x,p,t")
    split = split_recordings(settings, FrameSettings(kind="stream", dt_us=1000, steps=2), "folder")
    for entry in split.train.entries:
        assert entry.open().read()["y"].tolist() == (np.arange(900) % 4).tolist()
    with pytest.raises(ValueError, match="got 'y,x,p'; expected t, x, y and p once each"):
        DataSettings(dataset="folder", columns="y,x,p")


@pytest.mark.parametrize("name", ["labels.txt", "Annotations.csv", "segments_v2.json", "who.tsv"])
@pytest.mark.parametrize("sides", [(), ("train", "test")])
def test_labels_beside_classes_that_are_not_read_are_said(
    write: Write, tmp_path: Path, name: str, sides: tuple[str, ...]
) -> None:
    """They were only counted among files of another kind."""
    for side in sides or ("",):
        for recording in ("walk/1.h5", "run/1.h5"):
            write(f"{side}/{recording}".lstrip("/"))
    (tmp_path / name).write_text("recording\tlabel\nwalk/1.h5\twalking\n")
    read = read_given_split if sides else read_folder
    with pytest.warns(RecordingWarning) as said:
        read(tmp_path)
    text = "".join(str(each.message) for each in said if "may label" in str(each.message))
    assert f"{name} may label the recordings, and is not read: the folders are the classes" in text
    assert f"--labels {name}" in text
    with pytest.warns(RecordingWarning, match="of another kind") as said:
        read(tmp_path, labels=None)
    assert len(said) == 1


def test_an_unreadable_class_does_not_hide_the_other_unreadable_recordings(write: Write, tmp_path: Path) -> None:
    """The first recording of such a class was the only one named, and --skip-bad did not help."""
    for name in ("walk/1.h5", "walk/2.h5", "run/1.h5", "run/2.h5", "run/3.h5"):
        write(name)
    for name in ("fall/1.h5", "fall/2.h5", "run/3.h5"):
        write(name).write_bytes(b"odd")
    recordings = read_folder(tmp_path)
    assert (recordings.sensor_size, len(recordings)) == (SIZE, 7)


def test_sides_can_be_divided_anew_as_the_error_says(write: Write, tmp_path: Path) -> None:
    for side in ("train", "test"):
        for name in ("walk/1.h5", "run/day/1.h5"):
            write(f"{side}/{name}")
    with pytest.raises(DatasetError, match=r"--layout '\*/\{class\}/\*\*'"):
        read_folder(tmp_path)
    assert keys(read_folder(tmp_path, layout="*/{class}/**")) == [
        "test/run/day/1.h5", "test/walk/1.h5", "train/run/day/1.h5", "train/walk/1.h5"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            [(16, 12)] * 3 + [(40, 12)],
            "the sensor size is inferred from b/3.npy, 40x12, where most .* within 16 pixels",
        ),
        ([(16, 12)] * 3 + [(12, 16)], ""),
        ([(30, 12)] * 2 + [(12, 30)] * 2, "a/0.npy 30x12 is wide and b/2.npy 12x30 is high: x and y may be exchanged"),
        ([(16, 12)] * 3 + [(20, 12)], ""),
    ],
)
def test_sizes_by_events_that_are_hardly_of_one_sensor_are_said(
    tmp_path: Path, sizes: list[tuple[int, int]], said: str
) -> None:
    """All recordings were put on the sensor of the largest one without a word."""
    for index, (width, height) in enumerate(sizes):
        events = np.zeros((50, 4), np.int64)
        events[:, 0], events[:, 3] = 1_000 * np.arange(50), np.arange(50) % 2
        events[:, 1], events[:, 2] = np.arange(50) % width, np.arange(50) % height
        path = tmp_path / "ab"[index // 2] / f"{index}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, events)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recordings = read_folder(tmp_path)
    assert recordings.sensor_size == (max(width for width, _ in sizes), max(height for _, height in sizes))
    texts = [str(each.message) for each in caught]
    assert len(texts) == bool(said)
    assert all(re.search(said, text) for text in texts)


def test_what_is_neither_file_nor_folder_is_counted(write: Write, tmp_path: Path) -> None:
    for name in ("walk/1.h5", "run/1.h5"):
        write(name)
    os.mkfifo(tmp_path / "run" / "2.h5")
    with pytest.warns(RecordingWarning, match=r"left out: 1 of another kind \(run/2\.h5\)"):
        assert len(read_folder(tmp_path)) == 2
