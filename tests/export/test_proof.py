"""The proof beside a file: every number for programs, sentences for people."""

import hashlib
import json
from pathlib import Path

import pytest

from stdl_events.errors import ModelError
from stdl_events.export.agreement import Agreement, LayerAgreement
from stdl_events.export.proof import proof_document, proof_text, write_proof
from stdl_events.model_card import FileAccuracy

ACCURACY = FileAccuracy(
    accuracy=0.875, clips=8, recordings=4, data="walkers (simulated)", labels_by="folders", split="the last ones"
)


def agreement(held_out_clips: int = 6) -> Agreement:
    layers = [
        LayerAgreement("1. 4C3", 16, spikes=5, compared=30, largest_difference=2e-6, near_threshold=2),
        LayerAgreement("2. 8FC", 8, compared=9, largest_difference=1e-7, skipped=7),
        LayerAgreement("3. 2FC", 0, compared=4, largest_difference=3e-7),
    ]
    found = Agreement(200, 4, held_out_clips, (1, 3), layers, runs=10)
    found.add_up()
    return found


def test_counts_are_those_of_all_layers() -> None:
    found = agreement()
    assert (found.compared, found.near_threshold, found.skipped, found.largest_difference) == (43, 2, 7, 2e-6)
    assert found.silent_layers == ("2. 8FC",)
    stated = found.verification("walkers (simulated)")
    assert (stated.compared, stated.largest_difference, stated.silent_layers) == (43, 2e-6, ("2. 8FC",))
    assert agreement(held_out_clips=0).verification("walkers").held_out_of == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"other_classes": 1, "runs": 50}, None),
        ({"other_classes": 1, "runs": 49}, "other predictions over 1 of 49"),
        ({"never_compared": 1}, "1 outputs that could never be compared"),
        ({"largest_difference": 2e-4}, "numbers that differ by 0.0002"),
        ({"largest_difference": float("nan")}, "numbers that differ by nan"),
    ],
)
def test_what_is_a_disagreement(changes: dict[str, float], problem: str | None) -> None:
    found = agreement()
    for name, value in changes.items():
        setattr(found, name, value)
    assert (found.problem() or "").startswith(problem or "")
    assert (found.problem() is None) == (problem is None)


def test_proof_is_written_beside_the_file(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"a model")
    document = proof_document(model, agreement(), ACCURACY, held_out_of="walkers (simulated)")
    assert write_proof(model, document) == tmp_path / "m.onnx.proof.md"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.proof.json", "m.onnx.proof.md"]
    stored = json.loads((tmp_path / "m.onnx.proof.json").read_text())
    assert stored == json.loads(json.dumps(document))
    assert stored["sha256"] == hashlib.sha256(b"a model").hexdigest()
    assert [row["name"] for row in stored["verification"]["layers"]] == ["1. 4C3", "2. 8FC", "3. 2FC"]
    text = (tmp_path / "m.onnx.proof.md").read_text()
    assert "200 steps of 4 simulated sequences and 6 held-out clips of walkers (simulated)" in text
    assert "Never fired meanwhile, so that nothing is shown of them: 2. 8FC." in text
    assert "Accuracy 0.8750 of this file in onnxruntime on 8 held-out clips of 4 recordings" in text
    assert "| 1. 4C3 | 16 | 5 | 30 | 2.0e-06 | 2 | 0 |" in text


def test_simulated_frames_are_called_so(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"a model")
    text = proof_text(proof_document(model, agreement(held_out_clips=0), left_out="data: no such folder"))
    assert "over 200 steps of 4 simulated sequences only, in batches of 1 and 3" in text
    assert "No held-out recordings: data: no such folder." in text
    assert "Not measured here: data: no such folder." in text


def test_a_proof_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"a model")
    document = proof_document(model, agreement())
    (tmp_path / "m.onnx.proof.json").mkdir()
    with pytest.raises(ModelError, match=r"m\.onnx\.proof\.json"):
        write_proof(model, document)
