"""The model card: a round trip through JSON, and errors that name the invalid entry."""

import json

import pytest

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
