"""The commands `memory`, `plan` and `cost` for a recipe or a run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from class_recordings import CLASSES, SENSOR_SIZE, draw_events

from stdl_events.cli.find_training import find_training
from stdl_events.events import write_recording
from stdl_events.frames import FrameSpec
from stdl_events.recipes import load_recipe
from stdl_events.recordings.registry import DATASETS
from stdl_events.training.build_learner import step_bytes
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_split, sensor_and_classes
from stdl_events.training.run_folder import load_config
from stdl_events.training.settings import TrainConfig

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def document(run_cli: Cli) -> Callable[..., dict]:
    def call(*arguments: object) -> dict:
        code, out, err = run_cli(*arguments, "--json")
        assert code == 0, err
        found: dict = json.loads(out)
        return found

    return call


def frames_of(config: TrainConfig) -> FrameSpec:
    return config.frames.spec(SENSOR_SIZE)


def test_a_recipe_with_its_recordings(folder_of_recordings: Path, document: Callable[..., dict]) -> None:
    small = ["--set", "network.notation=8C3-AP2-12C3-12C3", "--set", "batch_size=4"]
    config = load_recipe("folder").derive(network={"notation": "8C3-AP2-12C3-12C3"}, batch_size=4)
    peak = step_bytes(config, frames_of(config), len(CLASSES))
    found = document("memory", "folder", "--data", folder_of_recordings, *small)
    assert found["peak_bytes"] == peak
    assert found["input_shape"] == [2, 16, 16]
    assert found["network"] == "8C3-AP2-12C3-12C3-3FC"
    assert (found["rule"], found["optimizer"], found["batch"], found["steps"]) == ("stdl", "adamw", 4, 10)
    assert [block["auxiliary"] is None for block in found["blocks"]] == [False, True]
    assert found["note"] is None
    planned = document("plan", "folder", "--data", folder_of_recordings, *small)
    assert (planned["total_bytes"], planned["setting"]["rule"], planned["note"]) == (peak, "stdl", None)
    costs = document("cost", "folder", "--data", folder_of_recordings, *small, "--rule", "sltt")
    assert (costs["network"], costs["batch"], costs["steps"]) == ("8C3-AP2-12C3-12C3-3FC", 4, 10)


def test_options_of_the_command_change_the_recipe(document: Callable[..., dict]) -> None:
    given = ["--input", "2x8x8", "--classes", 4, "--network", "4C3-6C3-6C3"]
    found = document(
        "memory", "folder", *given, "--batch", 2, "--steps", 3, "--plain", "--optimizer", "sgd", "--neuron", "alif",
        "--rule", "tbptt", "--option", "k=2",
    )  # fmt: skip
    names = ("network", "input_shape", "batch", "steps", "mode", "optimizer", "neuron", "rule")
    assert [found[name] for name in names] == ["4C3-6C3-6C3-4FC", [2, 8, 8], 2, 3, "plain", "sgd", "alif", "tbptt"]
    one = document("plan", "folder", *given, "--set", "learning.rho=2", "--least-blocks", 1)
    assert len(one["blocks"]) == 1
    assert one["note"] == "one block: with the network in one piece, stdl is SLTT"


def test_a_run_knows_its_frames_and_classes(
    tmp_path: Path, config: TrainConfig, document: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    result = fit(config.derive(epochs=1), run)
    shown = capsys.readouterr().err
    stored = json.loads((run / "plan.json").read_text())
    assert stored == result.plan
    assert (stored["setting"]["rule"], stored["note"]) == ("stdl", None)
    for number, block in enumerate(stored["blocks"], 1):
        assert f"block {number}: {block['subnetwork']}" in shown
    assert f"plan: {len(stored['blocks'])} blocks; peak " in shown
    found = document("memory", run)
    assert found["peak_bytes"] == stored["total_bytes"] == step_bytes(config, frames_of(config), len(CLASSES))
    assert document("plan", run)["total_bytes"] == stored["total_bytes"]
    # The recordings are not read: they may be on another machine.
    moved = load_config(run).derive(data={"path": "nowhere"})
    (run / "config.json").write_text(moved.model_dump_json())
    assert document("memory", run)["peak_bytes"] == stored["total_bytes"]


def test_one_block_says_what_it_is_where_it_is_trained(
    tmp_path: Path, config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    fit(config.derive(epochs=1, learning={"rho": 2.0, "least_blocks": 1}), run)
    words = "one block: with the network in one piece, stdl is SLTT"
    assert f"plan: {words}; peak " in capsys.readouterr().err
    assert json.loads((run / "plan.json").read_text())["note"] == words
    start = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert (start["blocks"], start["note"]) == (1, words)


def test_a_recipe_trains_in_two_blocks_whatever_memory_is_left(
    folder_of_recordings: Path, document: Callable[..., dict]
) -> None:
    found = document("plan", "folder", "--data", folder_of_recordings, "--set", "learning.budget=2GB", "--batch", 2)
    assert len(found["blocks"]) == 2
    assert found["budget_bytes"] == 2 * 10**9


def test_the_shape_needs_no_events(tmp_path: Path) -> None:
    for name in ("nmnist", "cifar10_dvs", "dvs_gesture"):
        known = load_recipe("folder").derive(data={"dataset": name})
        assert sensor_and_classes(known) == (DATASETS[name].sensor_size, DATASETS[name].classes)
    walkers = load_recipe("demo_walkers").derive(data={"walkers": {"people": 3, "sensor_size": (20, 30)}})
    assert sensor_and_classes(walkers) == ((20, 30), 3)
    assert not Path("runs").exists() or not list(Path("runs").glob("walkers-3x*-20x30-*"))


def test_the_shape_of_a_folder_is_that_of_its_split(folder_of_recordings: Path, config: TrainConfig) -> None:
    split = load_split(config)
    assert sensor_and_classes(config) == (split.train.sensor_size, len(split.train.classes))


def test_other_recordings_of_a_run_are_looked_at(
    tmp_path: Path, config: TrainConfig, document: Callable[..., dict]
) -> None:
    run = tmp_path / "run"
    fit(config.derive(epochs=1), run, quiet=True)
    for label, name in enumerate("ab"):
        path = tmp_path / "other" / name / "0.h5"
        path.parent.mkdir(parents=True)
        write_recording(path, draw_events(label, np.random.default_rng(0)), (20, 24))
    found = document("memory", run, "--data", tmp_path / "other")
    assert found["input_shape"] == [2, 24, 20]
    assert found["network"].endswith("-2FC")
    assert find_training(str(run)).card is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory"], "what to measure: got neither a recipe or a run, nor all of --network, --input and --classes"),
        (["plan", "--network", "vgg11", "--classes", "3"], "what to measure: got neither a recipe or a run"),
        (["memory", "folder"], "recipe folder: got no folder of recordings; expected the folder where they are; name"),
        (["memory", "none/such"], "training 'none/such': got no such recipe and no such folder"),
        (["memory", "."], "got no config.json; expected the folder of a run"),
        (["cost", "--network", "vgg11", "--set", "epochs=3"], "--set: got no recipe"),
        (["memory", "nmnist_small", "--rule", "sltt", "--budget", "1GB"], "plan options: got budget with rule sltt"),
        (["plan", "nmnist_small", "--rule", "sltt"], "rule sltt: got a rule that makes no plan"),
        (["memory", "nmnist_small", "--set", "epochz=3"], "setting 'epochz': got no such setting"),
        (["memory", "nmnist_small", "--option", "k=3"], "rule stdl: got the option k; expected no options"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
