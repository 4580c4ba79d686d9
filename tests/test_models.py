"""The trained models of the package: their files are what the facts say, and they recognise what was held out."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

import stdl_events
from stdl_events.errors import ModelError
from stdl_events.events import write_recording
from stdl_events.live import OnnxSession
from stdl_events.models import copy_model, model_path, shipped_models
from stdl_events.recipes import RECIPES
from stdl_events.recordings import split_nmnist
from stdl_events.recordings.simulated.dvs_pixel import make_sensor
from stdl_events.recordings.simulated.synthetic import draw_take, record
from stdl_events.recordings.simulated.walker import draw_gaits

FOLDER = Path(stdl_events.__file__).parent / "models"
MODELS = shipped_models().values()
each_model = pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])


def test_every_file_has_its_facts_and_its_licence() -> None:
    assert [model.name for model in MODELS] == ["walkers", "nmnist"]
    assert {path.name for path in FOLDER.glob("*.onnx")} == {model.file for model in MODELS}
    about = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(model.file in about and model.licence in about for model in MODELS)


@each_model
def test_the_file_is_the_one_of_its_facts(model) -> None:
    content = model.path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (model.bytes, model.sha256)
    assert len(content) < 1_000_000
    assert b".py" not in content, "it names no file of the machine that made it"
    session = OnnxSession(f"models:{model.name}")
    assert session.path == model.path
    assert session.card.labels == model.classes
    assert session.card.provenance["recipe"] == model.recipe
    assert model.recipe in RECIPES
    assert 0 < model.held_out_accuracy <= 1
    assert model.held_out_clips >= 100


def test_the_walkers_are_recognised_on_takes_that_were_held_out(tmp_path: Path) -> None:
    """The first held-out takes of half of the people, simulated as in the set of the recipe."""
    people = np.random.default_rng((0, 0))
    gaits, sensor = draw_gaits(8, people), make_sensor((48, 48), people)
    for person in range(0, 8, 2):
        rng = np.random.default_rng((0, 2, person, 0))
        take, noise_hz = draw_take(sensor.sensor_size, rng, held_out=True)
        events = record(gaits[person], take, sensor, duration_us=1_600_000, noise_hz=noise_hz, rng=rng)
        write_recording(tmp_path / f"walker_{person:02d}.h5", events, sensor.sensor_size)
    results = stdl_events.predict("models:walkers", tmp_path)
    assert len(results) == 4
    assert sum(result.label == result.path.stem for result in results) >= 3


def test_the_digits_are_recognised_on_recordings_that_were_held_out(recordings_dir: Path) -> None:
    held_out = split_nmnist(recordings_dir / "nmnist").test
    chosen = held_out.entries[::5]
    results = stdl_events.predict("models:nmnist", [entry.path for entry in chosen])
    label_of = {entry.path: held_out.classes[entry.label] for entry in chosen}
    right = [result.label == label_of[result.path] for result in results]
    assert len(right) == 40
    assert sum(right) >= 36


def test_the_command_lists_and_copies(run_cli, tmp_path: Path) -> None:
    code, out, _ = run_cli("models")
    assert code == 0
    assert all(f"models:{model.name}" in out and model.data_licence in out for model in MODELS)
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run_cli("models", "nmnist", "--json")
    (shown,) = json.loads(out)["models"]
    assert shown["sha256"] == shipped_models()["nmnist"].sha256
    copy = tmp_path / "copy.onnx"
    code, out, err = run_cli("models", "nmnist", "--out", copy)
    assert (code, copy.read_bytes()) == (0, model_path("models:nmnist").read_bytes())
    assert "next: stdl-events predict --help" in err
    code, out, _ = run_cli("models", "nmnist")
    assert shown["sha256"] in out
    assert "CC BY-SA 4.0" in out


def test_an_unknown_model_is_named_with_the_known_ones(run_cli, tmp_path: Path) -> None:
    code, _, err = run_cli("predict", "models:nothing", "a.h5")
    assert code == 2
    assert f"got no such model in the package; expected one of {', '.join(shipped_models())}" in err
    with pytest.raises(ModelError, match="No such file or directory"):
        copy_model("nmnist", tmp_path / "none" / "copy.onnx")
    assert run_cli("models", "--out", tmp_path / "copy.onnx")[0] == 2


def test_info_says_what_a_model_is(run_cli):
    for name, model in shipped_models().items():
        code, out, _ = run_cli("info", f"models:{name}", "--json")
        facts = json.loads(out)
        assert (code, facts["sha256"], facts["bytes"]) == (0, model.sha256, model.bytes)
        assert tuple(facts["card"]["labels"]) == model.classes
        code, out, _ = run_cli("info", f"models:{name}")
        assert code == 0
        assert model.recipe in out
        assert str(len(model.classes)) in out


def test_info_prints_labels_as_text(run_cli, tmp_path):
    hostile = {"data\n\x1b[2J": "\x1b]0;title\x07" + "1" * 5000, "\u202e": ["\x9b31m"]}
    card = make_card(
        stream_spec(), labels=("\x1b[31mred", "[bold]b", "c"), provenance=hostile, versions={"\x1b[1m": "\r"},
        network={"notation": "\x1b[31m"},
    )  # fmt: skip
    code, out, _ = run_cli("info", write_model(tmp_path / "m.onnx", card))
    assert code == 0
    assert all(line.isprintable() for line in out.splitlines())
    assert len(out.splitlines()) < 40
    assert r"data\n\x1b[2J" in out
    assert "[bold]b" in out
    document = json.loads(run_cli("info", tmp_path / "m.onnx", "--json")[1])
    assert document["card"]["provenance"] == hostile


def test_info_takes_no_options_of_recordings_with_a_model(run_cli):
    code, _, messages = run_cli("info", "models:walkers", "--sensor", "10x10")
    assert code == 2
    assert "options of recordings" in messages
