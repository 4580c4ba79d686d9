"""`--init`: a training starts with the weights of a finished run of the same network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stdl_events.errors import RunError
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.recipes import load_recipe
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.bundle import save_bundle
from stdl_events.training.settings import TrainConfig

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config() -> TrainConfig:
    """One step; a network in one piece."""
    changes = {"network": {"notation": "4C3-AP2-4C3"}, "learning": {"rule": "sltt"}}
    return load_recipe("folder").derive(**changes, frames={"steps": 1}, batch_size=2, seed=1, device="cpu")


@pytest.fixture
def first_stage(tmp_path: Path, config: TrainConfig) -> SpikingNetwork:
    """Its network with other running statistics, as the bundle of the run `first`."""
    frame_spec = config.frames.spec((8, 8))
    network = build_configured_learner(config, frame_spec, 3).network
    for name, values in network.named_buffers():
        if name.endswith("running_mean"):
            values.fill_(0.25)
    card = ModelCard(
        network=network.spec.to_dict(), frame=frame_spec, labels=("a", "b", "c"), readout="reset",
        state_shapes=network.state_shapes,
    )  # fmt: skip
    save_bundle(tmp_path / "first" / "bundle", network, card)
    return network


@pytest.mark.parametrize("folder", ["first", "first/bundle"])
def test_a_second_stage_starts_where_the_first_ended(
    tmp_path: Path, config: TrainConfig, first_stage: SpikingNetwork, folder: str
) -> None:
    second = config.derive(
        frames={"steps": 3},
        network={"neuron": {"decay": 0.5}},
        learning={"rule": "stdl"},
        seed=2,
        init=str(tmp_path / folder),
    )
    learner = build_configured_learner(second, second.frames.spec((8, 8)), 3)
    assert learner.network.spec.neuron.decay == 0.5
    started, ended = learner.network.state_dict(), first_stage.state_dict()
    assert started.keys() == ended.keys()
    assert all(torch.equal(started[name], ended[name]) for name in ended)
    fresh = build_configured_learner(second.derive(init=None), second.frames.spec((8, 8)), 3).network
    assert not torch.equal(next(fresh.parameters()), next(first_stage.parameters()))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"notation": "4C3-AP2-8C3"}},
        {"network": {"norm": "none"}},
        {"network": {"neuron": {"kind": "plif"}}},
    ],
)
@pytest.mark.usefixtures("first_stage")
def test_another_network_is_refused(tmp_path: Path, config: TrainConfig, changes: dict[str, object]) -> None:
    second = config.derive(init=str(tmp_path / "first"), **changes)
    with pytest.raises(RunError, match=r"first: got 4C3-AP2-4C3-3FC of lif neurons, norm batch, for frames of 2x8x8"):
        build_configured_learner(second, second.frames.spec((8, 8)), 3)


@pytest.mark.parametrize(("path", "got"), [("", r"no model\.json"), ("gone", "nothing there"), ("a.onnx", "a file")])
def test_a_folder_without_a_network_is_told(tmp_path: Path, config: TrainConfig, path: str, got: str) -> None:
    (tmp_path / "a.onnx").touch()
    second = config.derive(init=str(tmp_path / path))
    with pytest.raises(RunError, match=f"got {got}"):
        build_configured_learner(second, second.frames.spec((8, 8)), 3)
    build_configured_learner(second, second.frames.spec((8, 8)), 3, is_restored=True)


def test_the_option_is_a_setting(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli("train", "imagenet", "--variant", "finetune", "--init", "runs/imagenet", "--show")
    assert code == 0, err
    shown = "".join(out.split())
    assert f"init{tmp_path / 'runs/imagenet'}"[:40] in shown
