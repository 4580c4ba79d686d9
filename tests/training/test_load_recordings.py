"""Training and held-out recordings, for every split rule of a configuration."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.recipes import load_recipe
from stdl_events.recordings.registry import DATASETS
from stdl_events.training.load_recordings import load_split
from stdl_events.training.settings import TrainConfig


def write(path: Path) -> None:
    events = empty_events(100)
    events["t"] = np.arange(100) * 10_000
    # Files of one content would count as one recording.
    events["x"] = np.random.default_rng(list(str(path).encode())).integers(0, 8, 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, events, (8, 8))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Five recordings of each of two classes."""
    for name in ("a", "b"):
        for number in range(5):
            write(tmp_path / "many" / name / f"{number}.h5")
    return tmp_path / "many"


@pytest.fixture
def long_ones(tmp_path: Path) -> Path:
    """One recording of each of two classes."""
    for name in ("a", "b"):
        write(tmp_path / "long" / f"{name}.h5")
    return tmp_path / "long"


def configured(path: Path, **split: Any) -> TrainConfig:
    return load_recipe("folder").derive(data={"path": str(path), "split": split})


def keys(config: TrainConfig) -> tuple[list[str], list[str]]:
    split = load_split(config)
    return [entry.key for entry in split.train.entries], [entry.key for entry in split.test.entries]


def test_auto_takes_recordings_where_there_are_many(many: Path) -> None:
    train, test = keys(configured(many))
    assert (len(train), len(test)) == (8, 2)
    assert keys(configured(many)) == (train, test)
    assert keys(configured(many)) == keys(configured(many, rule="recording"))
    assert any(keys(configured(many, seed=seed)) != (train, test) for seed in range(1, 6))


def test_auto_takes_time_where_each_class_is_one_recording(long_ones: Path) -> None:
    config = configured(long_ones, held_out=0.25)
    split = load_split(config)
    assert [entry.span for entry in split.test.entries] == [(0.75, None)] * 2
    # One clip of the recipe, 10 frames of 20 ms, is left out before the held-out part.
    assert split.gap_us == 200_000
    assert split.train.entries[0].span == (0, int(0.75 * 990_000) - 200_000)
    assert load_split(configured(long_ones, rule="time", gap_us=5)).gap_us == 5


def test_auto_takes_a_given_split(tmp_path: Path) -> None:
    for side, count in (("train", 2), ("test", 1)):
        for name in ("a", "b"):
            for number in range(count):
                write(tmp_path / side / name / f"{number}.h5")
    assert keys(configured(tmp_path)) == keys(configured(tmp_path, rule="given"))
    train, test = keys(configured(tmp_path))
    assert (len(train), len(test)) == (4, 2)


def test_order_is_by_number_over_all_classes(many: Path) -> None:
    train, test = keys(configured(many, rule="order", train=4, test=2))
    assert {Path(key).stem for key in train} == {"0", "1"}
    assert {Path(key).stem for key in test} == {"4"}


def test_rules_that_lack_a_setting_say_which(many: Path, long_ones: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.split\.train and data\.split\.test: got nothing; expected how many"):
        load_split(configured(many, rule="order"))
    with pytest.raises(RecipeError, match=r"^data\.split\.test: got nothing; .*; give --set data\.split\.test=N"):
        load_split(configured(many, rule="order", train=4))
    by_count = configured(long_ones, rule="time").derive(frames={"dt_us": None, "events_per_frame": 10})
    with pytest.raises(RecipeError, match=r"data\.split\.gap_us: got nothing; expected the time between"):
        load_split(by_count)


@pytest.mark.parametrize("dataset", [name for name, dataset in DATASETS.items() if dataset.read is None])
def test_datasets_with_their_own_split_take_no_other(tmp_path: Path, dataset: str) -> None:
    config = configured(tmp_path, rule="time").derive(data={"dataset": dataset})
    with pytest.raises(RecipeError, match=f"got time; expected auto or given, since {dataset} comes with its own"):
        load_split(config)


def test_settings_that_a_dataset_does_not_take_are_refused(tmp_path: Path) -> None:
    for key, value in (("format", "npz"), ("sensor_size", (8, 8))):
        config = configured(tmp_path).derive(data={"dataset": "nmnist", key: value})
        with pytest.raises(RecipeError, match=rf"data\.{key}: got .*; expected none, since nmnist has its own"):
            load_split(config)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"train": 1},
            r"data\.split\.train: got 1, and a split by the rule recording; expected nothing, or the rule order",
        ),
        (
            {"rule": "recording", "names": "anna"},
            r"data\.split\.names: .*the rule subject or session; .*--split subject",
        ),
        ({"rule": "order", "train": 1, "test": 1, "fold": 2}, r"data\.split\.fold: .* the rule leave-one-subject-out"),
    ],
)
def test_settings_that_the_split_rule_does_not_take_are_refused(
    many: Path, asked: dict[str, object], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        load_split(configured(many, **asked))


@pytest.mark.parametrize("dataset", [name for name, dataset in DATASETS.items() if dataset.default_folder is None])
def test_missing_folders_are_one_error(tmp_path: Path, dataset: str) -> None:
    config = configured(tmp_path / "nowhere").derive(data={"dataset": dataset})
    with pytest.raises(DatasetError, match="nowhere"):
        load_split(config)


def test_walkers_are_made_once_where_the_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    walkers = {"people": 2, "per_person": 2, "sensor_size": (16, 16), "duration_us": 40_000}
    config = load_recipe("demo_walkers").derive(data={"walkers": walkers})
    split = load_split(config)
    assert (len(split.train), len(split.test)) == (2, 2)
    folder = tmp_path / "runs" / "walkers-2x2-16x16-40000us-0"
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    assert len(files) == 4
    assert load_split(config) == split
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")} == files
