"""Every program in apps/ runs, small, on synthetic data. A program without an entry here fails the collection."""

import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events import write_recording
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.live import OnnxSession
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.zoo import parse_network
from stdl_events.recipes import load_recipe
from stdl_events.training.bundle import save_bundle

APPS = Path(__file__).resolve().parent.parent / "apps"
SMALL = {
    "network": {"notation": "4C3-8C3-AP2-8C3"},
    "learning": {"rho": 0.95, "memory": "plain"},
    "frames": {"steps": 4, "dt_us": 20_000, "downscale": 1},
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
}


def load_app(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, APPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_small_app(name: str, **changes: object) -> ModuleType:
    """Return the program with a smaller recipe."""
    module = load_app(name)
    own = module.recipe
    module.recipe = lambda: own().derive(**SMALL | changes)
    return module


def draw_events(label: int, duration_us: int) -> EventArray:
    rng = np.random.default_rng(label)
    events = empty_events(1000)
    events["t"] = np.linspace(0, duration_us - 1, 1000)
    events["x"], events["y"] = 8 * label + rng.integers(0, 8, 1000), rng.integers(0, 16, 1000)
    events["p"] = rng.random(1000) < 0.5
    return events


def one_long_recording_per_class(folder: Path) -> Path:
    folder.mkdir()
    for label, name in enumerate(("left", "right")):
        write_recording(folder / f"{name}.h5", draw_events(label, 2_000_000), (16, 16))
    return folder


def train_gait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walkers = {"people": 2, "per_person": 4, "sensor_size": (16, 16), "duration_us": 160_000}
    load_small_app("train_gait", data={"walkers": walkers}).main()
    assert "of 4 held-out clips are recognised" in capsys.readouterr().out
    assert (tmp_path / "runs" / "gait" / "bundle" / "model.json").is_file()


def train_activity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = one_long_recording_per_class(tmp_path / "recordings")
    load_small_app("train_activity", learning={"rho": None}).main(str(recordings), "1MiB")
    out = capsys.readouterr().out
    assert "held-out clips are recognised" in out
    assert "GB for one step" in out


def train_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_small_app("train_object").main(str(one_long_recording_per_class(tmp_path / "recordings")))
    out = capsys.readouterr().out
    assert "of 14 held-out clips are recognised" in out
    assert "left: {'left': " in out


def live_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = empty_events(1_600)
    events["t"] = np.arange(1_600) * 100
    events["p"] = events["t"] >= 80_000
    write_recording(tmp_path / "r.h5", events, (8, 6))
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec()))
    load_app("live_camera").main(str(model), str(tmp_path / "r.h5"), "5")
    assert ": dark (" in capsys.readouterr().out


def export_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = parse_network("4C3-AP2", input_shape=(2, 6, 8), classes=3)
    network = SpikingNetwork.build(spec)
    card = make_card(stream_spec())
    card = card.model_copy(update={"network": spec.to_dict(), "state_shapes": network.state_shapes})
    save_bundle(tmp_path / "run" / "bundle", network, card)
    load_app("export_model").main(str(tmp_path / "run"), str(tmp_path / "m.onnx"))
    assert "checked over 200 steps" in capsys.readouterr().out
    exported = OnnxSession(tmp_path / "m.onnx").card
    assert exported.verification is not None
    of_the_file = {"weights_sha256": exported.weights_sha256, "verification": exported.verification}
    assert exported == card.model_copy(update=of_the_file)


SMOKE: dict[str, Callable[[Path, pytest.CaptureFixture[str]], None]] = {
    smoke.__name__: smoke for smoke in (export_model, live_camera, train_activity, train_gait, train_object)
}
PROGRAMS = sorted(path.stem for path in APPS.glob("*.py"))
untested = [name for name in PROGRAMS if name not in SMOKE]
assert not untested, f"add a smoke test for {', '.join(untested)} to {__file__}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SMOKE[name](tmp_path, capsys)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith("train_")])
def test_training_programs_are_recipes(name: str) -> None:
    config = load_recipe(str(APPS / f"{name}.py"))
    assert name == "train_gait" or config.data.dataset == "folder"


@pytest.mark.parametrize("name", ["train_activity", "train_object"])
def test_usage_without_arguments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit, match=rf"python apps/{name}\.py folder"):
        runpy.run_path(str(APPS / f"{name}.py"), run_name="__main__")
