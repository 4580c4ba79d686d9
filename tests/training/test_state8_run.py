"""A run with membrane potentials in eight bits: resumed, exported, predicted with and streamed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stdl_events
from stdl_events.live.predict import clip_row
from stdl_events.live.session import OnnxSession
from stdl_events.training import prefetch
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.run_folder import BUNDLE_FOLDER
from stdl_events.training.settings import TrainConfig

KILLED_AFTER = 4


@pytest.fixture
def small(config: TrainConfig) -> TrainConfig:
    learning = {"rule": "sltt", "memory": "lean", "precision": "int8-state", "rho": None}
    return config.derive(
        network={"notation": "8C3-AP2-DP(0.1)-8C3"}, learning=learning, checkpoint_every_steps=3, epochs=1
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    network, _ = load_bundle(run / BUNDLE_FOLDER)
    return network.state_dict()


def test_a_resumed_run_is_exported_predicts_and_streams(
    tmp_path: Path, small: TrainConfig, monkeypatch: pytest.MonkeyPatch, run_cli: Any
) -> None:
    fit(small, tmp_path / "whole", quiet=True)
    run, calls, batch_of = tmp_path / "run", 0, prefetch.batch_of

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > KILLED_AFTER:
            raise RuntimeError("killed")
        return batch_of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(prefetch, "batch_of", dying)
        with pytest.raises(RuntimeError, match="killed"):
            fit(small, run, quiet=True)
    fit(small, run, resume=True, quiet=True)
    uninterrupted = weights(tmp_path / "whole")
    assert all(torch.equal(value, uninterrupted[name]) for name, value in weights(run).items())

    network, card = load_bundle(run / BUNDLE_FOLDER)
    assert {entry.dtype for entry in network.initial_state(1)} == {torch.int8}
    assert card.state_format is not None
    model = tmp_path / "model.onnx"
    code, _, err = run_cli("export", run, "--out", model, "--check-steps", 20)
    assert code == 0, err
    assert {entry.dtype for entry in OnnxSession(model).initial_state(1)} == {np.dtype(np.int8)}

    held_out = Path(small.data.path) / "test"
    by_run, by_file = (
        {one.name: [clip_row(one, clip) for clip in one.clips] for one in stdl_events.predict(way, held_out, **options)}
        for way, options in ((run, {"device": "cpu"}), (model, {}))
    )
    assert sum(map(len, by_file.values())) == len(evaluate(run).clips) == 18
    # A potential within rounding of the middle between two integers may become either, and end in another spike.
    apart = [
        max(abs(ours["probabilities"][label] - theirs["probabilities"][label]) for label in card.labels)
        for name in by_run
        for ours, theirs in zip(by_run[name], by_file[name], strict=True)
    ]
    assert np.median(apart) < 1e-5

    name, rows = next(iter(by_file.items()))
    code, out, err = run_cli("live", model, "--source", held_out / name, "--speed", "max", "--json-lines")
    assert code == 0, err
    streamed = [json.loads(line) for line in out.splitlines()][:-1]
    assert [row["label"] for row in streamed] == [row["label"] for row in rows]
    for live, row in zip(streamed, rows, strict=True):
        assert live["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)
