"""Cameras that hung in different ways: recordings are turned upright per folder, before everything else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_recordings import SIZE

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events import open_recording
from stdl_events.events.geometry import Geometry
from stdl_events.frames import FrameSpec
from stdl_events.prepared import PreparedSet
from stdl_events.recordings import clips_of, read_folder, read_given_split
from stdl_events.recordings.orientation import Orientation
from stdl_events.recordings.splits.split_list import read_split_list
from stdl_events.training.data_settings import DataSettings, FrameSettings
from stdl_events.training.load_recordings import split_recordings

Write = Callable[..., Path]


def orientations(*words: str) -> tuple[Orientation, ...]:
    return tuple(map(Orientation.model_validate, words))


def test_each_folder_by_its_own(write: Write, tmp_path: Path) -> None:
    for name in ("sit/1.h5", "walk/day_1/1.h5", "walk/day_2/1.h5"):
        write(name)
    asked = orientations("sit:rotate=180", "walk/day_2:rotate=180,flip=horizontal")
    recordings = read_folder(tmp_path, orientation=asked)
    sit, first, second = recordings.entries
    assert [entry.orientation for entry in recordings.entries] == [
        Geometry(rotate=180), Geometry(), Geometry(rotate=180, flip="horizontal"),
    ]  # fmt: skip
    stored, turned = open_recording(sit.path).read(), sit.open().read()
    np.testing.assert_array_equal(turned["x"], SIZE[0] - 1 - stored["x"])
    np.testing.assert_array_equal(turned["y"], SIZE[1] - 1 - stored["y"])
    np.testing.assert_array_equal(first.open().read(), open_recording(first.path).read())
    np.testing.assert_array_equal(second.open().read()["x"], open_recording(second.path).read()["x"])
    spec = FrameSpec(kind="stream", steps=2, dt_us=10_000, sensor_size=SIZE)
    turned_NTCHW, plain_NTCHW = clips_of(sit, spec)[0], clips_of(read_folder(tmp_path).entries[0], spec)[0]
    np.testing.assert_array_equal(turned_NTCHW, plain_NTCHW[..., ::-1, ::-1])
    assert len(turned_NTCHW) > 2


def test_the_sensor_s_size_is_that_after_turning(write: Write, tmp_path: Path) -> None:
    for name in ("a/1.h5", "b/1.h5"):
        write(name)
    both = orientations("a:rotate=90", "b:rotate=270")
    assert read_folder(tmp_path, orientation=both).sensor_size == SIZE[::-1]
    assert read_folder(tmp_path, orientation=both, sensor_size=SIZE).sensor_size == SIZE[::-1]
    for given in (None, SIZE):
        with pytest.raises(DatasetError, match=r"got several sensor sizes: 6x8 in a/1\.h5, 8x6 in b/1\.h5"):
            read_folder(tmp_path, orientation=orientations("a:rotate=90"), sensor_size=given)


def test_both_sides_of_a_given_split(write: Write, tmp_path: Path) -> None:
    for name in ("train/a/1.h5", "train/b/1.h5", "test/a/1.h5", "test/b/1.h5"):
        write(name)
    split = read_given_split(tmp_path, orientation=orientations("a:rotate=180", "test/b:flip=vertical"))
    found = {entry.key: entry.orientation.words for entry in (*split.train.entries, *split.test.entries)}
    assert found == {
        "train/a/1.h5": [("rotate", "180")], "train/b/1.h5": [],
        "test/a/1.h5": [("rotate", "180")], "test/b/1.h5": [("flip", "vertical")],
    }  # fmt: skip


def test_one_long_recording_per_class(write: Write, tmp_path: Path) -> None:
    write("a.h5")
    write("b.h5")
    recordings = read_folder(tmp_path, orientation=orientations("a:rotate=180", "b.h5:flip=vertical"))
    assert [entry.orientation for entry in recordings.entries] == [Geometry(rotate=180), Geometry(flip="vertical")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["c:rotate=90"],
            "got an orientation for c, where no recording is; expected a folder of recordings: a, a/day, b",
        ),
        (["a:rotate=90", "a/day:rotate=180"], "got 2 orientations that differ; expected at most one"),
    ],
)
def test_folders_that_are_not_there_or_twice(write: Write, tmp_path: Path, words: list[str], text: str) -> None:
    for name in ("a/day/1.h5", "b/1.h5"):
        write(name)
    with pytest.raises(DatasetError) as caught:
        read_folder(tmp_path, orientation=orientations(*words))
    assert text in str(caught.value)


def test_a_size_that_is_only_inferred_turns_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", np.array([[0, 3, 2, 1], [5, 0, 4, 0]]))
    turned = orientations("a:rotate=180")
    with pytest.raises(RecordingError, match=r"got a sensor size inferred from the events; .*--sensor WxH"):
        read_folder(tmp_path, orientation=turned)
    first = read_folder(tmp_path, orientation=turned, sensor_size=(10, 6)).entries[0].open()
    assert first.read()["x"].tolist() == [6, 9]


def test_settings_and_other_datasets(write: Write, tmp_path: Path) -> None:
    for name in ("a/1.h5", "a/2.h5", "b/1.h5", "b/2.h5"):
        write(name)
    data = DataSettings(dataset="folder", path=str(tmp_path), orientation=["a:rotate=180"])
    assert DataSettings.model_validate(json.loads(data.model_dump_json())) == data
    split = split_recordings(data, FrameSettings(kind="stream", steps=2, dt_us=10_000), "test")
    assert {bool(entry.orientation) for entry in split.train.entries if entry.label == 0} == {True}


def test_a_store_and_a_training_of_turned_recordings(run_cli, folder_of_sides: Path, tmp_path: Path) -> None:
    """The same events as of a folder whose recordings are upright."""
    upright, turned = folder_of_sides / "upright", folder_of_sides / "turned"
    ask = ("--frames", "T=2,dt=10ms", "--workers", 1)
    for name, data, options in (("u", upright, ()), ("t", turned, ("--orientation", "b:rotate=270,flip=vertical"))):
        code, _, err = run_cli("prepare", "folder", "--data", data, *ask, *options, "--out", tmp_path / name)
        assert code == 0, err
    stores = [PreparedSet.open(tmp_path / name) for name in "ut"]
    clips = [store.clips(store.split().train) for store in stores]
    np.testing.assert_array_equal(*(np.asarray(each.frames_NTCHW) for each in clips))
    code, out, err = run_cli("prepare", "folder", "--data", turned, *ask, "--out", tmp_path / "t", "--json")
    assert code == 2 or json.loads(out)["made"] > 0, "a store knows how its recordings were turned"
    options = ["--orientation", "b:rotate=270,flip=vertical", "--set", "frames.steps=2", "--set", "frames.dt_us=10000"]
    options += ["--set", "epochs=1", "--set", "network.notation=4C3", "--set", "learning.least_blocks=1", "--json"]
    code, out, err = run_cli("train", "folder", "--data", turned, *options, "--out", tmp_path / "run")
    assert code == 0, err
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["data"]["orientation"] == [{"folder": "b", "rotate": 270, "flip": "vertical"}]
    assert json.loads(run_cli("evaluate", tmp_path / "run", "--json")[1])["n"] == json.loads(out)["n"]


@pytest.fixture
def folder_of_sides(tmp_path: Path) -> Path:
    from small_recordings import draw_events

    from stdl_events.events import write_recording

    root, side = tmp_path / "sides", 8
    for label in ("a", "b"):
        for number in range(4):
            events = draw_events(number + 10 * (label == "b"))
            for kind in ("upright", "turned"):
                path = root / kind / label / f"{number}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                stored = events.copy()
                if kind == "turned" and label == "b":  # the transpose is its own inverse, and 270 with a vertical flip
                    stored["x"], stored["y"] = events["y"], events["x"]
                write_recording(path, stored, (side, side))
    return root


@pytest.mark.parametrize(
    "word", ["a", "a:", "a:rotate", "rotate=90", "a:rotate=45", "a:scale=2x2", "a:rotate=90,rotate=0"]
)
def test_words_that_do_not_parse(run_cli, write: Write, tmp_path: Path, word: str) -> None:
    for name in ("a/1.h5", "b/1.h5"):
        write(name)
    for command in (("prepare", "folder", "--frames", "T=2,dt=10ms"), ("train", "folder")):
        code, _, err = run_cli(*command, "--data", tmp_path, "--orientation", word, "--out", tmp_path / "out")
        assert code == 2
        assert "orientation" in err
        assert len(err.splitlines()) == 1


@pytest.mark.filterwarnings("ignore::stdl_events.events.stream.RecordingWarning")
def test_the_three_cameras_of_a_real_set(recordings_dir: Path) -> None:
    """Where its makers state it: columns and rows of the upright picture by the stored address."""
    root = recordings_dir / "sit_stand_walk"
    asked = orientations("sit_stand:rotate=90", "walk_toward:rotate=180")
    found = {entry.key.split("/")[0]: entry for entry in read_folder(root, labels=None, orientation=asked).entries}
    for name, column_row in (
        ("sit_stand", lambda x, y: (y, 127 - x)),
        ("walk_away", lambda x, y: (127 - x, 127 - y)),
        ("walk_toward", lambda x, y: (x, y)),
    ):
        raw = found[name].path.read_bytes()
        while raw.startswith(b"#"):
            raw = raw.split(b"\n", 1)[1]
        words = np.frombuffer(raw[: 8 * 1000], ">u4").reshape(-1, 2)
        x, y = (words[:, 0] >> 1) & 0x7F, (words[:, 0] >> 8) & 0x7F
        events = found[name].open().read()[:1000]
        column, row = column_row(x.astype(int), y.astype(int))
        np.testing.assert_array_equal(np.stack([events["x"], events["y"]]), np.stack([column, row]))


def label(root: Path, *rows: str, header: str = "recording,label,rotate,flip") -> None:
    (root / "labels.csv").write_text("\n".join([header, *rows]))


def test_rows_of_a_label_file_turn_their_recordings(write: Write, tmp_path: Path) -> None:
    for name in ("a/1.h5", "a/2.h5", "b/1.h5", "b/2.h5"):
        write(name)
    label(tmp_path, "a/1,x,180,", "a/2,x,,Vertical", "b/1,y,0,none", "b/2,y,,")
    found = {entry.key: entry.orientation for entry in read_folder(tmp_path).entries}
    assert found == {
        "a/1.h5": Geometry(rotate=180), "a/2.h5": Geometry(flip="vertical"), "b/1.h5": Geometry(), "b/2.h5": Geometry(),
    }  # fmt: skip
    # A folder's orientation fills what the rows leave open, and may repeat what they say.
    asked = orientations("b/2.h5:rotate=180", "a/1.h5:rotate=180")
    entries = {entry.key: entry for entry in read_folder(tmp_path, orientation=asked).entries}
    assert entries["b/2.h5"].orientation == entries["a/1.h5"].orientation == Geometry(rotate=180)
    stored, turned = open_recording(tmp_path / "a/1.h5").read(), entries["a/1.h5"].open().read()
    np.testing.assert_array_equal(turned["x"], SIZE[0] - 1 - stored["x"])


def test_parts_of_one_recording_have_its_orientation(write: Write, tmp_path: Path) -> None:
    for name in ("1.h5", "2.h5"):
        write(name)
    rows = ("1,0,20000,x,90", "1,20000,40000,y,", "2,0,20000,x,90", "2,20000,40000,y,90")
    label(tmp_path, *rows, header="recording,t_start,t_end,label,rotate")
    found = read_folder(tmp_path, label_times="recording")
    assert {entry.orientation for entry in found.entries} == {Geometry(rotate=90)}
    assert found.sensor_size == SIZE[::-1]


@pytest.mark.parametrize(
    ("rows", "asked", "text"),
    [
        (("1,x,90,", "1,x,180,", "2,y,,"), (), "line 3: got rotate=180, after rotate=90 in line 2"),
        (("1,x,90,", "1,x,0,", "2,y,,"), (), "line 3: got rotate=0, after rotate=90 in line 2"),
        (("1,x,45,", "2,y,,"), (), "line 2: got 45 as rotate"),
        (("1,x,90,left", "2,y,,"), (), "line 2: got 'left' as flip"),
        (
            ("1,x,0,", "2,y,,"),
            ("x:rotate=180",),
            "rotate=180 by --orientation .data.orientation., rotate=0 by the label",
        ),
    ],
)
def test_orientations_that_contradict_each_other(
    write: Write, tmp_path: Path, rows: tuple[str, ...], asked: tuple[str, ...], text: str
) -> None:
    for name in ("1.h5", "2.h5"):
        write(name)
    label(tmp_path, *rows)
    with pytest.raises(DatasetError, match=text):
        read_folder(tmp_path, orientation=orientations(*asked))


def test_a_store_and_its_list_keep_the_orientation_of_rows(run_cli, folder_of_sides: Path, tmp_path: Path) -> None:
    turned, ask = folder_of_sides / "turned", ("--frames", "T=2,dt=10ms", "--workers", 1)
    label(turned, *(f"{name}/{number},{name},{270 * (name == 'b')},{'vertical' * (name == 'b')}"
                    for name in "ab" for number in range(4)))  # fmt: skip
    for name, data in (("u", folder_of_sides / "upright"), ("t", turned)):
        code, _, err = run_cli("prepare", "folder", "--data", data, *ask, "--out", tmp_path / name)
        assert code == 0, err
    stores = [PreparedSet.open(tmp_path / name) for name in "ut"]
    clips = [store.clips(store.split().train) for store in stores]
    np.testing.assert_array_equal(*(np.asarray(each.frames_NTCHW) for each in clips))
    listed = read_split_list(tmp_path / "t" / "split.json")
    turned_ones = {each.orientation for each in listed.split(turned, lambda key: None).test.entries if each.label == 1}
    assert turned_ones == {Geometry(rotate=270, flip="vertical")}
