"""The model card: a round trip through JSON, and errors that name the invalid entry."""

import json

import pytest

import stdl_events
from stdl_events.errors import ModelError
from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard

MAPPING = {
    "network": {"notation": "4C3-3FC", "input_shape": [2, 8, 8]},
    "frame": {"kind": "stream", "steps": 5, "sensor_size": [8, 8], "dt_us": 20000},
    "labels": ["walk", "run", "sit"],
    "readout": "reset",
    "state_shapes": [[4, 8, 8], [3]],
    "versions": {"stdl-events": "0.1.0"},
    "provenance": {"seed": 3, "accuracy": 0.5, "data": None},
}


def test_cards_survive_json():
    card = ModelCard.parse(MAPPING)
    # Older cards state no grid: theirs was that of the clock.
    assert card.frame == FrameSpec(kind="stream", steps=5, sensor_size=(8, 8), dt_us=20000, grid="clock")
    assert card.state_shapes == ((4, 8, 8), (3,))
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert again.to_json() == card.to_json()
    assert json.loads(card.to_json())["schema_version"] == 1
    on_its_own = MAPPING | {"frame": MAPPING["frame"] | {"grid": "recording"}}
    assert ModelCard.from_json(ModelCard.parse(on_its_own).to_json()).frame.grid == "recording"
    by_count = {"kind": "recording", "steps": 5, "sensor_size": [8, 8], "by": "count", "grid": "clock"}
    assert ModelCard.parse(MAPPING | {"frame": by_count}).frame == FrameSpec.parse(by_count | {"grid": "recording"})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": []}, "model card: labels: got []; expected"),
        ({"labels": ["a", "a"]}, "model card: labels: got 'a' twice; expected distinct class names; rename one"),
        ({"readout": "mean"}, "model card: readout: got 'mean'; expected 'reset' or 'sliding'; export the model again"),
        ({"state_shapes": [[0]]}, "model card: state_shapes.0.0: got 0; expected greater than or equal to 1"),
        ({"frame": {"kind": "stream"}}, "model card: frame.steps: got nothing; expected a value; add it"),
        ({"frame": MAPPING["frame"] | {"by": "time"}}, "model card: frame.kind stream: got by; expected only settings"),
        ({"optimizer": {}}, "model card: optimizer: got an unknown key"),
        ({"schema_version": 2}, "model card: schema_version: got 2; expected 1; use the stdl-events version that"),
    ],
)
def test_damaged_cards_name_what_is_wrong(changes, text):
    with pytest.raises(ModelError) as caught:
        ModelCard.parse(MAPPING | changes)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_no_card():
    with pytest.raises(ModelError, match=r"m\.json: got no JSON .*; expected a model card; export the model again"):
        ModelCard.from_json("{", subject="m.json")
    with pytest.raises(ModelError, match=r"m\.json: got a JSON list; expected an object"):
        ModelCard.from_json("[]", subject="m.json")
    for text in ("[" * 100_000, f'{{"schema_version": {"1" * 5000}}}'):
        with pytest.raises(ModelError, match=r"m\.json: got no JSON \(.*(recursion|digits).*; export the model again"):
            ModelCard.from_json(text, subject="m.json")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "m.json").write_bytes(b'{"labels": ["\xff"]}')
    with pytest.raises(ModelError, match=r"m\.json: got a file that does not read \(.*; expected a model card; use"):
        ModelCard.read(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schema_version": 2}, "schema_version: got 2; expected 1"),
        ({"rejects": 0.5}, "rejects: got an unknown key; expected only known keys"),
        ({"frame": MAPPING["frame"] | {"polarity": "on"}}, "frame.polarity: got an unknown key; expected only known"),
        ({"decision": {"unknown_above": 1}}, "decision.unknown_above: got an unknown key; expected only known keys"),
        ({"readout": "leaky"}, "readout: got 'leaky'; expected 'reset' or 'sliding'"),
    ],
)
def test_what_a_newer_version_wrote_is_refused_with_its_name(changes, text):
    """An entry that is not known may change what a prediction means, so none is skipped."""
    newer = {"versions": {"stdl-events": "0.10.0", "torch": "3.0"}}
    with pytest.raises(ModelError) as caught:
        ModelCard.parse(MAPPING | newer | changes)
    todo = f"use stdl-events 0.10.0, which wrote it, or export the model again with {stdl_events.__version__}"
    assert str(caught.value).startswith(f"model card: {text}")
    assert str(caught.value).endswith(todo)


@pytest.mark.parametrize(
    "writer", ["0.1.0", stdl_events.__version__, "", "9", "9.9\n", "9.9 or rm -rf /", "٩.٩", 9.9, None]
)
def test_no_other_version_is_named(writer):
    with pytest.raises(ModelError, match="the stdl-events version that wrote it"):
        ModelCard.parse(MAPPING | {"versions": {"stdl-events": writer}, "schema_version": 2})


def test_what_describes_a_model_may_be_anything():
    """A newer version may say more of a model's origin, and an older one runs it."""
    provenance = {"measured_by": {"a new tool": [1, 2.5, None]}}
    card = ModelCard.parse(MAPPING | {"provenance": provenance, "versions": {"a_new_package": "1.0"}})
    assert ModelCard.from_json(card.to_json()).provenance == provenance


def test_what_was_measured_of_a_file_is_omitted_where_nothing_was():
    card = ModelCard.parse(MAPPING)
    assert (
        not {"verification", "accuracy", "decision", "temperature", "weights_sha256"}
        & json.loads(card.to_json()).keys()
    )
    verification = {
        "steps": 200, "simulated_sequences": 4, "held_out_clips": 3, "held_out_of": "nmnist", "batch_sizes": [1, 3],
        "compared": 10, "largest_difference": 1e-6, "near_threshold": 0, "other_classes": 0,
        "silent_layers": ["2. 8FC"],
    }  # fmt: skip
    accuracy = {
        "accuracy": 0.5, "clips": 4, "recordings": 2, "data": "nmnist", "labels_by": "folders", "split": "by number",
    }  # fmt: skip
    measured = ModelCard.parse(MAPPING | {"verification": verification, "accuracy": accuracy})
    again = ModelCard.from_json(measured.to_json())
    assert again == measured
    assert again.accuracy is not None
    assert json.loads(measured.to_json())["verification"] == verification
    more = {"verification": verification | {"gpu": "x"}, "accuracy": accuracy | {"top5": 1.0}}
    assert ModelCard.parse(MAPPING | more) == measured, "a newer version may have measured more"
    for changes, text in (
        ({"accuracy": accuracy | {"accuracy": 1.5}}, "model card: accuracy.accuracy: got 1.5"),
        ({"accuracy": accuracy | {"split": "x" * 201}}, "model card: accuracy.split: got"),
        ({"verification": verification | {"steps": 0}}, "model card: verification.steps: got 0"),
    ):
        with pytest.raises(ModelError, match=text):
            ModelCard.parse(MAPPING | changes)
