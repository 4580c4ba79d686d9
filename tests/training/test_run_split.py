"""A run lists its recordings; evaluation and resumption use that list, and refuse what has changed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_recordings import CLASSES, SENSOR_SIZE, draw_events

from stdl_events.errors import DatasetError, SplitError
from stdl_events.events import RecordingWarning, open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.geometry import Geometry
from stdl_events.recipes import load_recipe
from stdl_events.recordings.counted import Counted
from stdl_events.recordings.entry import Entry, RecordingSet, SideRule, Split
from stdl_events.recordings.file_digest import file_digest
from stdl_events.recordings.splits.split_list import SPLIT_FILE, SplitList, read_split_list, write_split_list
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_split
from stdl_events.training.run_split import split_of_run
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]


def add_recordings(root: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, class_name in enumerate(CLASSES):
        path = root / class_name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, draw_events(label, rng), SENSOR_SIZE)


def listed(run: Path) -> SplitList:
    found = read_split_list(run / SPLIT_FILE)
    assert found is not None
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of five recordings."""
    for number in range(5):
        add_recordings(tmp_path / "data", f"{number}.h5", seed=number)
    return tmp_path / "data"


@pytest.fixture
def drawn(config: TrainConfig, root: Path) -> TrainConfig:
    """Two recordings of each class are held out at random."""
    split = {"rule": "recording", "held_out": 0.4}
    return config.derive(data={"path": str(root), "split": split}, network={"notation": "4C3-AP2"}, epochs=1,
                         learning={"rho": None, "rule": "sltt"}, augment={"shift_px": 0})  # fmt: skip


@pytest.fixture
def run(drawn: TrainConfig, tmp_path: Path) -> Path:
    fit(drawn, tmp_path / "run", quiet=True)
    return tmp_path / "run"


def test_the_list_names_each_file_of_both_sides(run: Path, root: Path, drawn: TrainConfig) -> None:
    document = json.loads((run / SPLIT_FILE).read_text())
    split = load_split(drawn)
    assert document["rule"] == "by recording, 40% of each class, seed 0"
    assert (document["root"], document["classes"]) == (str(root), list(CLASSES))
    rows = document["recordings"]
    assert {(row["side"], row["path"]) for row in rows} == {
        (side, entry.path.relative_to(root).as_posix())
        for side, recordings in (("train", split.train), ("test", split.test))
        for entry in recordings.entries
    }
    for row in rows:
        path = root / row["path"]
        assert (row["bytes"], row["sha256"]) == (path.stat().st_size, file_digest(path))
        assert row["class"] == path.parent.name


def test_added_recordings_change_nothing(run: Path, root: Path, drawn: TrainConfig) -> None:
    before = evaluate(run)
    trained_on = {row.key for row in listed(run).side("train")}
    add_recordings(root, "added.h5", seed=9)
    # The draw alone would now hold out recordings that the run was trained on.
    assert trained_on & {entry.key for entry in load_split(drawn).test.entries}
    with pytest.warns(RecordingWarning, match=r"data: not used: 3 recordings added since .*split\.json was written"):
        after = evaluate(run)
    assert [entry.key for entry in after.recordings.entries] == [entry.key for entry in before.recordings.entries]
    np.testing.assert_array_equal(after.probabilities_NK, before.probabilities_NK)


def test_a_removed_and_a_changed_recording_are_named(run: Path, root: Path) -> None:
    first, second, third = listed(run).side("test")[:3]
    (root / first.path).unlink()
    data = (root / second.path).read_bytes()
    (root / second.path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    write_recording(root / third.path, draw_events(0, np.random.default_rng(7), 50), SENSOR_SIZE)
    with pytest.raises(DatasetError) as caught:
        evaluate(run)
    text = str(caught.value)
    assert "got 3 recordings changed" in text
    assert f"{first.path} (missing; listed with {first.bytes} bytes, SHA-256 {str(first.sha256)[:16]}...)" in text
    digest = file_digest(root / second.path)
    assert f"{second.path} (now {second.bytes} bytes, SHA-256 {digest[:16]}...; listed with {second.bytes} " in text
    assert f"{third.path} (now {(root / third.path).stat().st_size} bytes" in text
    assert text.endswith("name the folder that has them with --data, or train on the present ones in a new run")


def test_only_the_held_out_side_is_compared_unless_asked(run: Path, root: Path, run_cli: RunCli) -> None:
    first = listed(run).side("train")[0]
    (root / first.path).write_bytes(b"other")
    assert run_cli("evaluate", run)[0] == 0
    code, _, err = run_cli("evaluate", run, "--verify")
    assert code == 2
    assert f"{first.path} (now 5 bytes" in err


def test_moved_recordings_are_found_by_data(run: Path, root: Path, tmp_path: Path) -> None:
    before = evaluate(run)
    shutil.move(root, tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"data: got no such folder; expected the recordings listed in .*--data DIR"):
        evaluate(run)
    np.testing.assert_array_equal(evaluate(run, data=tmp_path / "moved").probabilities_NK, before.probabilities_NK)


def test_resumption_uses_the_list(run: Path, root: Path, drawn: TrainConfig, tmp_path: Path) -> None:
    weights = (run / "bundle" / "model.safetensors").read_bytes()
    text = (run / SPLIT_FILE).read_text()
    add_recordings(root, "added.h5", seed=9)
    shutil.move(root, tmp_path / "moved")
    moved = drawn.derive(data={"path": str(tmp_path / "moved")})
    with pytest.warns(RecordingWarning, match="3 recordings added since"):
        fit(moved, run, resume=True, quiet=True)
    assert (run / "bundle" / "model.safetensors").read_bytes() == weights
    assert (run / SPLIT_FILE).read_text() == text
    first = listed(run).side("train")[0]
    (tmp_path / "moved" / first.path).unlink()
    with pytest.raises(DatasetError, match=rf"got 1 recording changed: {first.path} \(missing"):
        fit(moved, run, resume=True, quiet=True)


def test_a_run_without_a_list_is_split_again_with_a_warning(run: Path, drawn: TrainConfig) -> None:
    before = evaluate(run)
    (run / SPLIT_FILE).unlink()
    with pytest.warns(RecordingWarning, match=r"run: no split\.json, since an older version trained it"):
        after = evaluate(run)
    np.testing.assert_array_equal(after.probabilities_NK, before.probabilities_NK)
    with pytest.warns(RecordingWarning, match=r"no split\.json"):
        fit(drawn, run, resume=True, quiet=True)


def test_unreadable_recordings_are_listed_as_left_out(root: Path, drawn: TrainConfig, tmp_path: Path) -> None:
    first = load_split(drawn).test.entries[0]
    first.path.write_bytes(first.path.read_bytes()[:500])
    skipping = drawn.derive(data={"skip_bad": True})
    with pytest.warns(RecordingWarning, match="left out 1 of 15 recordings"):
        fit(skipping, tmp_path / "run", quiet=True)
    found = listed(tmp_path / "run")
    assert found.left_out == (first.key,)
    assert len(found.recordings) == 14
    assert len(evaluate(tmp_path / "run").recordings) == 5


def test_a_run_like_another_lists_the_same_of_a_folder_that_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the folder of simulated walkers is; the lists of a sweep's runs are compared as a whole."""
    monkeypatch.chdir(tmp_path)
    walkers = {"people": 2, "per_person": 5, "sensor_size": (16, 16), "duration_us": 200_000}
    config = load_recipe("demo_walkers").derive(data={"walkers": walkers})
    for name, like in (("one", None), ("other", Path("one"))):
        of_run = split_of_run(config, Path(name), like=like, quiet=True)
        Path(name).mkdir()
        of_run.write(Path(name), config, of_run.split)
    assert listed(Path("one")) == listed(Path("other"))


def test_parts_of_recordings_come_back(root: Path, drawn: TrainConfig, tmp_path: Path) -> None:
    split = {"rule": "time", "held_out": 0.5, "gap_us": 0}
    by_time = drawn.derive(data={"split": split, "sensor_size": SENSOR_SIZE}, frames={"dt_us": 10_000})
    result = fit(by_time, tmp_path / "run", quiet=True)
    before, after = result.evaluation, evaluate(tmp_path / "run")
    assert [entry.span for entry in after.recordings.entries] == [(0.5, None)] * 15
    assert after.recordings.entries[0].sensor_size == SENSOR_SIZE
    np.testing.assert_allclose(after.probabilities_NK, before.probabilities_NK, atol=1e-6)


DAMAGES = [
    ('"schema_version": 1', '"schema_version": 7', r"got schema 7, written by stdl-events .*; expected schema 1"),
    (
        '"side": "train"',
        '"side": "both"',
        r"side: 'both'; expected 'train', 'validation' or 'test'",
    ),
    ('"bytes": ', '"colour": 1, "bytes": ', r"right/\d\.h5: the key colour; expected keys of a rec"),
    ('"class": "left"', '"class": "up"', "the class up; expected one of left, middle, right"),
    ("]}", "]", r"split\.json: got "),
]


def test_a_damaged_list_is_an_error(run: Path) -> None:
    path = run / SPLIT_FILE
    text = path.read_text()
    for old, new, message in DAMAGES:
        path.write_text(new.join(text.rsplit(old, 1)))
        with pytest.raises(DatasetError, match=message):
            evaluate(run)


def test_every_field_of_an_entry_comes_back(tmp_path: Path) -> None:
    """Whatever `Entry` has, since the list is written from its fields."""
    values: dict[str, Any] = {
        "label": 1, "span": (0.25, 5000), "group": "ann", "format": "npy", "sensor_size": (12, 10), "stream": 2,
        "time_unit": "ms", "columns": "x,y,t,p",
        "orientation": Geometry(rotate=90), "content": "ab" * 32, "subject": "ann", "session": "2",
        "counted": Counted(5, 3, 900), "repair": True, "strict": True, "take": 2, "begin": 11, "picture": 7,
        "divided_us": 9000,
    }  # fmt: skip
    entry = Entry("a/1", tmp_path / "data" / "a" / "1.npy", reader=None, **values)
    assert {field.name for field in fields(Entry)} == values.keys() | {"key", "path", "reader"}
    recordings = RecordingSet(("a", "b"), (12, 10), (entry,))
    test, validation = (recordings.with_entries([replace(entry, key=key)]) for key in ("a/2", "a/3"))
    split = Split(
        recordings, test, "of a test", gap_us=7, apart=("session",), validation=validation,
        validation_rule=SideRule("of a test too", 5, ("subject",)), left_out=(tmp_path / "data" / "a" / "4.npy",),
    )  # fmt: skip
    assert {field.name for field in fields(Split)} == {
        "train",
        "test",
        "rule",
        "gap_us",
        "apart",
        "validation",
        "validation_rule",
        "left_out",
    }
    write_split_list(tmp_path / "split.json", SplitList.of(split, tmp_path / "data", {}, dataset="folder"))
    found = read_split_list(tmp_path / "split.json")
    assert found is not None
    assert found.split(tmp_path / "data", lambda key: None) == split


def test_training_refuses_a_converted_copy_on_the_other_side(drawn: TrainConfig, root: Path, tmp_path: Path) -> None:
    sides = tmp_path / "sides"
    shutil.copytree(root, sides / "train")
    for name in CLASSES:
        (sides / "test" / name).mkdir(parents=True)
        (sides / "train" / name / "4.h5").rename(sides / "test" / name / "4.h5")
    copy = sides / "test" / "left" / "again.npz"
    convert(open_recording(sides / "train" / "left" / "2.h5"), copy)
    given = drawn.derive(data={"path": str(sides), "split": {"rule": "given"}})
    with pytest.raises(SplitError) as caught:
        fit(given, tmp_path / "run", quiet=True)
    original = sides / "train" / "left" / "2.h5"
    assert f"got the same events in {original} (to train) and {copy} (held out)" in str(caught.value)
    assert not (tmp_path / "run").exists()
