"""A store and a run of files whose clock was reset: each take is a recording of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from binary_recordings import content
from files_of_takes import write_takes

from stdl_events.errors import DatasetError
from stdl_events.events import RecordingWarning
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.prepared import PreparedSet, prepare
from stdl_events.recipes import load_recipe
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_sides, load_split
from stdl_events.training.settings import TrainConfig

SIZE = (8, 8)
FILES = 5

pytestmark = pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")


def draw(seed: int, t0_us: int, t1_us: int) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(120)
    events["t"] = np.sort(rng.integers(t0_us, t1_us, 120))
    events["t"][[0, -1]] = t0_us, t1_us - 1
    events["x"], events["y"], events["p"] = (rng.integers(0, most, 120) for most in (8, 8, 2))
    return events


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Two classes of five files; in every second one the clock was reset."""
    for label, name in enumerate(("left", "right")):
        for number in range(FILES):
            seed = 100 * label + 10 * number
            takes = [draw(seed, 4_000_000, 4_100_000), draw(seed + 1, 0, 80_000)][: 1 + number % 2]
            write_takes(tmp_path / "data" / name / f"{number}.npz", takes)
    return load_recipe("folder").derive(
        data={"path": str(tmp_path / "data"), "sensor_size": SIZE, "split": {"rule": "recording", "held_out": 0.4}},
        frames={"steps": 3, "dt_us": 10_000},
        network={"notation": "2C3-AP2"},
        learning={"memory": "plain", "rho": None, "rule": "sltt"},
        epochs=1,
        device="cpu",
    )  # fmt: skip


@pytest.fixture
def stored(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    prepare(load_split(config), config.frames.spec(SIZE), tmp_path / "store", dataset="folder", root=tmp_path / "data",
            split_settings=config.data.split.model_dump())  # fmt: skip
    return config.derive(data={"prepared": str(tmp_path / "store")})


def sides_of(config: TrainConfig) -> list[tuple[list[str], np.ndarray, list[int]]]:
    """The keys, clips and entries of both sides."""
    split = load_split(config)
    loaded = load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, config.frames.spec(SIZE))
    return [
        ([entry.key for entry in side.entries], np.asarray(clips.frames_NTCHW), clips.entry_index_N.tolist())
        for side, clips in loaded
    ]


def test_a_store_holds_the_takes_that_are_cut_without_it(config: TrainConfig, stored: TrainConfig) -> None:
    cut = sides_of(config)
    keys = sorted(cut[0][0] + cut[1][0])
    assert len(keys) == 2 * (3 + 2 * 2)
    assert keys[:4] == ["left/0.npz", "left/1.npz:take1", "left/1.npz:take2", "left/2.npz"]
    for asked in (stored, stored.derive(data={"path": None, "sensor_size": None})):
        for ours, theirs in zip(cut, sides_of(asked), strict=True):
            assert sorted(ours[0]) == sorted(theirs[0])
            for key in ours[0]:
                mine, its = (side[1][np.array(side[2]) == side[0].index(key)] for side in (ours, theirs))
                np.testing.assert_array_equal(mine, its)
    prepared = PreparedSet.open(str(stored.data.prepared))
    whole = prepared.clips(load_split(config).train)
    assert len(whole.frames_NTCHW) == len(cut[0][1])
    assert set(whole.entry_index_N) == set(range(6))


def test_a_store_is_completed_to_the_same_bytes(config: TrainConfig, stored: TrainConfig, tmp_path: Path) -> None:
    before = content(tmp_path / "store")
    (tmp_path / "store" / "00000.clips").unlink()
    split = load_split(config)
    again = prepare(split, config.frames.spec(SIZE), tmp_path / "store", dataset="folder", root=tmp_path / "data",
                    split_settings=config.data.split.model_dump())  # fmt: skip
    assert (again.made, again.kept) == (10, 0)
    assert content(tmp_path / "store") == before
    assert again.manifest.takes == (8, 4)


def test_another_rule_keeps_the_takes_of_a_file_together(stored: TrainConfig) -> None:
    alone = stored.derive(data={"path": None, "sensor_size": None, "split": {"seed": 3}})
    split = load_split(alone)
    files = stored.derive(data={"prepared": None, "split": {"seed": 3}})
    for side in ("train", "test"):
        paths = {entry.path for entry in getattr(load_split(files), side).entries}
        assert {entry.path for entry in getattr(split, side).entries} == paths
    split.check_disjoint()


def test_takes_of_another_label_are_refused(stored: TrainConfig) -> None:
    entries = load_split(stored).train.entries
    wrong = load_split(stored).train.with_entries(replace(entry, label=1 - entry.label) for entry in entries)
    with pytest.raises(DatasetError, match=r"with label [01], part .* prepare these recordings"):
        PreparedSet.open(str(stored.data.prepared)).in_takes(wrong)


def test_a_run_lists_its_takes_and_is_evaluated_on_them(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.warns(
        RecordingWarning, match=r"recordings to train on: . takes of . files? whose clocks? w.* its own$"
    ):
        result = fit(config, tmp_path / "run", quiet=True)
    listed = read_split_list(tmp_path / "run" / SPLIT_FILE)
    assert listed is not None
    sides: dict[str, set[str]] = {}
    for row in listed.recordings:
        sides.setdefault(row.path, set()).add(row.side)
        assert row.further.get("take") == (int(row.key[-1]) if ":take" in row.key else None)
    assert all(len(its) == 1 for its in sides.values())
    after = evaluate(tmp_path / "run")
    assert [entry.key for entry in after.recordings.entries] == [
        entry.key for entry in result.evaluation.recordings.entries
    ]
    np.testing.assert_allclose(after.probabilities_NK, result.evaluation.probabilities_NK, atol=1e-6)
