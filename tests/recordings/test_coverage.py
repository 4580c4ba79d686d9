"""Every class has a clip on both sides, or an error says which has none and why; bad recordings are named at once."""

import warnings
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from small_recordings import SIZE, draw_events, keys

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.prepared import PreparedSet, prepare
from stdl_events.recipes import load_recipe
from stdl_events.recordings import read_given_split
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.training.load_recordings import load_sides, load_split
from stdl_events.training.settings import TrainConfig

Write = Callable[..., Path]
SPEC = FrameSpec(kind="stream", steps=10, dt_us=20_000, sensor_size=SIZE, cap=255)


@pytest.fixture
def folder(write: Write, tmp_path: Path) -> Path:
    """Three recordings of 500 ms of each of two classes on both sides."""
    for side in ("train", "test"):
        for name in ("walk", "wave"):
            for number in range(3):
                add(write, f"{side}/{name}/{number}.h5", 500)
    return tmp_path / "data"


def add(write: Write, name: str, duration_ms: int) -> Path:
    seed = crc32(name.encode())
    return write(f"data/{name}", draw_events(seed, count=300, t1_us=duration_ms * 1000))


def load(folder: Path, **data: object) -> list[list[str]]:
    """Keys of the readable recordings of both sides."""
    config: TrainConfig = load_recipe("folder").derive(data={"path": str(folder), **data})
    split = load_split(config)
    sides = load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, SPEC)
    assert all(len(clips) for _, clips in sides)
    return [keys(recordings) for recordings, _ in sides]


def store(folder: Path, **options: bool) -> PreparedSet:
    split = read_given_split(folder)
    place = folder.parent / "store"
    return PreparedSet.open(prepare(split, SPEC, place, dataset="folder", root=folder, **options).store)


@pytest.mark.parametrize("read", [load, store])
@pytest.mark.parametrize(("side", "words"), [("train", "to train on"), ("test", "held out")])
@pytest.mark.parametrize(("count", "theirs"), [(2, "its 2 recordings are"), (1, "its recording is")])
def test_a_class_of_short_recordings_is_an_error(
    write: Write, folder: Path, side: str, words: str, count: int, theirs: str, read: Callable[[Path], object]
) -> None:
    for which in ("train", "test"):
        for number in range(count):
            add(write, f"{which}/blink/{number}.h5", 150 if which == side else 500)
    why = rf"recordings {words}: got no clip of the classes blink \({theirs} too short, 150 ms at most\); "
    with pytest.raises(DatasetError, match=why + "expected at least one clip of 200 ms of every class"):
        read(folder)


@pytest.mark.parametrize("read", [load, store])
def test_short_recordings_are_counted_on_both_sides(write: Write, folder: Path, read: Callable[[Path], object]) -> None:
    for name in ("train/walk/8.h5", "train/walk/9.h5", "test/wave/9.h5"):
        add(write, name, 100)
    with pytest.warns(RecordingWarning) as said:
        read(folder)
    assert [str(one.message) for one in said] == [
        "2 of 8 recordings to train on are too short for one clip of 200 ms: train/walk/8.h5, train/walk/9.h5",
        "1 of 7 recordings held out are too short for one clip of 200 ms: test/wave/9.h5",
    ]


def test_parts_of_a_split_by_time_are_told_from_short_recordings(write: Write, tmp_path: Path) -> None:
    """Recordings of 450 ms were said to be too short, 160 ms at most: the part that the split left of them."""
    for number in range(2):
        add(write, f"walk/{number}.h5", 450)
        add(write, f"wave/{number}.h5", 2_000)
    with pytest.raises(
        DatasetError, match=r"walk \(.* too short, 450 ms at most, of which the split by time leaves 160"
    ):
        load(tmp_path / "data", split={"rule": "time", "held_out": 0.2})
    add(write, "walk/2.h5", 2_000)
    with pytest.warns(RecordingWarning) as said:
        load(tmp_path / "data", split={"rule": "time", "held_out": 0.2})
    assert any(
        "walk/0.h5:train, walk/1.h5:train, 450 ms at most, of which the split" in str(one.message) for one in said
    )


def damage(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_bad_recordings_are_named_at_once(folder: Path) -> None:
    damage(folder, "train/walk/1.h5", "train/wave/0.h5", "test/wave/2.h5")
    with pytest.raises(DatasetError, match="got 3 of 12 unreadable recordings: ") as caught:
        load(folder)
    assert all(f"{name}: got " in caught.value.got for name in ("train/walk/1.h5", "train/wave/0.h5", "test/wave/2.h5"))
    assert "--skip-bad" in caught.value.todo
    with pytest.warns(RecordingWarning, match=r"left out 3 of 12 recordings, which are unreadable: .*walk/1\.h5: got"):
        train, test = load(folder, skip_bad=True)
    assert (len(train), len(test)) == (4, 5)
    assert "train/walk/1.h5" not in train


def test_a_class_of_bad_recordings_alone(folder: Path) -> None:
    damage(folder, *(f"test/wave/{number}.h5" for number in range(1, 3)))
    (folder / "test" / "wave" / "0.h5").unlink()
    add_name = r"no readable recordings held out of 1 of 2 classes: wave"
    with pytest.warns(RecordingWarning, match=add_name):
        store(folder, skip_bad=True)


def test_a_class_without_recordings_is_told_from_unreadable_ones(folder: Path) -> None:
    split = read_given_split(folder)
    walking = split.test.with_entries(entry for entry in split.test.entries if entry.key.startswith("test/walk"))
    with pytest.warns(RecordingWarning, match=r"^no recordings held out of 1 of 2 classes: wave$"):
        load_sides(load_recipe("folder"), {TO_TRAIN: split.train, HELD_OUT: walking}, SPEC)


def test_a_class_without_readable_recordings_to_train_on(folder: Path) -> None:
    damage(folder, *(f"train/wave/{number}.h5" for number in range(1, 3)))
    config = load_recipe("folder").derive(data={"path": str(folder), "skip_bad": True})
    split = load_split(config)
    damage(folder, "train/wave/0.h5")
    with (
        pytest.warns(RecordingWarning, match="left out 3 of 12 recordings"),
        pytest.raises(DatasetError, match=r"wave \(none of its recordings is readable\)"),
    ):
        load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, SPEC)


def test_recordings_across_the_grid_of_their_clock_are_told_from_short_ones(write: Write, folder: Path) -> None:
    late = draw_events(7, count=300, t0_us=110_000, t1_us=370_000)
    write("data/train/walk/late.h5", late)
    why = r"1 of 7 recordings to train on are longer than a clip of 200 ms but hold none: .*late\.h5; .*frames\.grid="
    split = read_given_split(folder)
    of_both = {TO_TRAIN: split.train, HELD_OUT: split.test}
    with pytest.warns(RecordingWarning, match=why):
        load_sides(load_recipe("folder"), of_both, SPEC.model_copy(update={"grid": "clock"}))
    sides = load_sides(load_recipe("folder"), of_both, SPEC)
    starts = {
        sides[0][0].entries[index].key: int(t_us)
        for index, t_us in zip(sides[0][1].entry_index_N, sides[0][1].t_start_us_N, strict=True)
    }
    assert starts["train/walk/late.h5"] == late["t"][0]


def test_a_class_without_readable_recordings_is_said_with_all_others(write: Write, folder: Path) -> None:
    for name in ("train/fall/0.h5", "train/fall/1.h5", "test/fall/0.h5", "train/walk/0.h5"):
        add(write, name, 500).write_bytes(b"odd")
    with pytest.raises(
        DatasetError,
        match=r"4 of 15 unreadable .*train/fall/0\.h5.*train/fall/1\.h5.*train/walk/0\.h5.*test/fall/0\.h5",
    ):
        load(folder)
    text = r"fall \(none of its recordings is readable\).*remove the class"
    with pytest.warns(RecordingWarning, match="left out 4 of 15"), pytest.raises(DatasetError, match=text):
        load(folder, skip_bad=True)


def test_a_recording_with_events_beyond_the_sensor_is_named(write: Write, folder: Path) -> None:
    """The frame spec was named instead of the file."""
    events = draw_events(5, count=300, t1_us=500_000)
    events["x"][5:9] = 40
    np.save(folder / "train" / "walk" / "odd.npy", events)
    for read in (load, store):
        with pytest.raises(DatasetError, match=r"unreadable recordings: [^:]*walk/odd\.npy: .*x=40"):
            read(folder)
    with pytest.raises(DatasetError, match="; keep the recordings of each sensor in a folder of their own; copy"):
        load(folder)


def test_a_class_on_other_sides_alone_is_not_advised_shorter_frames(write: Write, folder: Path) -> None:
    rows = [
        f"{side}/{name}/{n},{name},{side},{name}"
        for side in ("train", "test")
        for name in ("walk", "wave")
        for n in range(3)
    ]
    (folder / "labels.csv").write_text("\n".join(["recording,label,session,subject", *rows]))
    with pytest.warns(RecordingWarning), pytest.raises(DatasetError, match=r"on other sides\).*; hold out others"):
        load(folder, split={"rule": "subject", "held_out": 0.5})


@pytest.mark.parametrize("read", [load, store])
@pytest.mark.parametrize("side", ["train", "test"])
def test_a_side_without_readable_recordings_is_an_error(folder: Path, side: str, read: Callable[..., object]) -> None:
    """A store without held-out clips was made, and training blamed the length of 0 recordings."""
    for path in (folder / side).rglob("*.h5"):
        path.write_bytes(b"odd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        with pytest.raises(DatasetError, match=r"no readable one|none of its recordings is readable"):
            read(folder, skip_bad=True)


@pytest.mark.parametrize(
    ("settings", "is_said"),
    [({}, True), ({"sampling": "balanced"}, False), ({"learning": {"class_weights": [1, 9]}}, False)],
)
def test_a_class_of_far_fewer_clips_is_said(
    write: Write, folder: Path, settings: dict[str, object], is_said: bool
) -> None:
    add(write, "train/walk/long.h5", 12_000)
    config = load_recipe("folder").derive(data={"path": str(folder)}, **settings)
    split = load_split(config)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, SPEC)
    texts = [str(each.message) for each in said]
    expected = "clips to train on: walk 66, wave 6: for equally many of each class set sampling=balanced"
    assert [expected in text for text in texts] == [True] * is_said
