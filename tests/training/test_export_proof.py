"""Exporting a run proves the file on its held-out recordings, as far as they are there."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import DatasetError, UserError
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.model_card import ModelCard
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.export_proof import held_out_proof, parse_use
from stdl_events.training.run_folder import load_config


def frame_of(run: Path) -> FrameSpec:
    return ModelCard.read(run / "bundle" / "model.json").frame


def test_the_card_states_the_accuracy_of_the_file_on_held_out_recordings(run_cli, small_run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code, out, err = run_cli("export", small_run, "--out", path, "--json")
    assert code == 0, err
    printed = json.loads(out)
    card = OnnxSession(path).card
    expected = evaluate(small_run, model=path)
    assert card.accuracy is not None
    assert card.accuracy.model_dump() == printed["accuracy"]
    assert (card.accuracy.accuracy, card.accuracy.clips) == (expected.accuracy, len(expected.clips))
    assert card.accuracy.recordings == len(expected.recordings)
    assert (card.accuracy.data, card.accuracy.labels_by) == ("folder", "folders")
    assert "train" in card.accuracy.split
    assert card.verification is not None
    assert (card.verification.held_out_of, card.verification.steps) == ("folder", 200)
    # 4 sequences of 200 frames are more clips of 4 than there are.
    assert card.verification.held_out_clips == len(expected.clips) == printed["held_out_clips"]
    assert printed["proof"] == str(path.with_name("model.onnx.proof.md"))
    stored = json.loads(path.with_name("model.onnx.proof.json").read_text())
    assert stored["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stored["verification"]["compared"] == printed["compared"] > 0


def test_a_file_without_its_run_gives_the_numbers_that_it_gives_with_it(run_cli, small_run, tmp_path: Path) -> None:
    model, data = tmp_path / "model.onnx", load_config(small_run).data.path
    code, _, err = run_cli("export", small_run, "--out", model, "--check-steps", 1)
    assert code == 0, err
    code, out, err = run_cli("evaluate", small_run, "--model", model, "--no-baseline", "--json")
    assert code == 0, err
    with_run = json.loads(out)
    code, out, err = run_cli("evaluate", model, "--data", data, "--side", "test", "--json")
    assert code == 0, err
    alone = json.loads(out)
    assert len(alone["over_time"]) == 4
    for facts in (with_run, alone):
        for name in ("run", "model", "data"):
            facts.pop(name, None)
    assert alone == with_run


def test_the_check_takes_as_many_steps_as_are_asked_for(run_cli, small_run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code, out, err = run_cli("export", small_run, "--out", path, "--check-steps", 5, "--json")
    assert (code, json.loads(out)["steps"]) == (0, 5), err
    verification = OnnxSession(path).card.verification
    assert verification is not None
    # 4 sequences of 5 frames are 8 clips of 4.
    assert (verification.steps, verification.held_out_clips) == (5, 8)


@pytest.fixture
def moved_run(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the run whose recordings are not where they were."""
    run = shutil.copytree(small_run, tmp_path / "run")
    for name in ("split.json", "config.json"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace(json.loads((small_run / "split.json").read_text())["root"], "/no/data"))
    return run


def test_missing_recordings_are_left_out_and_said_unless_they_are_asked_for(moved_run: Path, small_run: Path) -> None:
    frame = frame_of(small_run)
    proof = held_out_proof(moved_run, frame)
    assert proof.left_out == "/no/data: no such folder"
    assert proof.frames() is None
    assert proof.evaluate(Path("unused.onnx")) is None
    with pytest.raises(DatasetError, match="no such folder"):
        held_out_proof(moved_run, frame, "all")
    with pytest.raises(DatasetError, match="no such folder"):
        held_out_proof(moved_run, frame, None, Path("/nowhere"))
    root = Path(json.loads((small_run / "split.json").read_text())["root"])
    again = held_out_proof(moved_run, frame, None, root)
    assert (again.left_out, again.of) == ("", "folder")


def test_some_recordings_and_none(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stdl_events.training.evaluation.export_proof.SOME_RECORDINGS", 2)
    frame = frame_of(small_run)
    everything, some = held_out_proof(small_run, frame, "all"), held_out_proof(small_run, frame, "some")
    assert everything.recordings is not None
    assert some.recordings is not None
    assert {entry.key for entry in some.recordings.entries} < {entry.key for entry in everything.recordings.entries}
    assert some.left_out == f"2 of {len(everything.recordings)} recordings were read"
    assert some.evaluate(Path("unused.onnx")) is None, "the accuracy is that of all recordings or of none"
    frames = some.frames()
    assert frames is not None
    assert frames.shape[1:] == (4, *frame.frame_shape_CHW)
    assert np.array_equal(frames, np.asarray(some.clips.frames_NTCHW)), "fewer clips than are needed are all taken"
    assert held_out_proof(small_run, frame, "none").left_out == "none were asked for"
    with pytest.raises(UserError, match=r"--held-out: got 'most'; expected all or some or none"):
        parse_use("most")
