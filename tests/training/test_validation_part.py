"""The validation part of a split: by recording, subject, session and time, given, from a store; and its messages."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stdl_events.cli.options.split_options import split_assignments
from stdl_events.errors import RecipeError, SplitError, StdlEventsError
from stdl_events.events import RecordingWarning, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.recipes import load_recipe
from stdl_events.recordings import Split
from stdl_events.training.load_recordings import load_split
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]
LENGTH_US = 1_000_000
GAP_US = 200_000


def write(path: Path) -> None:
    events = empty_events(100)
    events["t"] = np.arange(100) * (LENGTH_US // 100)
    events["x"] = np.random.default_rng(list(str(path).encode())).integers(0, 8, 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, events, (8, 8))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<class>/<subject>-<session>.h5`: two classes, five people, two sessions."""
    root = tmp_path_factory.mktemp("people")
    for name in ("a", "b"):
        for subject in ("ann", "ben", "cy", "dan", "eve"):
            for session in ("s1", "s2"):
                write(root / name / f"{subject}-{session}.h5")
    return root


def configured(root: Path, data: dict[str, Any] | None = None, **split: Any) -> TrainConfig:
    named = {"path": str(root), "layout": "{class}/{subject}-{session}.*"} | (data or {})
    return load_recipe("folder").derive(data=named | {"split": split})


def named(split: Split, kind: str) -> list[set[str]]:
    """The subjects or sessions of each side: to train, to validate, held out."""
    assert split.validation is not None
    return [{getattr(entry, kind) for entry in side.entries} for side in split.sides.values()]


def test_a_share_is_taken_from_what_is_trained_on(people: Path) -> None:
    without = load_split(configured(people, rule="recording", held_out=0.2))
    split = load_split(configured(people, rule="recording", held_out=0.2, validation=0.25))
    assert split.test == without.test
    assert [len(side) for side in split.sides.values()] == [12, 4, 4]
    assert [entry.label for entry in split.sides["validation"].entries].count(0) == 2
    assert len({entry.key for entry in split.entries}) == 20
    assert (
        "; validation by recording, 4 of 16, seed 0: 12 to train, 4 to validate, 4 held out" in split.check_disjoint()
    )


@pytest.mark.parametrize(
    ("settings", "kind", "validates"),
    [
        ({"rule": "subject", "names": "eve", "validation": 0.25}, "subject", None),
        ({"rule": "subject", "names": "eve", "validation_names": "ann+ben"}, "subject", {"ann", "ben"}),
        ({"rule": "leave-one-subject-out", "fold": 5, "validation_names": "cy"}, "subject", {"cy"}),
        ({"rule": "recording", "validation": 0.2, "validation_by": "session"}, "session", None),
        ({"rule": "recording", "validation_names": "s2"}, "session", {"s2"}),
    ],
)
def test_subjects_and_sessions_are_kept_apart(
    people: Path, settings: dict[str, Any], kind: str, validates: set[str] | None
) -> None:
    split = load_split(configured(people, **settings))
    trains, own, _ = named(split, kind)
    assert not trains & own
    assert own == validates if validates else len(own) == 1
    if settings["rule"] != "recording":
        assert "none of 5 subjects on two sides" in split.check_disjoint()
        assert named(split, kind)[2] == {"eve"}
    else:
        split.check_disjoint()  # sessions are on the held-out side too, which `recording` allows


def test_time_is_divided_with_a_gap_on_both_borders(people: Path) -> None:
    split = load_split(configured(people, rule="time", held_out=0.3, validation=0.4))
    ends = [split.sides[side].entries[0].times_us() for side in ("train", "validation", "test")]
    (a0, a1), (b0, b1), (c0, _) = ends
    assert (a0, b0 - a1, c0 - b1) == (0, GAP_US, GAP_US)
    assert b1 - b0 == pytest.approx(0.4 * b1, abs=1)
    assert [side.entries[0].key.rpartition(":")[2] for side in split.sides.values()] == ["train", "validation", "test"]
    assert (
        "20 recordings on two sides (to train, to validate), in parts at least 200 ms apart" in split.check_disjoint()
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"validation": 0.1, "validation_names": "ann"}, RecipeError, "got a share and names; expected one of the two"),
        ({"validation_names": "ann+zoe"}, SplitError, "got ann, zoe, which are not all subjects or all sessions"),
        ({"validation_names": "1"}, SplitError, r"got 1, .*; correct the names, or give a share below 1, such as 0\.1"),
        ({"rule": "subject", "names": "eve", "validation_names": "eve"}, SplitError, "expected some of ann, ben, cy"),
        ({"rule": "subject", "names": "eve", "validation_names": "ann+ben+cy+dan"}, SplitError, "got all subjects to"),
        ({"validation_by": "subject"}, RecipeError, "validation_by: got subject; expected a share or names too"),
        ({"validation_by": "time", "validation_names": "ann"}, RecipeError, "got time, with names; expected a share"),
        ({"rule": "time", "validation": 0.9}, SplitError, "us in all; expected more than the gap"),
    ],
)
def test_what_cannot_be_validated_is_said(
    people: Path, settings: dict[str, Any], error: type[StdlEventsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_split(configured(people, **settings))


def test_unnamed_subjects_are_said(people: Path) -> None:
    with pytest.raises(SplitError, match=r"got no subject of a/ann-s1\.h5; expected one for every recording"):
        load_split(configured(people, {"layout": None}, validation=0.1, validation_by="subject"))


def test_a_leak_between_any_two_sides_is_found(people: Path, tmp_path: Path) -> None:
    for side, subject in (("train", "ann"), ("val", "ben"), ("test", "cy")):
        for name in ("a", "b"):
            (tmp_path / side / name).mkdir(parents=True)
            shutil.copy(people / name / f"{subject}-s1.h5", tmp_path / side / name / f"{subject}.h5")
    given = configured(tmp_path, {"layout": None})
    assert (
        "2 to train, 2 to validate, 2 held out; checked: no recording on two sides"
        in load_split(given).check_disjoint()
    )
    for one, other, words in (
        ("train/a/ann", "val/a/copy", "to train, to validate"),
        ("val/b/ben", "test/b/copy", "to validate, held out"),
    ):
        copy = tmp_path / f"{other}.h5"
        shutil.copy(tmp_path / f"{one}.h5", copy)
        with pytest.raises(SplitError, match=rf"and .* on two sides \({words}\); expected each on one side"):
            load_split(given).check_disjoint()
        copy.unlink()
    with pytest.raises(RecipeError, match="another validation part, where the split gives 2 recordings to validate on"):
        load_split(given.derive(data={"split": {"validation": 0.5}}))
    with pytest.warns(RecordingWarning, match="left out 2 recordings to validate on"):
        assert load_split(given.derive(data={"split": {"validation": 0}})).validation is None


def test_a_store_keeps_three_sides(people: Path, tmp_path: Path, run_cli: RunCli) -> None:
    store = tmp_path / "store"
    layout = ("--layout", "{class}/{subject}-{session}.*")
    code, out, err = run_cli("prepare", "folder", "--data", people, "--frames", "T=4,dt=20ms", "--out", store, *layout,
                             "--split", "rule=subject,names=eve", "--validation", "ann+ben", "--json")  # fmt: skip
    assert code == 0, err
    assert list(json.loads(out)["clips"]) == ["train", "validation", "test"]
    rows = json.loads((store / "split.json").read_text())["recordings"]
    assert {row["subject"] for row in rows if row["side"] == "validation"} == {"ann", "ben"}
    own = load_recipe("folder").derive(data={"prepared": str(store)}, frames={"steps": 4})
    assert named(load_split(own), "subject") == [{"cy", "dan"}, {"ann", "ben"}, {"eve"}]
    other = own.derive(data={"split": {"validation_names": "cy"}})
    assert named(load_split(other), "subject") == [{"ann", "ben", "dan"}, {"cy"}, {"eve"}]
    again = own.derive(data={"split": {"rule": "leave-one-subject-out", "fold": 1, "validation": 0.25}})
    trains, validates, held_out = named(load_split(again), "subject")
    assert (len(trains), len(validates), held_out) == (3, 1, {"ann"})
    with pytest.raises(RecipeError, match=r"a validation part in time, of a store; .* \(--validation\)"):
        load_split(own.derive(data={"split": {"validation": 0.2, "validation_by": "time"}}))


@pytest.mark.parametrize(
    ("split", "validation", "message"),
    [
        ("rule=recording,rule=time", None, "got rule twice; expected it once"),
        ("rule=given,held_out=0.3", None, "got held_out, and the rule given; expected the rule recording or time"),
        ("rule=leave-one-subject-out,fold=1,held_out=0.3", None, "got held_out, and the rule leave-one-subject-out"),
        ("rule=time,seed=5", None, "got seed, and the rule time; expected the rule recording or subject or session"),
        (None, "", "--validation: got nothing; expected a share"),
        (None, "subject=", "--validation subject=: got nothing; expected a share"),
        (None, "1.0", r"--validation 1\.0: got 1\.0; expected a share from 0 to below 1, such as 0\.1, or names"),
        (None, "subject=nan", "subject=nan: got nan; expected a share"),
        (None, "10%", r"10%: got a percentage; expected a share of 1, such as 0\.1; write --validation 0\.1$"),
        (None, "subject=2.5 %", r"got a percentage; .* write --validation subject=0\.025$"),
    ],
)
def test_options_of_a_split_that_say_nothing_or_too_much(split, validation, message):
    with pytest.raises(RecipeError, match=message):
        split_assignments(split, validation)
