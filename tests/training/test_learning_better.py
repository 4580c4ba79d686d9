"""Averaged weights, accumulated gradients and frozen layers in a run: what is kept, said, resumed and refused."""

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from stdl_events.errors import RuleError
from stdl_events.learning.learner import Learner
from stdl_events.recipes import load_recipe
from stdl_events.training.checkpoint import load_checkpoint
from stdl_events.training.data import batch_of
from stdl_events.training.evaluation.evaluate_clips import evaluate_clips, network_logits
from stdl_events.training.fit import RunResult, fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]
UPDATES = 6  # 36 clips in five batches of two epochs, two of them in an update


@pytest.fixture(scope="module")
def better(folder_of_recordings: Path) -> TrainConfig:
    return load_recipe("folder").derive(
        data={"path": str(folder_of_recordings), "split": {"rule": "given"}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP4-4C3"},
        learning={"rule": "sltt"},
        averaging={"decay": 0.5},
        accumulate=2,
        freeze=("layers.0.body.synapse.norm", "layers.2.*.bias"),
        epochs=2,
        batch_size=8,
        log_every_steps=1,
        prefetch=0,
        device="cpu",
    )


@pytest.fixture(scope="module")
def whole(better: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, fit(better, run, quiet=True)


def weights(learner_or_folder: Learner | Path) -> dict[str, torch.Tensor]:
    if isinstance(learner_or_folder, Path):
        return load_file(learner_or_folder / "bundle" / "model.safetensors")
    return learner_or_folder.trained_network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_averaged_weights_are_what_is_evaluated_and_kept(better: TrainConfig, whole: tuple[Path, RunResult]) -> None:
    run, result = whole
    learner = result.learner
    assert same(weights(run), weights(learner))
    assert not same(weights(run), learner.network.state_dict())
    evaluation = result.evaluation
    again = evaluate_clips(
        network_logits(learner.trained_network), evaluation.recordings, evaluation.clips, batch_size=8
    )
    assert (again.probabilities_NK == evaluation.probabilities_NK).all()
    average = load_checkpoint(run / "checkpoint.safetensors")["learner"]["average"]
    assert average["updates"] == UPDATES
    assert same(average["network"], weights(run))


def test_steps_and_the_schedule_count_updates(whole: tuple[Path, RunResult]) -> None:
    rows = [row for row in read_metrics(whole[0]) if row["kind"] == "step"]
    assert [row["step"] for row in rows] == list(range(1, UPDATES + 1))
    expected = [0.01 * 0.5 * (1 + math.cos(math.pi * step / UPDATES)) for step in range(UPDATES)]
    assert [row["lr"] for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize("how", [None, signal.SIGTERM])
def test_killed_within_an_update_and_resumed(
    tmp_path: Path, better: TrainConfig, whole: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    """A signal lets the update of its batch be completed."""
    batches = 0

    def dying(*arguments: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 7 and how is None:
            raise RuntimeError("killed")
        if batches == 7:
            signal.raise_signal(how)
        return batch_of(*arguments)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("stdl_events.training.prefetch.batch_of", dying)
        with pytest.raises(RuntimeError if how is None else SystemExit):
            fit(better.derive(checkpoint_every_steps=2), run, quiet=True)
    assert batches == (7 if how is None else 8), "the next one is made and not trained on"
    position = load_checkpoint(run / "checkpoint.safetensors")["position"]
    assert (position["step"], position["epoch"], position["batch"]) == ((4, 1, 2) if how else (3, 1, 0))
    fit(better, run, resume=True, quiet=True)
    assert same(weights(run), weights(whole[0]))
    checkpoints = [load_checkpoint(folder / "checkpoint.safetensors")["learner"] for folder in (run, whole[0])]
    for one, other in zip(*(state["average"]["network"].values() for state in checkpoints), strict=True):
        assert torch.equal(one, other)


def test_frozen_parts_are_said_and_keep_their_values(
    tmp_path: Path, better: TrainConfig, whole: tuple[Path, RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    second = better.derive(init=str(whole[0]), freeze=("2",), epochs=1, accumulate=1, averaging={"decay": None})
    fit(second, tmp_path / "second")
    first, ended = weights(whole[0]), weights(tmp_path / "second")
    stays = {name for name in first if torch.equal(first[name], ended[name])}
    assert stays == {name for name in first if name.startswith(("layers.0.", "layers.1."))}
    said = capsys.readouterr().err
    weights_of = {0: 4 * 2 * 9 + 2 * 4, 1: 4 * 4 * 9 + 2 * 4, 2: 3 * 4 + 3}
    frozen, total = weights_of[0] + weights_of[1], sum(weights_of.values())
    assert f"frozen: {frozen} of {total} weights, 2 of 3 whole layers: layers.0, layers.1\n" in said


def test_a_name_that_nothing_has_is_told_with_those_that_there_are(
    tmp_path: Path, better: TrainConfig, run_cli: RunCli
) -> None:
    for wrong in ("head", "layers.3"):
        message = (
            rf"freeze '{wrong}': got a name that nothing has; expected a number of first layers, one of layers\.0, "
        )
        with pytest.raises(
            RuleError, match=message + r"layers\.1, layers\.2, or a part of one such as layers\.0\.body\."
        ):
            fit(better.derive(freeze=(wrong,)), tmp_path / "run", quiet=True)
    with pytest.raises(RuleError, match=r"freeze: got 3, which is the whole network; expected something that is left"):
        fit(better.derive(freeze=("3",)), tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []
    code, out, _ = run_cli("train", "folder", "--freeze", "1", "--freeze", "layers.2.*", "--show", "--json")
    assert code == 0
    assert json.loads(out)["settings"]["freeze"] == {"value": ["1", "layers.2.*"], "from": "option"}


def test_rules_that_update_within_a_sequence_accumulate_nothing(tmp_path: Path, better: TrainConfig) -> None:
    with pytest.raises(RuleError, match="rule ottt-o: got gradients to accumulate over batches"):
        fit(better.derive(learning={"rule": "ottt-o"}), tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []
