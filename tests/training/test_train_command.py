"""`stdl-events train` and `evaluate`: results on stdout, one line per error, and no files after an error."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stdl_events.cli.next_step import say_next_live
from stdl_events.model_card import ModelCard
from stdl_events.recipes import RECIPES
from stdl_events.training.metrics import read_metrics
from stdl_events.training.settings import TrainConfig

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recipe(tmp_path: Path, config: TrainConfig) -> Path:
    path = tmp_path / "small.py"
    path.write_text(
        "from stdl_events.training.settings import TrainConfig\n\n\n"
        f"def recipe():\n    return TrainConfig.model_validate_json({config.model_dump_json()!r})\n"
    )
    return path


def test_recipes_are_listed(run_cli: Cli) -> None:
    code, out, _ = run_cli("train", "--list")
    assert code == 0
    assert all(name in out for name in RECIPES)
    code, out, _ = run_cli("train", "--list", "--json")
    assert set(json.loads(out)["recipes"]) == set(RECIPES)


def test_train_then_evaluate(
    tmp_path: Path, recipe: Path, folder_of_recordings: Path, run_cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    quiet = ("--set", "learning.rate_penalty=3", "--set", "learning.target_rate=[0.1,0.2,0.3]")
    code, out, err = run_cli("train", recipe, "--out", run, "--set", "epochs=1", *quiet, "--device", "cpu", "--json")
    assert code == 0, err
    trained = json.loads(out)
    assert trained["run"] == str(run)
    assert trained["rule"] == "stdl"
    assert trained["report"] == str(run / "report.html")
    assert "held-out clips" in (run / "report.html").read_text()
    assert "epoch 1/1" in err
    assert json.loads((run / "config.json").read_text())["epochs"] == 1
    rows = [row for row in read_metrics(run) if row["kind"] in ("step", "epoch")]
    for row in rows:
        rates = [row[f"rate_layers.{layer}"] for layer in range(3)]
        assert all(0 <= rate <= 1 for rate in rates)
        assert row["mean_rate"] == pytest.approx(sum(rates) / 3)
    assert f"{rows[-1]['mean_rate']:.1%} fire" in err

    predictions = tmp_path / "predictions.json"
    code, out, err = run_cli("evaluate", run, "--json", "--predictions", predictions)
    assert code == 0, err
    evaluated = json.loads(out)
    same = (
        "accuracy", "n", "chance", "recording_accuracy", "recordings", "too_short", "labels", "confusion", "baselines",
        "accuracy_interval", "per_class", "ece", "nll",
    )  # fmt: skip
    assert [evaluated[key] for key in same] == [trained[key] for key in same]
    assert evaluated["n"] == 18
    density = evaluated["density"]
    assert [layer["name"] for layer in density["layers"]] == ["layers.0", "layers.1", "layers.2"]
    assert evaluated["chance"] == pytest.approx(1 / 3)
    clips = json.loads(predictions.read_text())["clips"]
    assert len(clips) == 18
    right = sum(clip["label"] == clip["predicted"] for clip in clips)
    assert right / 18 == evaluated["accuracy"]
    assert clips[0]["key"] == "test/left/0.raw"
    assert [clip["t_start_us"] for clip in clips[:2]] == [0, 80_000]

    code, _, err = run_cli("evaluate", run, "--data", "absent", "--predictions", tmp_path)
    assert code == 2
    assert f"{tmp_path}: got Is a directory" in err, "the place is checked before the recordings are read"

    for option in ("--side", "--through"):
        code, _, err = run_cli("evaluate", run, option, "other")
        assert code == 2
        assert f"error: {option}: got 'other'; expected" in err

    code, out, err = run_cli("evaluate", run)
    assert max(map(len, out.splitlines())) <= 80
    assert f"accuracy {evaluated['baselines']['ridge']:.4f} of a ridge on summed events" in out
    assert ", by 9 recordings" in out
    assert "per subject: unknown, since the recordings name none" in out
    (line,) = (line for line in out.splitlines() if line.startswith("layers.1 8C3-AP2-DP(0.1)"))
    assert line.split()[-2:] == [f"{density['layers'][1][key]:.1%}" for key in ("rate", "entering")]
    over_time = ", ".join(f"{accuracy:.3f}" for accuracy in evaluated["over_time"])
    assert f"accuracy after 1, 2, 3, 4 time steps: {over_time}" in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(evaluated["over_time"]) == 4
    assert err.endswith(f"next: stdl-events export {run} --out model.onnx\n")
    card = ModelCard.from_json((run / "bundle" / "model.json").read_text(), subject="card")
    say_next_live(Path("model.onnx"), card, run)
    said = capsys.readouterr().err
    assert said == f"next: stdl-events live model.onnx --source {folder_of_recordings / 'test/left/0.raw'}\n"
    assert f"accuracy {evaluated['accuracy']:.4f} on 18 held-out clips (chance 0.333)" in out
    assert "middle" in out


@pytest.mark.parametrize(("command", "holder"), [("train", "config.json"), ("sweep", "sweep.json")])
def test_a_folder_that_holds_no_run_is_said(tmp_path: Path, run_cli: Cli, command: str, holder: str) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        code, out, err = run_cli(command, folder)
        assert (code, out) == (2, "")
        assert f"{folder}: got no {holder} there; expected the folder of a " in err
        assert "a recipe's name, or a .py file; correct the path" in err


def test_runs_are_named_after_their_recipe(
    tmp_path: Path, recipe: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli("train", recipe, "--set", "epochs=1", "--set", "name=mine")
    assert code == 0, err
    assert (tmp_path / "runs" / "mine" / "bundle" / "model.json").is_file()
    code, _, err = run_cli("train", recipe, "--set", "epochs=1", "--set", "name=mine")
    assert code == 2
    assert err == (
        "stdl-events: error: runs/mine: got something that is already there; expected a new folder for this run; "
        "give --resume to go on with it, or another folder with --out\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epochz=3"], "setting 'epochz': got no such setting; expected one of name, "),
        (["--set", "learning.budget=1KB"], "memory budget: got 1000 bytes; expected at least "),
        (
            ["--data", "nowhere"],
            "nowhere: got no such folder; expected a folder of recordings; check the path",
        ),
        (
            ["--resume"],
            "run: got no run to resume; expected a folder with config.json; correct the path, or start a run without",
        ),
        (["--set", "learning.rule=stld"], "setting 'learning.rule': got 'stld'; expected "),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    tmp_path: Path, recipe: Path, run_cli: Cli, arguments: list[str], message: str
) -> None:
    run = tmp_path / "run"
    code, out, err = run_cli("train", recipe, "--out", run, *arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
    assert not run.exists()


def test_a_folder_without_recordings_is_told(tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "data" / "walking").mkdir(parents=True)
    (tmp_path / "data" / "standing").mkdir()
    code, _, err = run_cli("train", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "expected <class>/<recording> or <class>.<suffix>" in err
    code, _, err = run_cli("train", "folder", "--out", tmp_path / "run")
    assert code == 2
    assert "recipe folder: got no folder of recordings; expected the folder where they are; name it with --data" in err


def test_without_torch_the_extra_is_named(tmp_path: Path, recipe: Path) -> None:
    """In a process of its own: in this one, modules that hold torch are there already."""
    program = "import sys; sys.modules['torch'] = None; from stdl_events.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "train", recipe, "--out", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        "stdl-events: error: package torch: got not installed; expected the packages for training; "
        "pip install 'stdl-events[train]'\n"
    )


def test_no_recipe_is_a_usage_error(run_cli: Cli) -> None:
    code, _, err = run_cli("train")
    assert code == 2
    assert "give a recipe's name or a .py file, or --list" in err


def test_evaluate_needs_a_finished_run(tmp_path: Path, run_cli: Cli) -> None:
    code, _, err = run_cli("evaluate", tmp_path / "none")
    assert code == 2
    assert "got no config.json; expected the folder of a run" in err
