"""Label files, layouts and splits by subject through the commands: train, evaluate, prepare."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events

RunCli = Callable[..., tuple[int, str, str]]
PEOPLE = ("ann", "ben", "cy")
CLASSES = ("left", "right")
SMALL = (
    "frames.steps=4",
    "network.notation=4C3-AP2-4C3",
    "learning.least_blocks=1",
    "epochs=1",
    "batch_size=8",
    "device=cpu",
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of each person, whose clock begins at 3 s, with three clips of each class, and its label file."""
    root = tmp_path_factory.mktemp("labelled")
    rows = ["recording\tt_start\tt_end\tlabel\tsubject"]
    for seed, name in enumerate(PEOPLE):
        rng = np.random.default_rng(seed)
        events = empty_events(4_000)
        events["t"] = 3_000_000 + np.sort(rng.integers(0, 960_000, len(events)))
        events["t"][[0, -1]] = 3_000_000, 3_959_999
        events["x"], events["y"] = rng.integers(0, 16, (2, len(events)))
        (root / name).mkdir()
        write_recording(root / name / "1.h5", events, (16, 16))
        rows += [
            f"{name}/1.h5\t{start}\t{start + 160_000}\t{CLASSES[start // 160_000 % 2]}\t{name}"
            for start in range(0, 960_000, 160_000)
        ]
    (root / "segments.tsv").write_text("\r\n".join(rows))
    return root


def sets(*assignments: str) -> list[str]:
    return [word for assignment in (*SMALL, *assignments) for word in ("--set", assignment)]


def test_segments_are_trained_on_and_evaluated_by_subject(run_cli: RunCli, labelled: Path, tmp_path: Path) -> None:
    options = sets("data.split.rule=subject", "data.split.names=ben")
    code, out, err = run_cli("train", "folder", "--data", labelled, "--out", tmp_path / "run", *options, "--json")
    assert code == 0, err
    assert "segments.tsv: times count after each recording's first event, since only so do all of them fit" in err
    assert (
        "split by subject, as named: ben held out: 12 to train, 6 held out; checked: no recording on both sides" in err
    )
    assert "; none of 3 subjects on both sides" in err
    trained = json.loads(out)
    assert (trained["labels"], trained["recordings"]) == (["left", "right"], 6)
    code, out, err = run_cli("evaluate", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["confusion"] == trained["confusion"]


def test_a_store_of_segments_knows_their_subjects(run_cli: RunCli, labelled: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    options = ("--frames", "T=4,dt=20ms", "--workers", 1, "--label-times", "recording", "--out", store, "--json")
    code, out, err = run_cli("prepare", "folder", "--data", labelled, "--split", "rule=subject,names=ben+cy", *options)
    assert code == 0, err
    assert "warning" not in err
    facts = json.loads(out)
    assert facts["recordings"] == 18
    assert "by subject, as named: ben, cy held out: 6 to train, 12 held out" in facts["split"]
    fold = ("data.split.rule=leave-one-subject-out", "data.split.fold=1")
    for number, (more, held_out) in enumerate(
        [((), "ben, cy"), (("data.split.rule=subject", "data.split.names=ben+cy"), "ben, cy"), (fold, "ann")]
    ):
        run = ("--out", tmp_path / f"run{number}", *sets(f"data.prepared={store}", *more))
        code, _, err = run_cli("train", "folder", *run)
        assert code == 0, err
        assert f"{held_out} held out: " in err
        assert "none of 3 subjects on both sides" in err


def test_folds_hold_out_one_subject_each(run_cli: RunCli, labelled: Path, tmp_path: Path) -> None:
    rule = "data.split.rule=leave-one-subject-out"
    code, _, err = run_cli("train", "folder", "--data", labelled, "--out", tmp_path / "none", *sets(rule))
    assert code == 2
    assert "data.split.fold: got nothing; expected the number of the subject that is held out, from 1 on" in err
    options = ("--labels", "none", "--layout", "{subject}/*", *sets(rule, "data.split.fold=3"))
    code, _, err = run_cli("train", "folder", "--data", labelled, "--out", tmp_path / "none", *options)
    assert code == 2
    assert "got no class; expected {class} in it, or a label file" in err
    code, _, err = run_cli(
        "train", "folder", "--data", labelled, "--out", tmp_path / "run", *sets(rule, "data.split.fold=3")
    )
    assert code == 0, err
    assert "split by subject, fold 3 of 3: cy held out: 12 to train" in err


@pytest.mark.parametrize("rule", ["time", "recording", "auto"])
def test_segments_split_without_subjects_say_who_is_on_both_sides(
    run_cli: RunCli, labelled: Path, tmp_path: Path, rule: str
) -> None:
    run = ("--out", tmp_path / "run", *sets(f"data.split.rule={rule}"))
    code, _, err = run_cli("train", "folder", "--data", labelled, *run)
    assert code == 0, err
    both = 3 if rule == "time" else "none"
    assert f"{both} of 3 subjects on both sides" in err


def test_classes_by_layout_and_by_folder(run_cli: RunCli, labelled: Path, tmp_path: Path) -> None:
    for options in (("--labels", "none"), ("--labels", "none", "--layout", "{class}/*")):
        run = ("--out", tmp_path / str(len(options)), *sets("data.split.rule=time"), *options)
        code, out, err = run_cli("train", "folder", "--data", labelled, *run, "--json")
        assert code == 0, err
        assert json.loads(out)["labels"] == list(PEOPLE)


def test_labels_of_a_dataset_that_has_its_own_are_refused(run_cli: RunCli, labelled: Path, tmp_path: Path) -> None:
    options = ("--data", labelled, "--out", tmp_path / "run", "--labels", "labels.csv")
    code, _, err = run_cli("train", "nmnist_small", *options)
    assert code == 2
    assert "data.labels: got labels.csv; expected none, since nmnist has its own; leave it out" in err
