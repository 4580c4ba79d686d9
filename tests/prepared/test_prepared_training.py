"""Training and evaluation from a store: the same results as from the recordings, with the split checked."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from binary_recordings import write_binary, write_recordings

from stdl_events.errors import DatasetError, FrameSpecError, SplitError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.convert import convert
from stdl_events.prepared import prepare
from stdl_events.recipes import load_recipe
from stdl_events.recordings.file_digest import file_digest
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_config_clips, load_split
from stdl_events.training.settings import TrainConfig

SPLIT = {"rule": "recording", "held_out": 0.25}


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A small network on 12 recordings of two classes."""
    root = write_recordings(tmp_path / "recordings", 6)
    return load_recipe("folder").derive(
        data={"path": str(root), "format": "nmnist", "sensor_size": (34, 34), "split": SPLIT},
        frames={"kind": "recording", "steps": 4, "dt_us": None, "by": "count", "downscale": 4},
        network={"notation": "4C3-AP2-4C3"},
        learning={"memory": "plain"},
        epochs=1,
        batch_size=4,
        device="cpu",
    )


@pytest.fixture
def stored(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """The same from a store, without access to the recordings."""
    split = load_split(config)
    spec = config.frames.spec(split.train.sensor_size)
    settings = config.data.split.model_dump()
    assert config.data.path is not None
    prepare(split, spec, tmp_path / "store", dataset="folder", root=config.data.path, split_settings=settings)
    return config.derive(data={"prepared": str(tmp_path / "store"), "path": None})


def test_weights_are_those_of_the_recordings(config: TrainConfig, stored: TrainConfig, tmp_path: Path) -> None:
    runs = {
        "cut": config,
        "both": config.derive(data={"prepared": stored.data.prepared}),
        "alone": stored,
    }
    weights = []
    for name, asked in runs.items():
        if name == "alone":
            shutil.move(tmp_path / "recordings", tmp_path / "gone")
        fit(asked, tmp_path / name, quiet=True)
        weights.append((tmp_path / name / "bundle" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] == weights[2]
    evaluated = [evaluate(tmp_path / name, data=tmp_path / "gone") for name in runs]
    for other in evaluated[1:]:
        np.testing.assert_array_equal(other.probabilities_NK, evaluated[0].probabilities_NK)
    alone = evaluate(tmp_path / "alone")
    np.testing.assert_array_equal(alone.probabilities_NK, evaluated[0].probabilities_NK)


def test_other_frames_are_refused(stored: TrainConfig) -> None:
    asked = stored.derive(frames={"steps": 5})
    split = load_split(asked)
    with pytest.raises(
        FrameSpecError, match=r"other steps \(4, asked for 5\); .* prepare another store by --frames T=5"
    ):
        load_config_clips(asked, split.train, asked.frames.spec((34, 34)))


def test_changed_recordings_are_refused(config: TrainConfig, stored: TrainConfig, tmp_path: Path) -> None:
    write_binary(tmp_path / "recordings" / "left" / "000.bin", seed=99)
    for asked in (stored, config.derive(data={"prepared": stored.data.prepared})):
        with pytest.raises(DatasetError, match=r"have changed: left/000.bin \(other content of the same size\)"):
            load_config_clips(asked, load_split(asked).train, asked.frames.spec((34, 34)))


def test_recordings_that_were_added_are_missed(config: TrainConfig, stored: TrainConfig, tmp_path: Path) -> None:
    write_binary(tmp_path / "recordings" / "left" / "new.bin", seed=99)
    asked = config.derive(data={"prepared": stored.data.prepared, "split": {"held_out": 0.2}})
    split = load_split(asked)
    both = split.train.with_entries([*split.train.entries, *split.test.entries])
    with pytest.raises(DatasetError, match=r"store: got no such recording; expected left/new.bin, as asked for"):
        load_config_clips(asked, both, asked.frames.spec((34, 34)))


def test_the_split_is_the_stores_own_or_made_anew(config: TrainConfig, stored: TrainConfig) -> None:
    def keys(asked: TrainConfig) -> list[list[str]]:
        split = load_split(asked)
        split.check_disjoint()
        return [sorted(entry.key for entry in side.entries) for side in (split.train, split.test)]

    own = keys(config)
    assert keys(stored) == own
    assert keys(stored.derive(data={"split": {"rule": "auto", "held_out": 0.5}})) == own
    for rule in ({"rule": "recording", "seed": 5}, {"rule": "order", "train": 6, "test": 4}):
        path = config.data.path
        assert keys(stored.derive(data={"split": rule})) == keys(stored.derive(data={"split": rule, "path": path}))
    with pytest.raises(DatasetError, match=r"split by recording, 25%.*expected one prepared with the split rule time"):
        load_split(stored.derive(data={"split": {"rule": "time", "gap_us": 1}}))
    with pytest.raises(
        DatasetError, match=r"got a store of folder; expected one of nmnist; use --set data.dataset=fol"
    ):
        load_split(stored.derive(data={"dataset": "nmnist"}))


def test_leaks_are_found_without_the_recordings(config: TrainConfig, tmp_path: Path) -> None:
    """Two files of equal content count as one recording, also if only their digests are left."""
    root = tmp_path / "recordings"
    shutil.copy(root / "left" / "004.bin", root / "left" / "005.bin")
    config = config.derive(data={"split": {"rule": "order", "train": 8, "test": 4}})
    spec = config.frames.spec((34, 34))
    prepare(load_split(config), spec, tmp_path / "store", dataset="folder", root=root)
    shutil.rmtree(root)
    alone = config.derive(data={"path": None, "prepared": str(tmp_path / "store")})
    assert "8 to train, 4 held out; checked: no recording" in load_split(alone).check_disjoint()
    leaking = load_split(alone.derive(data={"split": {"train": 10, "test": 2}}))
    with pytest.raises(SplitError, match=r"got the recording left/004.bin and left/005.bin on both sides"):
        leaking.check_disjoint()


def test_the_store_and_its_runs_list_the_recordings(stored: TrainConfig, tmp_path: Path) -> None:
    fit(stored, tmp_path / "run", quiet=True)
    in_store, in_run = (read_split_list(folder / SPLIT_FILE) for folder in (tmp_path / "store", tmp_path / "run"))
    assert in_store is not None
    assert in_run is not None
    assert in_run.root == in_store.root == str(tmp_path / "recordings")
    rows = [(row.side, row.key, row.path, row.content) for row in in_store.recordings]
    assert [(row.side, row.key, row.path, row.content) for row in in_run.recordings] == rows
    assert rows[0][3].sha256 == file_digest(tmp_path / "recordings" / rows[0][2])


def test_a_store_of_changed_recordings_is_not_evaluated(
    config: TrainConfig, stored: TrainConfig, tmp_path: Path
) -> None:
    fit(stored, tmp_path / "run", quiet=True)
    split = load_split(config)
    changed = split.test.entries[0]
    write_binary(changed.path, seed=99)
    settings = config.data.split.model_dump()
    prepare(
        split, config.frames.spec(split.train.sensor_size), tmp_path / "store", dataset="folder",
        root=tmp_path / "recordings", split_settings=settings,
    )  # fmt: skip
    with pytest.raises(DatasetError, match=rf"got 1 recording changed: {changed.key} \(now "):
        evaluate(tmp_path / "run")


@pytest.mark.filterwarnings("ignore:1 pair of recordings have the same events and two labels")
def test_a_store_that_is_split_again_is_compared_by_events(config: TrainConfig, tmp_path: Path) -> None:
    """A copy in another format is on one side in the store, and on the other side of the split that is asked for."""
    root = Path(str(config.data.path))
    by_order = config.derive(data={"format": None, "split": {"rule": "order", "train": 6, "test": 2}})
    for path in root.rglob("*.bin"):
        convert(open_recording(path, format="nmnist"), path.with_suffix(".h5"))
        path.unlink()
    split = load_split(by_order)
    first, other = split.train.entries[0], split.train.entries[3]
    copy = other.path.with_suffix(".npz")
    convert(open_recording(first.path), copy)
    other.path.unlink()
    split = load_split(by_order)
    assert {first.path, copy} <= {entry.path for entry in split.train.entries}
    spec = by_order.frames.spec(split.train.sensor_size)
    prepare(
        split, spec, tmp_path / "store", dataset="folder", root=root, split_settings=by_order.data.split.model_dump()
    )
    again = by_order.derive(data={"prepared": str(tmp_path / "store"), "path": None, "split": {"train": 2, "test": 6}})
    with pytest.raises(SplitError, match=f"the same events in .* and .*{copy.name}"):
        fit(again, tmp_path / "run", quiet=True)
    shutil.move(root, tmp_path / "gone")
    with pytest.warns(RecordingWarning, match="1 pairs of recordings on both sides have equal counts of events, and"):
        fit(again, tmp_path / "run", quiet=True)
