"""`stdl-events sweep`: every run once, failures counted, going on after any end, and the table beside its own runs."""

import csv
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stdl_events.analysis.baselines import ridge_on_summed_events
from stdl_events.errors import RunError
from stdl_events.recipes import load_recipe
from stdl_events.training import load_recordings
from stdl_events.training.evaluation import ridge_beside
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.run import Run
from stdl_events.training.run_folder import lock_of_run, write_json
from stdl_events.training.settings import TrainConfig
from stdl_events.training.sweeps.shared_clips import SharedClips
from stdl_events.training.sweeps.sweep import run_sweep
from stdl_events.training.sweeps.sweep import sweep as sweep_from_python
from stdl_events.training.sweeps.sweep_folder import read_sweep
from stdl_events.training.sweeps.sweep_grid import Sweep
from stdl_events.training.sweeps.sweep_table import table_lines, table_rows

Cli = Callable[..., tuple[int, str, str]]


def small(folder: Path) -> TrainConfig:
    return load_recipe("folder").derive(
        data={"path": str(folder), "split": {"rule": "given", "validation": 0.34}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP4"},
        learning={"rule": "sltt", "memory": "plain"},
        epochs=1,
        batch_size=8,
        device="cpu",
    )


@pytest.fixture(scope="module")
def sweep(folder_of_recordings: Path) -> Sweep:
    """Two learning rates, of which the second makes the loss infinite, with two seeds."""
    return Sweep(small(folder_of_recordings), {"optimiser.lr": ("0.005", "1e29")}, (0, 1))


@pytest.fixture(scope="module")
def finished(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], int]:
    """The folder of the sweep, what it said, and how often clips were loaded, for which a ridge was fitted once."""
    folder, said, loads, fits = tmp_path_factory.mktemp("sweep") / "s", [], 0, 0
    real, real_ridges = load_recordings.load_sides, ridge_beside.ridges_of

    def counted(*arguments: Any) -> Any:
        nonlocal loads
        loads += 1
        return real(*arguments)

    def counted_ridges(clips: Any) -> Any:
        nonlocal fits
        fits += 1
        return real_ridges(clips)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stdl_events.training.sweeps.shared_clips.load_sides", counted)
        patch.setattr("stdl_events.training.sweeps.shared_clips.ridges_of", counted_ridges)
        run_sweep(sweep, folder, quiet=True, say=said.append)
    assert fits == 1, "two runs finished"
    return folder, said, loads


def test_every_run_is_as_if_trained_alone(finished: tuple[Path, list[str], int], sweep: Sweep, tmp_path: Path) -> None:
    folder, said, loads = finished
    record = read_sweep(folder)
    assert [record.state_of(trial.name) for trial in sweep.trials] == ["finished", "failed"] * 2
    assert loads == 1, "the clips are loaded once for the whole sweep"
    trial = sweep.trials[2]
    alone = fit(trial.config, tmp_path / "alone", quiet=True)
    facts = record.runs[trial.name]
    assert facts["accuracy"] == alone.evaluation.accuracy == evaluate(folder / trial.name).accuracy
    validated = [row["validation_accuracy"] for row in read_metrics(folder / trial.name) if row["kind"] == "epoch"]
    assert facts["validation_accuracy"] == max(validated)
    lists = [json.loads((folder / one.name / "split.json").read_text()) for one in (sweep.trials[0], trial)]
    assert lists[0] == lists[1] == json.loads((tmp_path / "alone" / "split.json").read_text())
    assert said[0] == "run 1 of 4: optimiser.lr=0.005, seed 0"
    assert said[2].startswith("run 2 of 4: optimiser.lr=1e29, seed 0; ")
    assert said[2].endswith(" s left")
    assert "got a loss of inf of block 0 after 1 step; expected a finite loss" in said[3]


def test_the_table_is_that_of_the_runs(finished: tuple[Path, list[str], int], sweep: Sweep, run_cli: Cli) -> None:
    folder, _, _ = finished
    code, out, err = run_cli("sweep", folder, "--json")
    assert code == 1, "a combination has failed"
    assert "done already: 4 of 4 runs" in err
    document = json.loads(out)
    good, bad = document["table"]
    accuracies = [evaluate(folder / trial.name).accuracy for trial in sweep.trials[::2]]
    assert good["accuracy"] == {
        "mean": pytest.approx(np.mean(accuracies)), "sd": pytest.approx(np.std(accuracies, ddof=1)), "n": 2,
    }  # fmt: skip
    assert (good["failed"], bad["failed"], bad["runs"], "accuracy" in bad) == (0, 2, 0, False)
    assert (good["chosen"], bad["chosen"], document["failed"]) == (True, False, 2)
    loaded = evaluate(folder / sweep.trials[0].name)
    config = sweep.trials[0].config
    split = load_recordings.load_split(config)
    train = load_recordings.load_config_clips(config, split.train, config.frames.spec(split.train.sensor_size))
    assert (good["ridge"], good["chance"]) == (ridge_on_summed_events(train, loaded.clips), loaded.chance)
    table = csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    assert [row["accuracy"] for row in table] == [str(accuracies[0]), "", str(accuracies[1]), ""]
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")

    code, out, err = run_cli("sweep", folder)
    assert code == 1
    assert max(map(len, out.splitlines())) <= 80
    assert "* lr=0.005" in out
    assert "best on the validation part: lr=0.005" in out
    assert "2 of 2 runs failed: lr=1e29" in out
    assert err.endswith(f"next: stdl-events sweep {folder} --retry\n")
    assert out.splitlines()[0].split()[:3] == ["n", "held", "out"]
    assert table_lines(table_rows(read_sweep(folder)), 200)[1].startswith("* lr=0.005  2  ")
    assert "lr=0.005 | 2 |" in (folder / "sweep.md").read_text()


def test_a_sweep_from_python_is_that_of_the_command(
    finished: tuple[Path, list[str], int], sweep: Sweep, tmp_path: Path
) -> None:
    again = tmp_path / "s"
    shutil.copytree(finished[0], again)
    record = sweep_from_python(sweep.base, again, seeds=[0, 1], vary={"optimiser.lr": [0.005, "1e29"]})
    assert record.sweep == sweep
    assert record.runs == read_sweep(finished[0]).runs


def test_ridges_of_other_clips_are_fitted_for_themselves(folder_of_recordings: Path) -> None:
    config, shared = small(folder_of_recordings), SharedClips()
    split = load_recordings.load_split(config)
    sides = {side: recordings for side, recordings in split.sides.items() if recordings is not None}
    loaded = shared(config, sides, config.frames.spec(split.train.sensor_size))
    clips = dict(zip(sides, (own for _, own in loaded), strict=True))
    first = shared.ridges(clips)
    assert shared.ridges(dict(clips)) is first
    fewer = clips | {"test": clips["validation"]}
    assert shared.ridges(fewer) == ridge_beside.ridges_of(fewer)
    assert shared.ridges(clips) is first == ridge_beside.ridges_of(clips)


def test_a_changed_sweep_is_refused_and_seeds_may_be_added(
    finished: tuple[Path, list[str], int], sweep: Sweep, run_cli: Cli
) -> None:
    folder, _, _ = finished
    before = (folder / "sweep.json").read_bytes()
    other = Sweep(sweep.base.derive(epochs=2), sweep.vary, sweep.seeds)
    with pytest.raises(RunError, match=r"got another sweep: epochs \(1, now 2\); expected the sweep that is there; go"):
        run_sweep(other, folder, quiet=True)
    code, _, err = run_cli("sweep", folder, "--set", "epochs=2")
    assert (code, "the sweep in this folder has its settings" in err) == (2, True)
    with pytest.raises(RunError, match="s: got another sweep: --seeds"):
        run_sweep(Sweep(sweep.base, sweep.vary, (0, 2)), folder, quiet=True)
    assert (folder / "sweep.json").read_bytes() == before


def test_ctrl_c_keeps_the_step_and_the_folder_goes_on(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Cli, finished: tuple[Path, list[str], int]
) -> None:
    folder, steps, step = tmp_path / "s", 0, Run._set_learning_rate
    one = Sweep(sweep.base.derive(optimiser={"lr": 0.005}), {}, (0, 1))
    write_json(tmp_path / "base.json", one.base.model_dump(mode="json"))

    def interrupted(run: Run) -> float:
        nonlocal steps
        steps += 1
        if steps == 5:  # the second step of the second run
            signal.raise_signal(signal.SIGINT)
        return step(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_set_learning_rate", interrupted)
        code, _, err = run_cli("sweep", "folder", "--config", tmp_path / "base.json", "--seeds", "0,1", "--out", folder)
    assert code != 0
    assert "stopped after step 5;" in err or "stopped after step 2;" in err
    assert f"next: stdl-events sweep {folder}\n" in err
    record = read_sweep(folder)
    assert [record.state_of(f"seed={seed}") for seed in (0, 1)] == ["finished", None]
    code, out, err = run_cli("sweep", folder, "--json")
    assert code == 0, err
    assert "done already: 1 of 2 runs\nrun 2 of 2: seed 1" in err
    whole = read_sweep(finished[0]).runs
    assert [json.loads(out)["runs"][f"seed={seed}"]["accuracy"] for seed in (0, 1)] == [
        whole[f"lr=0.005/seed={seed}"]["accuracy"] for seed in (0, 1)
    ]
    assert json.loads(out)["table"][0]["chosen"] is False

    fit(one.trials[0].config.derive(epochs=2), folder / "seed=0", resume=True, quiet=True)
    code, _, err = run_cli("sweep", folder)
    assert (code, "seed=0: got a run with other settings than the sweep's" in err) == (2, True)


def test_a_run_that_ends_in_any_error_leaves_the_others(
    sweep: Sweep, tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STDL_EVENTS_DEBUG", raising=False)
    broken = True

    def fails_for_seed_1(config: TrainConfig, *arguments: Any, **options: Any) -> Any:
        if broken and config.seed == 1:
            raise RuntimeError("a kernel\nbroke")
        return fit(config, *arguments, **options)

    monkeypatch.setattr("stdl_events.training.sweeps.sweep.fit", fails_for_seed_1)
    folder = tmp_path / "s"
    record = run_sweep(Sweep(sweep.base, {}, (0, 1, 2)), folder, quiet=True)
    assert [record.runs[f"seed={seed}"]["state"] for seed in range(3)] == ["finished", "failed", "finished"]
    code, out, _ = run_cli("sweep", folder)
    assert (code, "1 of 3 runs failed: all runs (seed 1): RuntimeError: a kernel broke" in " ".join(out.split())) == (
        1,
        True,
    )
    broken = False
    assert run_cli("sweep", folder, "--retry")[0] == 0


def test_what_is_in_the_place_of_a_run_fails_that_run_alone(folder_of_recordings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    run_sweep(Sweep(small(folder_of_recordings), {}, (0,)), folder, quiet=True)
    (folder / "seed=1").write_text("a note")
    record = run_sweep(Sweep(small(folder_of_recordings), {}, (0, 1, 2)), folder, quiet=True)
    assert [record.state_of(f"seed={seed}") for seed in (0, 1, 2)] == ["finished", "failed", "finished"]
    assert record.runs["seed=1"]["error"].startswith("got something that is already there; expected a new folder")
    assert (folder / "seed=1").read_text() == "a note"


def test_bad_recordings_end_a_sweep_and_leave_nothing(sweep: Sweep, tmp_path: Path, run_cli: Cli) -> None:
    code, out, err = run_cli("sweep", "folder", "--data", tmp_path / "none", "--out", tmp_path / "s")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"stdl-events: error: {tmp_path / 'none'}: got no such folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("")
    code, _, err = run_cli("sweep", "folder", "--data", tmp_path / "none", "--out", tmp_path / "s")
    assert (code, "s: got something that is already there; expected a new folder, or that of the same" in err) == (
        2,
        True,
    )
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["mine.txt"]


def test_a_store_is_given_as_data(sweep: Sweep, folder_of_recordings: Path, tmp_path: Path, run_cli: Cli) -> None:
    """Its recordings, whose list every run reads, are not needed."""
    shutil.copytree(folder_of_recordings, tmp_path / "recordings")
    frames = (
        "--workers",
        "1",
        "--frames",
        "T=4,dt=20ms",
        "--split",
        "given",
        "--validation",
        "0.34",
        "--out",
        tmp_path / "store",
    )
    assert run_cli("prepare", "folder", "--data", tmp_path / "recordings", *frames)[0] == 0
    shutil.rmtree(tmp_path / "recordings")
    write_json(tmp_path / "base.json", sweep.base.model_dump(mode="json", exclude={"data": {"path"}}))
    arguments = ("folder", "--config", tmp_path / "base.json", "--data", tmp_path / "store", "--out", tmp_path / "s")
    code, out, err = run_cli("sweep", *arguments, "--seeds", "0,1", "--set", "optimiser.lr=0.005", "--json")
    assert code == 0, err
    runs = json.loads(out)["runs"]
    assert runs["seed=0"]["n"] == 18
    assert runs["seed=0"]["test_sha256"] == runs["seed=1"]["test_sha256"]
    assert json.loads(out)["base"]["data"]["prepared"] == str(tmp_path / "store")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epochs=2", "--vary", "epochs=1,2"], "--vary epochs: got a value of it as well; expected it once"),
        (["--set", "seed=2"], "--set seed: got a seed; expected --seeds; write for example --seeds 0,1,2"),
        (["--seeds", "a"], "--seeds: got 'a'; expected a valid integer"),
        (["--device", "cpu", "--vary", "device=cpu"], "--vary device: got a value of it as well"),
        (["--vary", "epochz=1,2"], "setting 'epochz': got no such setting"),
    ],
)
def test_a_setting_is_given_once(arguments: list[str], message: str, run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("sweep", "folder", "--out", tmp_path / "s", *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_settings_without_effect_are_said(run_cli: Cli, tmp_path: Path) -> None:
    asked = ("--vary", "schedule.step_factor=0.1,0.5", "--set", "schedule.kind=constant")
    asked += ("--set", "schedule.rise=0.1")
    code, _, err = run_cli("sweep", "folder", *asked, "--out", str(tmp_path / "sweep"))
    assert code == 2  # there is no folder of recordings
    assert "schedule.step_factor has no effect here: it needs schedule.kind=step" in err
    assert "schedule.rise has no effect here: it needs schedule.kind=one-cycle" in err


def test_nothing_is_chosen_without_validation_or_by_one_seed_less(sweep: Sweep, tmp_path: Path) -> None:
    from stdl_events.training.sweeps.sweep_folder import SweepRecord
    from stdl_events.training.sweeps.sweep_table import table_notes

    def run(accuracy: float, validation: float | None, test: str = "t") -> dict[str, Any]:
        validated = {} if validation is None else {"validation_accuracy": validation, "validation_sha256": "v"}
        return {"state": "finished", "accuracy": accuracy, "seconds": 1.0, "test_sha256": test} | validated

    names = [trial.name for trial in sweep.trials]
    failed = {"state": "failed", "error": "a reason"}

    def rows_of(*runs: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        record = SweepRecord(tmp_path, sweep, dict(zip(names, runs, strict=True)))
        rows = table_rows(record)
        return rows, "\n".join(table_notes(record, rows))

    rows, notes = rows_of(run(0.5, 0.7), run(0.9, 0.6), run(0.6, 0.7), run(0.8, 0.6))
    assert [row["chosen"] for row in rows] == [True, False], "by validation, against the held-out accuracy"
    assert rows[1]["against_first"] == {"mean": pytest.approx(0.3), "standard_error": pytest.approx(0.1), "n": 2}
    assert "lr=1e29: +0.300 ± 0.100 (standard error) against lr=0.005, 2 seeds in pairs" in notes
    rows, notes = rows_of(run(0.5, 0.7), run(0.9, 0.8), run(0.6, 0.7), failed)
    assert [row["chosen"] for row in rows] == [True, False], "the other has one seed less"
    assert rows[1]["against_first"] == {"mean": pytest.approx(0.4), "standard_error": None, "n": 1}
    assert "1 of 2 runs failed: lr=1e29 (seed 1): a reason" in notes
    rows, notes = rows_of(run(0.5, 0.7), run(0.9, 0.7), run(0.6, 0.7), run(0.8, 0.7))
    assert not any(row["chosen"] for row in rows)
    assert "nothing is chosen: equal on the validation part: lr=0.005; lr=1e29" in notes
    rows, notes = rows_of(run(0.5, None), run(0.9, None), run(0.6, None), run(0.8, None))
    assert not any(row["chosen"] for row in rows)
    assert "nothing is chosen: there is no validation part; add one with --validation 0.1" in notes
    rows, notes = rows_of(run(0.5, 0.7), run(0.9, 0.6, "u"), run(0.6, 0.7), run(0.8, 0.6, "u"))
    assert rows[1]["against_first"] is None
    assert "not compared with lr=0.005: no seed that tested the same recordings" in notes


def test_one_process_at_a_time(sweep: Sweep, finished: tuple[Path, list[str], int]) -> None:
    folder, _, _ = finished
    with (
        lock_of_run(folder),
        pytest.raises(RunError, match=r"s: got a sweep that process \d+ is running; expected one"),
    ):
        run_sweep(sweep, folder, quiet=True)
