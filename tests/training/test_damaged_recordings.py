"""Damaged recordings in training and preparing: all are named at once, left out or read up to the damage."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from class_recordings import CLASSES, DURATION_US, SENSOR_SIZE, draw_events

from stdl_events.errors import CorruptRecordingError, DatasetError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.recordings.clips import load_clips
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]
BAD = ("left/1.txt", "middle/0.txt", "right/3.txt")
DAMAGED_AFTER = 0.75


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of four recordings, of which three end in rubbish after three quarters of their events."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        for number in range(4):
            path = tmp_path / "data" / name / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{t} {x} {y} {int(p)}" for t, x, y, p in draw_events(label, rng).tolist()]
            if path.relative_to(tmp_path / "data").as_posix() in BAD:
                lines[int(DAMAGED_AFTER * len(lines))] = "lost ~~ here it is"
            path.write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def damaged_part(root: Path, name: str) -> int:
    lines = (root / name).read_text().splitlines()
    return int(lines[int(DAMAGED_AFTER * len(lines)) - 1].split()[0])


@pytest.fixture(params=["time", "recording"])
def asked(request: pytest.FixtureRequest, config: TrainConfig, root: Path) -> TrainConfig:
    split = {"rule": request.param, "held_out": 0.5} | ({"gap_us": 0} if request.param == "time" else {})
    return config.derive(
        data={"path": str(root), "split": split, "sensor_size": SENSOR_SIZE, "time_unit": "us"},
        frames={"dt_us": 5_000, "grid": "recording"}, network={"notation": "4C3-AP2"}, epochs=1,
        learning={"rho": None, "rule": "sltt"}, augment={"shift_px": 0},
    )  # fmt: skip


def test_all_are_named_at_once(asked: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        fit(asked, tmp_path / "run", quiet=True)
    text = str(caught.value)
    assert "got 3 of " in text
    assert "unreadable recordings: " in text
    assert [name for name in BAD if name in text] == list(BAD)
    assert "with --repair (data.repair=true), or leave them out with --skip-bad" in text
    assert not (tmp_path / "run").exists()


def test_they_are_left_out_if_asked(asked: TrainConfig, tmp_path: Path) -> None:
    with pytest.warns(RecordingWarning, match="left out 3 of 12 recordings, which are unreadable: "):
        fit(asked.derive(data={"skip_bad": True}), tmp_path / "run", quiet=True)
    listed = read_split_list(tmp_path / "run" / SPLIT_FILE)
    assert listed is not None
    assert len({row.path for row in listed.recordings}) == 9
    assert listed.left_out == BAD
    assert listed.beside == 0
    evaluate(tmp_path / "run")


def test_they_are_read_up_to_the_damage_if_asked(asked: TrainConfig, root: Path, tmp_path: Path) -> None:
    repairing = asked.derive(data={"repair": True})
    with pytest.warns(RecordingWarning, match=r"txt: .*kept the 450 events before it"):
        fit(repairing, tmp_path / "run", quiet=True)
    listed = read_split_list(tmp_path / "run" / SPLIT_FILE)
    assert listed is not None
    split = listed.split(root, lambda key: None)
    whole = split.train.with_entries([*split.train.entries, *split.test.entries])
    with pytest.warns(RecordingWarning, match="kept the 450"):
        clips = load_clips(whole, repairing.frames.spec(SENSOR_SIZE))
    for name in BAD:
        starts = [
            int(t_us)
            for entry, t_us in zip(clips.entry_index_N, clips.t_start_us_N, strict=True)
            if whole.entries[entry].path == root / name
        ]
        assert starts
        assert max(starts) + 20_000 <= damaged_part(root, name) + 5_000 < DURATION_US
    with pytest.warns(RecordingWarning, match="txt"):
        evaluate(tmp_path / "run")


def test_a_class_without_readable_recordings_is_an_error(asked: TrainConfig, root: Path, tmp_path: Path) -> None:
    for path in (root / "left").iterdir():
        path.write_text(f"1 2 3 1\nlost ~~ {path.name}\n")
    by_time = asked.derive(data={"skip_bad": True, "split": {"rule": "time"}})
    with pytest.raises(DatasetError, match=r"got 6 of 12 unreadable recordings: .*add readable recordings of each"):
        fit(by_time, tmp_path / "run", quiet=True)


def test_the_commands_take_the_options(root: Path, tmp_path: Path, run_cli: RunCli) -> None:
    options = ["--data", root, "--sensor", "16x16", "--time-unit", "us", "--split", "rule=time,held_out=0.5,gap_us=0"]
    prepare = [
        "prepare",
        "folder",
        "--frames",
        "T=4,dt=5ms,grid=recording",
        "--out",
        tmp_path / "store",
        "--workers",
        1,
    ]
    code, _, err = run_cli(*prepare, *options)
    assert code == 2
    assert [name for name in BAD if name in err] == list(BAD)
    code, _, err = run_cli(*prepare, *options, "--skip-bad")
    assert code == 0, err
    listed = read_split_list(tmp_path / "store" / SPLIT_FILE)
    assert listed is not None
    assert listed.left_out == BAD
    code, out, err = run_cli(*prepare, *options, "--repair", "--json")
    assert (code, json.loads(out)["recordings"], json.loads(out)["bad"]) == (0, 24, [])
    settings = ["data.sensor_size=16x16", "data.time_unit=us", "data.split.rule=time", "data.split.gap_us=0",
                "data.split.held_out=0.5", "frames.steps=4", "frames.dt_us=5000", "frames.grid=recording", "epochs=1",
                "network.notation=4C3-AP2"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    code, _, err = run_cli("train", "folder", "--data", root, "--out", tmp_path / "run", *words, "--repair")
    assert code == 0, err
    assert (tmp_path / "run" / "bundle").is_dir()


def test_repairing_cuts_again_what_was_skipped(root: Path, tmp_path: Path, run_cli: RunCli) -> None:
    prepare = ["prepare", "folder", "--data", root, "--sensor", "16x16", "--time-unit", "us", "--frames", "T=4,dt=5ms",
               "--split", "rule=recording,held_out=0.5", "--out", tmp_path / "store", "--json"]  # fmt: skip
    code, out, _ = run_cli(*prepare, "--skip-bad")
    assert (code, len(json.loads(out)["bad"])) == (0, 3)
    code, out, _ = run_cli(*prepare, "--repair")
    assert (code, json.loads(out)["bad"], json.loads(out)["recordings"]) == (0, [], 12)


def test_strict_names_the_recordings_with_events_that_would_be_skipped(
    root: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    for step_us, name in enumerate(BAD, start=100):
        (root / name).write_text("".join(f"{t} 3 3 1\n" for t in range(0, 60_000, step_us)))
    (root / "left" / "0.txt").write_text("".join(f"{t} {t % 17} 3 1\n" for t in range(0, 60_000, 90)))
    options = ["--data", root, "--sensor", "16x16", "--time-unit", "us", "--split", "rule=recording,held_out=0.5"]
    words = [word for name in ("epochs=1", "network.notation=4C3-AP2", "frames.steps=4", "frames.dt_us=5000",
                               "learning.rule=sltt") for word in ("--set", name)]  # fmt: skip
    prepare = ["prepare", "folder", *options, "--frames", "T=4,dt=5ms", "--workers", 1, "--out", tmp_path / "store"]
    for command in (prepare, ["train", "folder", *options, *words, "--out", tmp_path / "run"]):
        code, _, err = run_cli(*command, "--strict")
        assert code == 2
        assert "got 1 of 12 unreadable recordings" in err
        assert "x=16, y=3" in err
        code, _, err = run_cli(*command)
        assert code == 0, err
    code, _, err = run_cli(*prepare, "--strict")
    assert (code, "got 1 of 12" in err) == (2, True), "a shard that was cut otherwise is cut again"


def test_a_reader_of_its_own_repairs_too(root: Path) -> None:
    entry = Entry("a", root / BAD[0], 0, reader=partial(open_recording, time_unit="us"))
    with pytest.raises(CorruptRecordingError, match="lost"):
        entry.open().read()
    with pytest.warns(RecordingWarning, match="lost"):
        assert len(replace(entry, repair=True).open().read()) == 450
