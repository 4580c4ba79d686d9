"""One training run: its files, repetition, kill and resumption, and its errors."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import command_line, ended, forked

from stdl_events.errors import DatasetError, PlanError, RecipeError, RunError
from stdl_events.plan.plan import Plan
from stdl_events.training import prefetch
from stdl_events.training.bundle import load_bundle
from stdl_events.training.checkpoint import load_checkpoint
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.metrics import METRICS_FILE, read_metrics
from stdl_events.training.run import Run
from stdl_events.training.run_folder import CHECKPOINT_FILE, load_config
from stdl_events.training.settings import TrainConfig

STEPS = 10  # 36 clips in batches of at most 8, two epochs
TIMES = {"unix_s", "samples_per_s", "seconds", "peak_rss_bytes", "peak_cuda_bytes"}


def flat_tensors(tree: Any, path: str = "") -> dict[str, torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    return {name: leaf for key, value in items for name, leaf in flat_tensors(value, f"{path}/{key}").items()}


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, auxiliary weights, optimiser, random state and metrics are equal, bit for bit."""
    ours, theirs = (flat_tensors(load_checkpoint(folder / CHECKPOINT_FILE)) for folder in (one, other))
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("/learner/optimizer") for name in ours)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert timeless_rows(one) == timeless_rows(other)


def timeless_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows without measured times; a resumption adds rows of kind `start`."""
    rows = [row for row in read_metrics(folder) if row["kind"] != "start"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainConfig], Path]:
    """The folder of an uninterrupted run of a configuration; each is trained once."""
    runs: dict[str, Path] = {}

    def train(config: TrainConfig) -> Path:
        key = config.model_dump_json()
        if key not in runs:
            runs[key] = tmp_path_factory.mktemp("runs") / "run"
            fit(config, runs[key], quiet=True)
        return runs[key]

    return train


def test_run_leaves_all_it_promises(tmp_path: Path, config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    result = fit(config, tmp_path / "run")
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "plan.json", "split.json", "metrics.jsonl", "tensorboard", "checkpoint.safetensors", "bundle",
        "baselines.json", ".lock",
    }  # fmt: skip
    assert load_config(folder) == config
    plan = Plan.load(folder / "plan.json")
    assert plan == result.learner.plan
    assert len(plan.blocks) == 2
    network, card = load_bundle(folder / "bundle")
    bundled = {"model.json", "model.safetensors", "model.safetensors.sha256"}
    assert {path.name for path in (folder / "bundle").iterdir()} == bundled
    assert flat_tensors(network.state_dict()).keys() == flat_tensors(result.learner.network.state_dict()).keys()
    assert card.labels == ("left", "middle", "right")
    assert card.frame.sensor_size == (16, 16)
    assert card.provenance["held_out_accuracy"] == result.evaluation.accuracy
    assert len(result.evaluation.clips) == 18
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "epoch 2/2  loss" in streams.err


def test_metrics_tell_everything(config: TrainConfig, finished: Callable[[TrainConfig], Path]) -> None:
    rows = read_metrics(finished(config))
    kinds = [row["kind"] for row in rows]
    assert kinds == ["start", *["step"] * 2, "epoch", *["step"] * 3, "epoch"]
    start, first_step, last_epoch = rows[0], rows[1], rows[-1]
    assert (start["device"], start["rule"], start["train_clips"], start["held_out_clips"]) == ("cpu", "stdl", 36, 18)
    assert start["planned_step_bytes"] > 0
    assert first_step.keys() == {"kind", "step", "unix_s", "loss", "accuracy", "samples_per_s", "peak_rss_bytes", "lr"}
    assert [row["step"] for row in rows[1:]] == [2, 4, 5, 6, 8, 10, STEPS]
    assert last_epoch["epoch"] == 2
    assert last_epoch["peak_rss_bytes"] > 10_000_000
    assert {"held_out_accuracy", "held_out_loss", "seconds"} < last_epoch.keys()
    losses = [row["loss"] for row in rows if row["kind"] == "epoch"]
    assert losses[1] < losses[0]


def test_two_runs_are_one_and_another_seed_is_another(
    tmp_path: Path, config: TrainConfig, finished: Callable[[TrainConfig], Path]
) -> None:
    torch.rand(3)  # the caller's random state must not matter
    before = torch.get_rng_state()
    fit(config, tmp_path / "again", quiet=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_run(tmp_path / "again", finished(config))
    fit(config.derive(seed=1), tmp_path / "other", quiet=True)
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "other", finished(config))


@pytest.mark.parametrize(
    ("killed_after", "how"),
    [
        (0, None),
        (1, None),
        (4, None),
        (5, None),
        (9, None),
        (3, signal.SIGINT),
        (5, signal.SIGTERM),
        (9, signal.SIGINT),
    ],
)
def test_killed_and_resumed_is_as_if_nothing_had_happened(
    tmp_path: Path,
    config: TrainConfig,
    finished: Callable[[TrainConfig], Path],
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int,
    how: signal.Signals | None,
) -> None:
    """Killed by an error of a batch that is made ahead, or ended by a signal, which keeps that step's weights too."""
    place, own = (prefetch, "batch_of") if how is None else (Run, "_set_learning_rate")
    calls, function = 0, getattr(place, own)

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        if calls == killed_after and how is None:
            raise RuntimeError("killed")
        if calls == killed_after and how is not None:
            signal.raise_signal(how)
        calls += 1
        return function(*arguments)

    folder = tmp_path / "run"
    often = config.derive(checkpoint_every_steps=3)
    ended = {None: RuntimeError, signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}[how]
    with monkeypatch.context() as patch:
        patch.setattr(place, own, dying)
        with pytest.raises(ended) as caught:
            fit(often, folder, quiet=True)
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 128 + signal.SIGTERM
    assert (folder / "bundle").exists() == (how is not None or killed_after >= STEPS // 2)
    if how is not None:
        assert calls == killed_after + 1, "the step is finished"
        _, card = load_bundle(folder / "bundle")
        assert card.provenance["steps"] == calls
        assert len(evaluate(folder).clips) == 18
    torch.rand(5)
    result = fit(config, folder, resume=True, quiet=True)
    assert_same_run(folder, finished(config))
    assert result.evaluation.accuracy == evaluate(finished(config)).accuracy


def test_killed_processes_resume_from_the_command_line(
    tmp_path: Path,
    config: TrainConfig,
    finished: Callable[[TrainConfig], Path],
    run_cli: Callable[..., tuple[int, str, str]],
) -> None:
    """SIGKILL after the first checkpoint, SIGTERM a random time after the start of a resumption, then to the end."""
    folder = tmp_path / "run"
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from stdl_events.training.settings import TrainConfig\n\n\n"
        f"def recipe():\n    return TrainConfig.model_validate_json({config.model_dump_json()!r})\n"
    )
    often = ("--set", "checkpoint_every_steps=1")
    process = forked(command_line, "train", recipe, "--out", folder, *often)
    while process.is_alive() and not (folder / CHECKPOINT_FILE).exists():
        time.sleep(0.01)
    process.kill()
    assert ended(process) in (-signal.SIGKILL, 0)
    rows = (folder / METRICS_FILE).read_bytes()
    process = forked(command_line, "train", "--resume", folder, *often)
    while process.is_alive() and (folder / METRICS_FILE).read_bytes() == rows:
        time.sleep(0.01)
    process.terminate()
    assert ended(process) in (128 + signal.SIGTERM, 0)
    code, out, err = run_cli("train", "--resume", folder, "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == evaluate(finished(config)).accuracy
    assert_same_run(folder, finished(config))


def test_finished_run_resumed_stays_as_it_is(tmp_path: Path, config: TrainConfig) -> None:
    folder = tmp_path / "run"
    first = fit(config, folder, quiet=True)
    again = fit(config, folder, resume=True, quiet=True)
    assert again.evaluation.accuracy == first.evaluation.accuracy
    assert [row["step"] for row in read_metrics(folder) if row["kind"] == "start"] == [0, STEPS]


def test_rules_that_cut_nothing_train_the_same_recipe(tmp_path: Path, config: TrainConfig) -> None:
    for rule in ("sltt", "bptt"):
        result = fit(config.derive(learning={"rule": rule}, epochs=1), tmp_path / rule, quiet=True)
        assert result.learner.plan is None
        assert not (tmp_path / rule / "plan.json").exists()


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"learning": {"rho": None, "budget": "1KiB"}}, PlanError, "memory budget: got 1024 bytes; expected at least "),
        ({"data": {"path": "nowhere"}}, DatasetError, "nowhere: got no such folder; expected a folder of recordings"),
        ({"data": {"path": None}}, DatasetError, "recipe folder: got no folder of recordings; expected the folder"),
        (
            {"frames": {"steps": 50}},
            DatasetError,
            "recordings: got 18 without one complete clip, 160 ms at most; expected",
        ),
        (
            {"frames": {"filters": {"background_us": 1}}},
            DatasetError,
            "recordings: got 18 without one complete clip, 160 ms at most; clips begin and end with the events that "
            "frames.filters.background_us leave",
        ),
        (
            {"data": {"walkers": {"people": 3}}},
            RecipeError,
            "data.walkers: got people, and the dataset folder; expected",
        ),
        ({"augment": {"shift_px": 1000}}, RecipeError, "augment: got 32 of 32 clips without any event after "),
        ({"network": {"notation": "999999999C3"}, "learning": {"rule": "sltt"}}, RunError, "memory: got "),
        ({"data": {"split": {"rule": "recording"}}}, DatasetError, "{root}: got the folders train and test, a given"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(
    tmp_path: Path, config: TrainConfig, changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        fit(config.derive(**changes), tmp_path / "runs" / "run", quiet=True)
    assert str(caught.value).startswith(text.format(root=config.data.path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_cuda_device_is_said(tmp_path: Path, config: TrainConfig) -> None:
    with pytest.raises(RecipeError, match="device 'cuda': got no CUDA device that this torch can use"):
        fit(config.derive(device="cuda"), tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_not_finite_stops_the_run(tmp_path: Path, config: TrainConfig) -> None:
    wild = config.derive(optimiser={"kind": "sgd", "lr": 1e30}, log_every_steps=1)
    with pytest.raises(
        RunError, match=r"got a loss of (nan|inf) of block \d after \d steps?; expected a finite loss; use a"
    ):
        fit(wild, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "bundle").exists()
    assert all(json.loads(line) for line in (tmp_path / "run" / METRICS_FILE).read_text().splitlines())
