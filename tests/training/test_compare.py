"""`stdl-events compare`: settings that differ, recordings in pairs beside a literal count, and runs that cannot be."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stdl_events.cli.compare import pair_lines
from stdl_events.errors import RunError
from stdl_events.recipes import load_recipe
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.sweeps.compare import (
    compare,
    compare_runs,
    differing_settings,
    pair_of,
    partner_of,
    read_run,
    run_folders,
)

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(folder_of_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three runs: two that differ in seed and batch size, and one tested on other recordings."""
    base = load_recipe("folder").derive(
        data={"path": str(folder_of_recordings), "split": {"rule": "given"}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP4"},
        learning={"rule": "sltt", "memory": "plain"},
        optimiser={"lr": 0.02},
        epochs=2,
        batch_size=12,
        device="cpu",
    )
    root = tmp_path_factory.mktemp("runs")
    fit(base, root / "first", quiet=True)
    fit(base.derive(seed=3, batch_size=18), root / "second", quiet=True)
    fit(
        base.derive(data={"path": str(folder_of_recordings / "train"), "split": {"rule": "recording"}}),
        root / "other",
        quiet=True,
    )
    return root


def right_by_key(folder: Path) -> dict[str, bool]:
    """Whether the mean probability of a recording's clips is highest for its class, from the predictions alone."""
    evaluation = evaluate(folder)
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    label = {}
    for clip in evaluation.predictions():
        sums[clip["key"]] += clip["probabilities"]
        label[clip["key"]] = clip["label"]
    return {key: evaluation.labels[int(total.argmax())] == label[key] for key, total in sums.items()}


def test_pairs_are_counted_by_recording(runs: Path, run_cli: Cli) -> None:
    code, out, err = run_cli("compare", runs / "first", runs / "second", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["settings"] == {"batch_size": [12, 18], "seed": [0, 3]}
    assert document["same_test_recordings"] is True
    first, second = right_by_key(runs / "first"), right_by_key(runs / "second")
    assert len(first) == 9
    (pair,) = document["pairs"]
    assert (pair["run"], pair["against"]) == (str(runs / "second"), str(runs / "first"))
    outcomes = [(first[key], second[key]) for key in first]
    assert pair["counts"] == {
        "both": outcomes.count((True, True)), "only_first": outcomes.count((True, False)),
        "only_second": outcomes.count((False, True)), "neither": outcomes.count((False, False)),
    }  # fmt: skip
    differences = [float(theirs) - float(ours) for ours, theirs in outcomes]
    assert pair["difference"]["mean"] == pytest.approx(np.mean(differences))
    assert pair["difference"]["standard_error"] == pytest.approx(np.std(differences, ddof=1) / 3)
    for row, name in zip(document["runs"], ("first", "second"), strict=True):
        assert row["accuracy"] == row["held_out_accuracy"] == evaluate(runs / name).accuracy
        assert row["notes"] == []
        assert row["blocks"] == 1
        assert row["baselines"]["chance"] == pytest.approx(1 / 3)


def test_other_recordings_are_not_paired(runs: Path, run_cli: Cli) -> None:
    code, out, err = run_cli("compare", runs / "first", runs / "second", runs / "other")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert "the runs are not all tested on the same recordings" in out
    assert "not compared in pairs: 3 against 1: other recordings are tested" in out
    assert "batch_size: 12 (1 3); 18 (2)" in out
    assert "data.split.rule: given (1 2); recording (3)" in out
    assert any(line.split()[:3] == ["2", "against", "1"] and line.split()[-1] == "9" for line in out.splitlines())
    assert err.endswith("--out curves.png\n")


def test_curves_are_drawn(runs: Path, run_cli: Cli, tmp_path: Path) -> None:
    picture = tmp_path / "c.png"
    code, out, err = run_cli("compare", runs / "first", runs / "second", "--recorded", "--out", picture)
    assert code == 0, err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "not compared in pairs: 2 against 1: one of them is not evaluated" in out
    assert (
        f"{json.loads((runs / 'first' / 'bundle' / 'model.json').read_text())['provenance']['held_out_accuracy']:.4f}"
        in out
    )
    code, _, err = run_cli("compare", runs / "first", runs / "second", "--out", tmp_path / "c.txt")
    assert (code, "got the suffix '.txt'; expected .png, .pdf, .svg" in err) == (2, True)


def test_old_and_unfinished_runs_are_named(runs: Path, tmp_path: Path, run_cli: Cli) -> None:
    old, begun, moved = tmp_path / "old", tmp_path / "begun", tmp_path / "moved"
    for copy in (old, begun, moved):
        shutil.copytree(runs / "first", copy)
    (old / "split.json").unlink()
    rows = [json.loads(line) for line in (old / "metrics.jsonl").read_text().splitlines()]
    rows[0]["versions"]["stdl-events"] = "0.0.1"
    (old / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    shutil.rmtree(begun / "bundle")
    lines = (begun / "metrics.jsonl").read_text().splitlines()
    (begun / "metrics.jsonl").write_text("\n".join(line for line in lines if '"epoch": 2' not in line) + "\n")
    listed = json.loads((moved / "split.json").read_text())
    listed["recordings"][-1]["sha256"] = "0" * 64
    (moved / "split.json").write_text(json.dumps(listed))
    code, out, err = run_cli("compare", runs / "first", old, begun, moved, "--json")
    assert code == 0, err
    _, of_old, of_begun, of_moved = json.loads(out)["runs"]
    assert any(note.startswith("trained by stdl-events 0.0.1; this is ") for note in of_old["notes"])
    assert "no list of its split, since an older version trained it: not compared in pairs" in of_old["notes"]
    assert of_old["accuracy"] == evaluate(runs / "first").accuracy, "it is evaluated, on its split made again"
    assert of_begun["notes"] == [f"unfinished: 1 of 2 epochs; go on with: stdl-events train --resume {begun}"]
    assert "accuracy" not in of_begun
    assert of_moved["notes"][0].startswith("not evaluated: ")
    assert "1 recording changed" in of_moved["notes"][0]
    assert of_moved["held_out_accuracy"] == of_old["accuracy"]
    refused = [pair["refused"] for pair in json.loads(out)["pairs"]]
    assert refused == [
        "no list of the tested recordings",
        "one of them is not evaluated",
        "other recordings are tested",
    ]


def test_what_is_no_comparison_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="got 1 finished run; expected at least 2"):
        run_folders([runs / "first"])
    with pytest.raises(RunError, match=r"none: got no config\.json; expected the folder of a run"):
        run_folders([tmp_path / "none"])
    with pytest.raises(RunError, match="first: got the same run twice"):
        run_folders([runs / "first", runs / "second" / ".." / "first"])
    with pytest.raises(RunError, match=r"none: got no config\.json; expected the folder of a run"):
        compare_runs([runs / "first", tmp_path / "none"])


def test_runs_are_paired_by_their_seed(runs: Path) -> None:
    """As those of a sweep are listed: all combinations of a seed, then those of the next."""
    first, second = (read_run(runs / name) for name in ("first", "second"))
    listed = [replace(run) for run in (first, first, second, second)]
    assert [listed.index(partner_of(run, listed)) for run in listed[1:]] == [0, 0, 2]


def test_equal_runs_do_not_differ(runs: Path) -> None:
    first, again = compare_runs([runs / "first", runs / "first"])
    assert differing_settings([first, again]) == {}
    pair = pair_of(first, again)
    assert pair.counts is not None
    assert (pair.counts["only_first"], pair.counts["only_second"], pair.difference) == (
        0, 0, {"mean": 0.0, "standard_error": 0.0, "n": 9},
    )  # fmt: skip


def test_compare_from_python_is_the_document_of_the_command(runs: Path, run_cli: Cli) -> None:
    folders = [runs / "first", runs / "second"]
    code, out, err = run_cli("compare", *folders, "--recorded", "--json")
    assert code == 0, err
    assert compare(*map(str, folders), evaluated=False) == json.loads(out)


def test_the_run_that_is_right_alone_is_named() -> None:
    pair = {
        "run": "b", "against": "a", "refused": "", "difference": {"mean": 0.2, "standard_error": None, "n": 10},
        "counts": {"both": 4, "only_first": 1, "only_second": 3, "neither": 2},
    }  # fmt: skip
    lines = pair_lines({"same_test_recordings": True, "runs": [{"run": "a"}, {"run": "b"}], "pairs": [pair]})
    assert [cell.strip() for cell in re.split(" {2,}", lines[-2].strip())] == [
        "difference", "both right", "right alone", "none", "of all"
    ]  # fmt: skip
    assert lines[-1].split() == ["2", "against", "1", "+0.2000", "4", "2:", "3,", "1:", "1", "2", "10"]
