"""Simulated walkers on disk: equal bytes for equal requests, atomic files, and different takes held out."""

import hashlib
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from stdl_events.analysis.baselines import ridge_on_summed_events
from stdl_events.errors import DatasetError
from stdl_events.frames import FrameSpec
from stdl_events.recordings import Split, generate_walkers, load_clips, read_walkers
from stdl_events.recordings.simulated import synthetic

SMALL = {"people": 3, "per_person": 10, "sensor_size": (32, 24), "duration_us": 200_000, "seed": 5}


def digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_request_makes_the_same_bytes(walkers: tuple[Path, Split], tmp_path: Path) -> None:
    root, _ = walkers
    generate_walkers(tmp_path / "again", **SMALL)
    assert digests(tmp_path / "again") == digests(root)
    generate_walkers(tmp_path / "other", **SMALL | {"seed": 6})
    other = digests(tmp_path / "other")
    assert other.keys() == digests(root).keys()
    assert not set(other.values()) & set(digests(root).values())


def test_every_take_differs(walkers: tuple[Path, Split]) -> None:
    assert len(set(digests(walkers[0]).values())) == 31, "30 recordings and the request"


def test_the_split_is_disjoint_and_has_everybody_on_both_sides(walkers: tuple[Path, Split]) -> None:
    _, split = walkers
    assert split.train.classes == ("walker_00", "walker_01", "walker_02")
    assert split.train.sensor_size == (32, 24)
    for side, each in ((split.train, 8), (split.test, 2)):
        assert np.bincount([entry.label for entry in side.entries]).tolist() == [each] * 3
    assert "no recording on both sides" in split.check_disjoint()


def test_recordings_are_streams_of_events_that_say_they_are_simulated(walkers: tuple[Path, Split]) -> None:
    _, split = walkers
    recording = split.train.entries[0].open()
    events = recording.read()
    assert recording.sensor_size == (32, 24)
    assert 0 < events["t"][0] < events["t"][-1] <= 200_000
    assert len(np.unique(events["t"])) > 0.3 * len(events), "times are interpolated, not those of the pictures"
    assert 0.3 < events["p"].mean() < 0.7
    with h5py.File(recording.path) as file:
        attributes = dict(file["attributes"].attrs)
    assert attributes["simulated"] == 1
    assert attributes["generator"] == "stdl-events simulated walkers, version 1"


def test_held_out_takes_come_from_other_bands(walkers: tuple[Path, Split]) -> None:
    ranges = {
        "speed": (0.9, 1.1),
        "azimuth": (math.radians(-20), math.radians(20)),
        "start_phase": (0.0, 1.0),
        "noise_hz_per_pixel": (0.3, 1.2),
    }
    _, split = walkers
    seen: set[int] = set()
    for odd, side in enumerate((split.train, split.test)):
        for entry in side.entries:
            with h5py.File(entry.path) as file:
                attributes = dict(file["attributes"].attrs)
            seen.add(int(attributes["heading"]))
            for name, (low, high) in ranges.items():
                band = int(8 * (attributes[name] - low) / (high - low))
                assert band % 2 == odd, (entry.key, name)
    assert seen == {-1, 1}


def test_an_interrupted_run_is_finished_by_the_same_call(walkers: tuple[Path, Split], tmp_path: Path) -> None:
    root = tmp_path / "interrupted"

    class Killed(Exception):
        pass

    def kill_after_seven(done: int, of: int) -> None:
        assert of == 30
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        generate_walkers(root, **SMALL, progress=kill_after_seven)
    with pytest.raises(DatasetError, match="got 7 of 30 recordings; expected all of them; finish with"):
        read_walkers(root)
    first = min(root.rglob("*.h5"))
    written_ns = first.stat().st_mtime_ns
    generate_walkers(root, **SMALL)
    assert first.stat().st_mtime_ns == written_ns
    assert digests(root) == digests(walkers[0])


def test_other_walkers_are_never_mixed(walkers: tuple[Path, Split], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"got walkers of another request, .*seed=5.*expected an empty folder, or"):
        generate_walkers(walkers[0], **SMALL | {"seed": 6})
    (tmp_path / "mine.txt").write_text("a user's file")
    with pytest.raises(DatasetError, match="got a folder with other things in it"):
        generate_walkers(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_is_not_walkers_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"got no walkers\.json; expected simulated walkers"):
        read_walkers(tmp_path)
    (tmp_path / "walkers.json").write_text("{}")
    with pytest.raises(DatasetError, match="got an unreadable file"):
        read_walkers(tmp_path)
    request = {"generator": "version 0", "people": 2, "train_takes": 1, "test_takes": 1, "sensor_size": [16, 16]}
    (tmp_path / "walkers.json").write_text(json.dumps(request | {"duration_us": 8000, "seed": 0}))
    with pytest.raises(DatasetError, match="got 'version 0'; expected 'stdl-events simulated walkers, version 1'"):
        read_walkers(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"people": 1}, "got 1 people; expected at least 2"),
        ({"per_person": 1}, "got 1 recordings per person; expected at least 2"),
        ({"sensor_size": (8, 40)}, "got a sensor of 8x40; expected at least 16x16 pixels"),
        ({"duration_us": 100}, "got 100 us; expected at least 4000 us"),
        ({"format": "mp4"}, "got the format 'mp4'; expected stdl-hdf5 or aedat4"),
        ({"seed": -1}, "got the seed -1; expected 0 or more"),
    ],
)
def test_impossible_requests_leave_nothing_behind(tmp_path: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        generate_walkers(tmp_path / "none", **SMALL | wrong)
    assert not (tmp_path / "none").exists()


def test_walkers_are_cut_into_clips(walkers: tuple[Path, Split]) -> None:
    _, split = walkers
    spec = FrameSpec(kind="stream", steps=5, dt_us=10_000, sensor_size=(32, 24), cap=255)
    clips = load_clips(split.test, spec)
    assert clips.frames_NTCHW.shape[1:] == (5, 2, 24, 32)
    assert set(clips.entry_index_N.tolist()) == set(range(6))
    assert (clips.frames_NTCHW.sum(axis=(2, 3, 4)) > 0).mean() > 0.9


def test_walkers_as_aedat4(walkers: tuple[Path, Split], tmp_path: Path) -> None:
    pytest.importorskip("faery")
    _, native = walkers
    split = generate_walkers(tmp_path / "aedat4", **SMALL, format="aedat4")
    assert [path.name for path in sorted((tmp_path / "aedat4" / "test" / "walker_00").iterdir())] == [
        "take_000.aedat4",
        "take_001.aedat4",
    ]
    recording = split.test.entries[3].open()
    assert (recording.format, recording.sensor_size) == ("aedat4", (32, 24))
    np.testing.assert_array_equal(recording.read(), native.test.entries[3].open().read())


@pytest.mark.slow
def test_summed_events_do_not_tell_people_apart(tmp_path: Path) -> None:
    """Still pictures show some of the gait (the reach of the limbs), far from all of it."""
    split = generate_walkers(tmp_path / "walkers", per_person=10, sensor_size=(32, 32), duration_us=400_000)
    spec = FrameSpec(kind="stream", steps=10, dt_us=40_000, sensor_size=(32, 32), cap=255)  # one clip each
    train, test = load_clips(split.train, spec), load_clips(split.test, spec)
    assert 0.2 < ridge_on_summed_events(train, test) < 0.7


def test_a_wide_sensor_shows_the_whole_figure() -> None:
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        for _ in range(50):
            take, _ = synthetic.draw_take((120, 40), rng, held_out=held_out)
            assert take.ground_px - take.height_px > 0
            assert take.ground_px < 40
            assert 50 < take.x_px < 70
