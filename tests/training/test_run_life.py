"""The life of a run: best and last weights, early stop, more epochs, the same again, one process at a time, damage."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stdl_events.errors import RecipeError, RunError
from stdl_events.recordings import ClipArray, RecordingSet
from stdl_events.training import run as running
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_clips import Evaluation, MeanLogits, evaluate_clips
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.run_folder import lock_of_run
from stdl_events.training.run_weights import Best
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small(config: TrainConfig) -> TrainConfig:
    return config.derive(
        network={"notation": "4C3-AP4"}, learning={"rho": None, "rule": "sltt"}, augment={"shift_px": 0}
    )


@pytest.fixture
def validated(small: TrainConfig) -> TrainConfig:
    """Two of six recordings of each class validate."""
    return small.derive(data={"split": {"validation": 0.34}}, epochs=3)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Scripted:
    """Evaluations whose accuracy on the validation part is scripted; all others are real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> None:
        self.accuracies = list(accuracies)
        self.sides: list[int] = []
        monkeypatch.setattr(running, "evaluate_clips", self.evaluate)

    def evaluate(
        self, logits: MeanLogits, recordings: RecordingSet, clips: ClipArray, *, batch_size: int
    ) -> Evaluation:
        self.sides.append(len(recordings))
        evaluation = evaluate_clips(logits, recordings, clips, batch_size=batch_size)
        if len(recordings) == 6:
            right_N = torch.arange(len(clips)).numpy() < round(self.accuracies.pop(0) * len(clips))
            evaluation.probabilities_NK[:] = 0.1
            evaluation.probabilities_NK[right_N, clips.targets_N[right_N]] = 0.8
            evaluation.probabilities_NK[~right_N, (clips.targets_N[~right_N] + 1) % 3] = 0.8
        return evaluation


def test_validation_decides_and_the_test_part_is_opened_once(
    tmp_path: Path, validated: TrainConfig, monkeypatch: pytest.MonkeyPatch, run_cli: RunCli
) -> None:
    script = Scripted(monkeypatch, 0.25, 0.75, 0.5)
    run = tmp_path / "run"
    result = fit(validated, run, quiet=True)
    assert script.sides == [6, 6, 6, 9], "the nine held-out recordings come last"
    rows = read_metrics(run)
    epochs = [row for row in rows if row["kind"] == "epoch"]
    assert [row["validation_accuracy"] for row in epochs] == [0.25, 0.75, 0.5]
    assert not any("held_out_accuracy" in row for row in epochs)
    assert (rows[-1]["kind"], rows[-1]["best_epoch"], rows[-1]["held_out_accuracy"]) == (
        "end", 2, result.evaluation.accuracy,
    )  # fmt: skip
    best, last = (load_bundle(run / name)[1].provenance for name in ("best", "bundle"))
    assert (best["epochs"], best["validation_accuracy"], best["held_out_accuracy"]) == (
        2, 0.75, result.evaluation.accuracy,
    )  # fmt: skip
    assert (last["epochs"], "held_out_accuracy" in last) == (3, False)
    assert not same(weights(run / "best"), weights(run / "bundle"))
    assert evaluate(run).accuracy == evaluate(run, weights="best").accuracy == result.evaluation.accuracy
    code, out, err = run_cli("evaluate", run, "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, result.evaluation.accuracy)
    code, _, err = run_cli("evaluate", run, "--weights", "last")
    assert (code, f"{run}: last weights, after 3 epochs" in err) == (0, True)
    code, _, err = run_cli("evaluate", run, "--weights", "first")
    assert (code, err) == (2, "stdl-events: error: --weights: got 'first'; expected best or last; correct the option\n")


def test_equal_accuracy_is_decided_by_the_loss() -> None:
    class Fixed:
        def __init__(self, accuracy: float, loss: float) -> None:
            self.accuracy, self.loss = accuracy, loss

    best = Best()
    script = [(0.5, 2.0), (0.5, 2.0), (0.5, 1.0), (0.4, 0.1), (0.6, 9.0)]
    taken = [best.update(epoch, Fixed(*one)) for epoch, one in enumerate(script, start=1)]  # type: ignore[arg-type]
    assert taken == [True, False, True, False, True]
    assert best == Best(5, 0.6, 9.0)


def test_a_run_stops_early_and_stays_stopped(
    tmp_path: Path, validated: TrainConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patient = validated.derive(epochs=9, early_stop=2)
    script = Scripted(monkeypatch, 0.5, 0.25, 0.25, 0.75, 0.75)
    run = tmp_path / "run"
    fit(patient, run)
    assert "stopped early after epoch 3: epoch 1 was the best one" in capsys.readouterr().err
    assert script.sides == [6, 6, 6, 9]
    fit(patient, run, resume=True, quiet=True)
    assert script.sides[4:] == [9]
    fit(patient.derive(early_stop=4, epochs=5), run, resume=True, quiet=True)
    assert script.sides[5:] == [6, 6, 9]
    assert load_bundle(run / "best")[1].provenance["epochs"] == 4


def test_a_warning_of_the_end_stands_in_front_of_the_row_that_ends_a_run(
    tmp_path: Path, validated: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That row is the last one: by it `compare` and the report know a run that stopped early from an unfinished one."""
    monkeypatch.setattr(running, "warn_of_equal_answers", lambda *given: warnings.warn("all the same", stacklevel=2))
    with pytest.warns(UserWarning, match="all the same"):
        fit(validated.derive(epochs=1), tmp_path / "run", quiet=True)
    *_, warning, end = read_metrics(tmp_path / "run")
    assert (warning["kind"], warning["warnings"], end["kind"]) == ("warning", ["all the same"], "end")


def test_an_early_stop_needs_a_validation_part(tmp_path: Path, small: TrainConfig) -> None:
    with pytest.raises(RecipeError, match=r"early_stop: got 2, without a validation part; .*--validation 0\.1"):
        fit(small.derive(early_stop=2), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_more_epochs_and_the_same_again(tmp_path: Path, small: TrainConfig, run_cli: RunCli) -> None:
    constant = small.derive(schedule={"kind": "constant"}, epochs=1, sampling="balanced")
    run, whole = tmp_path / "run", tmp_path / "whole"
    fit(constant, run, quiet=True)
    code, _, err = run_cli("train", "--resume", run, "--set", "epochs=3")
    assert code == 0, err
    assert "epoch 3/3" in err
    fit(constant.derive(epochs=3), whole, quiet=True)
    assert same(weights(run / "bundle"), weights(whole / "bundle")), "a constant rate does not know the last epoch"
    code, _, err = run_cli("train", "--resume", run, "--set", "epochs=2")
    assert (code, "got 3 trained epochs; expected at most epochs=2; resume without" in err) == (2, True)
    code, _, err = run_cli("train", "--resume", run)
    assert (code, "trained already: 3 of 3 epochs; for more: --set epochs=13" in err) == (0, True)
    code, _, err = run_cli("train", "--resume", tmp_path)
    assert (code, f"{tmp_path}: got no run to resume; expected a folder with config.json" in err) == (2, True)
    code, _, err = run_cli("evaluate", run, "--weights", "best")
    assert (code, "got no best weights; expected a run with a validation part" in err) == (2, True)

    code, _, err = run_cli("train", run)
    assert code == 0, err
    again = tmp_path / "run-again"
    assert f"{run} was trained to epoch 1, then 3; from the start, with one schedule" in err
    assert same(weights(again / "bundle"), weights(whole / "bundle"))
    assert json.loads((again / "split.json").read_text()) == json.loads((run / "split.json").read_text())
    code, _, err = run_cli("train", run)
    assert (code, "run-again: got something that is already there" in err) == (2, True)
    code, _, err = run_cli("train", "--resume", run, "--out", again)
    assert (code, "is resumed where it is; leave --out out" in err) == (2, True)


def test_a_cosine_is_said_anew(tmp_path: Path, small: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    fit(small.derive(epochs=1), tmp_path / "run")
    fit(small.derive(epochs=2), tmp_path / "run", resume=True)
    said = "epochs=2 instead of 1: after epoch 1 the learning rate follows its cosine schedule over 2 epochs"
    assert capsys.readouterr().err.count(said) == 1


def test_one_process_at_a_time(tmp_path: Path, small: TrainConfig) -> None:
    run = tmp_path / "run"
    fit(small.derive(epochs=1), run, quiet=True)
    with lock_of_run(run), pytest.raises(RunError, match=r"run: got a run that process \d+ is training; expected one"):
        fit(small.derive(epochs=1), run, resume=True, quiet=True)
    (tmp_path / "new").mkdir()
    with lock_of_run(tmp_path / "new"), pytest.raises(RunError, match="is training; expected one at a time"):
        fit(small, tmp_path / "new", quiet=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".lock"]
