"""Folders as people have them: hidden things, notes, links, spellings of names, and the folders of a split."""

import gzip
import re
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_recordings import SIZE, draw_events, keys

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.prepared import prepare
from stdl_events.recordings import read_folder, read_given_split, read_nmnist, split_nmnist
from stdl_events.recordings.found_files import child
from stdl_events.recordings.splits.split import by_recording

Write = Callable[..., Path]


def two_classes(write: Write, prefix: str = "") -> list[str]:
    names = [f"{prefix}{name}" for name in ("walk/0.npz", "walk/1.npz", "wave/0.npz", "wave/1.npz")]
    for name in names:
        write(name)
    return names


@pytest.mark.parametrize(
    "name",
    [
        "walk/.ipynb_checkpoints/0-checkpoint.npz",
        "walk/.Trash-1000/files/9.npz",
        "walk/._0.npz",
        "__MACOSX/walk/0.npz",
        "$RECYCLE.BIN/9.npz",
        "walk/#recycle/9.npz",
        "walk/@eaDir/0.npz",
        ".cache/9.npz",
        "walk/day 1/.hidden/9.npz",
    ],
)
def test_hidden_things_are_left_out_and_counted(write: Write, tmp_path: Path, name: str) -> None:
    expected = two_classes(write)
    write(name)
    with pytest.warns(RecordingWarning, match=r"left out: 1 hidden \(") as said:
        recordings = read_folder(tmp_path)
    assert len(said) == 1
    assert (recordings.classes, keys(recordings)) == (("walk", "wave"), expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("walk/notes.txt", "The camera was tilted in 2 and 3.\n"),
        ("README.txt", "Two people, 2 takes each\n\nSee t, x and so on.\n"),
        ("classes.csv", "0,walk\n1,wave\n"),
        ("walk/labels.csv", "recording,label,t_start,t_end,session\nwalk/0.npz,walk,0,100,1\n"),
        ("wave/Thumbs.png", "picture"),
        ("wave/0.npz~", "backup"),
        ("walk/Notizen.txt", "Kamera höher, 3 Personen; 12 Uhr, 20 °C\n"),
        ("walk/timecode.txt", "# frame, time\nrun 1 began at 10 30 15 on the second day\n"),
        ("notes.txt", "\ufeffÜbersicht\r\n\r\n2 Personen\r\n"),
    ],
)
def test_notes_are_left_out_and_counted(write: Write, tmp_path: Path, name: str, text: str) -> None:
    expected = two_classes(write)
    (tmp_path / name).write_bytes(text.encode())
    with pytest.warns(RecordingWarning, match=rf"left out: 1 of another kind \({name}\)$"):
        recordings = read_folder(tmp_path)
    assert (recordings.classes, keys(recordings)) == (("walk", "wave"), expected)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3 1\n5 2 4 0\n",
        "% a comment\n# another\nt,x,y,p\n1,2,3,1\n",
        "\ufefft;x;y;p\r\n1;2;3;1\r\n",
        "t,x,y,p\n",
        "",
    ],
)
def test_text_with_events_is_a_recording(tmp_path: Path, text: str) -> None:
    for name in ("a/1.txt", "b/1.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RecordingWarning)
        assert keys(read_folder(tmp_path, sensor_size=(8, 6))) == ["a/1.txt", "b/1.csv"]


def test_one_file_in_two_classes_is_refused(write: Write, tmp_path: Path) -> None:
    """By links of files or of folders: it had both labels, on one side of the split or on both."""
    two_classes(write)
    (tmp_path / "stroll").symlink_to("walk")
    with pytest.raises(DatasetError, match=r"got stroll/0.npz and walk/0.npz, which are one file"):
        read_folder(tmp_path)


def test_links_are_followed_once(write: Write, tmp_path: Path) -> None:
    write("elsewhere/far/7.npz")
    two_classes(write, "data/")
    data = tmp_path / "data"
    (data / "run").symlink_to(tmp_path / "elsewhere" / "far")
    (data / "walk" / "again.npz").symlink_to("0.npz")
    (data / "walk" / "round").symlink_to(data / "walk")
    (data / "wave" / "up").symlink_to("..")
    (data / "wave" / "gone.npz").symlink_to("nowhere.npz")
    with pytest.warns(RecordingWarning) as said:
        recordings = read_folder(data)
    assert keys(recordings) == ["run/7.npz", "walk/0.npz", "walk/1.npz", "wave/0.npz", "wave/1.npz"]
    text = str(said[0].message)
    assert "3 linked twice (walk/again.npz, walk/round, wave/up)" in text
    assert "1 broken links (wave/gone.npz)" in text


def test_names_are_compared_in_one_unicode_form(write: Write, tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "grüßen")
    for side, form in (("train", "NFC"), ("test", "NFD")):
        for name in (unicodedata.normalize(form, composed), "walk"):
            write(f"{side}/{name}/{side}.npz")
    split = read_given_split(tmp_path)
    assert split.test.classes == (composed, "walk")
    assert keys(split.test)[0] == f"test/{composed}/test.npz"
    assert child(tmp_path / "test", composed) == tmp_path / "test" / unicodedata.normalize("NFD", composed)


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("training", "validation"),
        ("train", "valid"),
        ("train_set", "test_set"),
        ("Train/Train", "Test/Test"),
    ],
)
def test_sides_in_any_case_and_spelling(write: Write, tmp_path: Path, train: str, held_out: str) -> None:
    trained, tested = two_classes(write, f"{train}/"), two_classes(write, f"{held_out}/")
    split = read_given_split(tmp_path)
    assert (keys(split.train), keys(split.test)) == (trained, tested)
    assert split.train.classes == ("walk", "wave")
    with pytest.raises(DatasetError, match="a given split"):
        read_folder(tmp_path)


def test_validation_beside_test_is_a_third_side(write: Write, tmp_path: Path) -> None:
    for side in ("train", "Val", "test"):
        two_classes(write, f"{side}/")
    split = read_given_split(tmp_path)
    assert [{key.split("/")[0] for key in keys(side)} for side in split.sides.values()] == [
        {"train"},
        {"Val"},
        {"test"},
    ]
    assert split.rule == "as given by the folders train, Val and test"
    shutil.rmtree(tmp_path / "Val" / "wave")
    assert {entry.label for entry in read_given_split(tmp_path).sides["validation"].entries} == {0}, (
        "said with its clips"
    )
    write("Val/swim/0.npz")
    with pytest.raises(DatasetError, match="got the classes swim on one side only"):
        read_given_split(tmp_path)


def odd_splits(write: Write, tmp_path: Path) -> dict[str, str]:
    for prefix in ("twice/Train/", "twice/training/", "twice/test/"):
        two_classes(write, prefix)
    for prefix in ("beside/train/", "beside/test/", "beside/"):
        two_classes(write, prefix)
    for prefix in ("loose/train/", "loose/test/"):
        two_classes(write, prefix)
    write("loose/run.npz")
    return {
        "twice": "got Train/ and training/; expected one folder for the side train",
        "beside": r"got walk/0\.npz, wave/0\.npz beside the folders of a split",
        "loose": r"got run\.npz beside the folders of a split",
    }


def test_odd_splits_are_named(write: Write, tmp_path: Path) -> None:
    for name, message in odd_splits(write, tmp_path).items():
        with pytest.raises(DatasetError, match=message):
            read_given_split(tmp_path / name)
    for prefix in ("untrained/val/", "untrained/test/"):
        two_classes(write, prefix)
    with pytest.raises(DatasetError, match="got the folders val and test, and none to train on"):
        read_folder(tmp_path / "untrained")


SPEC = FrameSpec(kind="recording", steps=2, by="count", sensor_size=SIZE, cap=255)


@pytest.mark.parametrize(
    ("place", "shown"),
    [("store", "store"), ("prepared/store", "prepared"), ("walk/store", "walk/store"), ("walk/1/2/store", "walk/1")],
)
def test_a_store_among_the_recordings_is_left_out(write: Write, tmp_path: Path, place: str, shown: str) -> None:
    """A store in the folder of its recordings was a class without recordings the next time, or passed over silently."""
    expected = two_classes(write, "data/")
    data = tmp_path / "data"
    split = by_recording(read_folder(data), held_out=0.5, seed=0)
    prepare(split, SPEC, data / place, dataset="folder", root=data)
    with pytest.warns(RecordingWarning, match=re.escape(f"left out: 1 made by stdl-events ({shown})")):
        recordings = read_folder(data)
    assert [f"data/{key}" for key in keys(recordings)] == expected


def test_folders_with_files_like_those_of_a_store_are_read(write: Write, tmp_path: Path) -> None:
    expected = two_classes(write)
    for name in ("manifest.json", "split.json", "sweep.json"):
        (tmp_path / "walk" / name).write_text('{"made_by": "another-program 1.0", "framing": 2}')
    with pytest.warns(RecordingWarning, match="left out: 3 of another kind"):
        assert keys(read_folder(tmp_path)) == expected


def test_a_class_of_notes_alone_says_why(write: Write, tmp_path: Path) -> None:
    two_classes(write)
    (tmp_path / "blink").mkdir()
    (tmp_path / "blink" / "notes.txt").write_text("not recorded yet")
    with pytest.raises(
        DatasetError, match=r"no recordings in blink \(left out: 1 of another kind \(blink/notes\.txt\)"
    ):
        read_folder(tmp_path)


def test_nmnist_as_its_archives_unpack(tmp_path: Path) -> None:
    event = bytes([3, 4, 0x80, 0, 7])
    for side, per_digit in (("Train", 2), ("Test", 1)):
        for number in range(10 * per_digit):
            path = tmp_path / "plain" / side / str(number % 10) / f"{number:05d}.{'BIN' if number == 3 else 'bin'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(event * (1 + number + 100 * per_digit))
    shutil.copytree(tmp_path / "plain", tmp_path / "inner" / "NMNIST")
    for root in (tmp_path / "plain", tmp_path / "inner"):
        split = split_nmnist(root)
        assert (len(split.train), len(split.test)) == (20, 10)
        assert split.test.classes == tuple("0123456789")
        assert "no recording on both sides" in split.check_disjoint()
    assert len(read_nmnist(tmp_path / "plain")) == 20
    for name in ("Train.zip", "Readme.txt", "Train/4/notes.txt"):
        (tmp_path / "plain" / name).write_text("something else")
    with pytest.warns(RecordingWarning, match=r"left out: 3 of another kind"):
        assert len(split_nmnist(tmp_path / "plain").train) == 20


def test_a_format_that_is_given_takes_other_suffixes(tmp_path: Path) -> None:
    for name in ("a/1", "a/1.events", "b/1.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes([3, 4, 0x80, 0, 7]))
    np.save(tmp_path / "b" / "2.npy", draw_events(1)["t"])
    assert len(read_folder(tmp_path, format="nmnist", sensor_size=(34, 34))) == 4


def test_compressed_text_is_a_recording(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt.gz").write_bytes(gzip.compress(b"1 2 3 1\n5 2 4 0\n"))
    assert keys(read_folder(tmp_path, sensor_size=(8, 6))) == ["a/1.txt.gz", "b/1.txt.gz"]
