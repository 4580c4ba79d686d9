"""What a user's own Dataset says of its labels and its sensor."""

from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import DatasetError
from stdl_events.events.decoder import BLOCK_EVENTS
from stdl_events.events.stream import RecordingWarning, empty_events
from stdl_events.recipes import load_recipe
from stdl_events.recordings import DATASETS, sample_dataset
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.recordings.datasets.sample_labels import class_indices
from stdl_events.training.load_recordings import load_sides, load_split
from stdl_events.training.settings import TrainConfig


def test_a_name_that_the_set_does_not_list_is_told() -> None:
    assert class_indices("mine", [["b", "a"]], ("b", "a", "c"))[1] == [[0, 1]]
    assert class_indices("mine", [["y", "x"]], ("long name of x", "long name of y"))[0] == ("x", "y")
    with pytest.raises(DatasetError, match="mine: got the label 'A'; expected one of a, b; correct the label"):
        class_indices("mine", [["a", "A"]], ("a", "b"))
    with pytest.warns(RecordingWarning, match="mine: its classes are no list of different names"):
        assert class_indices("mine", [[0, 1]], ("a", "a"))[0] == ("0", "1")


def load_both(config: TrainConfig) -> None:
    split = load_split(config)
    load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, config.frames.spec((16, 12)))


@pytest.mark.filterwarnings("ignore:no recordings to train on of 1 of 2 classes")
@pytest.mark.parametrize(
    ("size", "labels", "text"),
    [
        ("16x12", (0, 1), "got sensor_size '16x12'; expected whole numbers (width, height)"),
        ((16.5, 12), (0, 1), "got sensor_size (16.5, 12); expected whole numbers (width, height)"),
        ((16, 12, 2), (1, 1), "recordings to train on: got clips of one class, b; expected clips of at least two"),
    ],
)
def test_own_sets_that_cannot_be_trained_on(
    size: object, labels: tuple[int, int], text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Mine:
        sensor_size, classes = size, ("a", "b")

        def __init__(self, folder: Path) -> None: ...

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            events = empty_events(100)
            events["t"], events["x"] = np.arange(100) * 1000, index
            return events, labels[index % 2]

    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    DATASETS.register("mine", sample_dataset("mine", Mine))
    config = load_recipe("folder").derive(data={"dataset": "mine", "path": str(tmp_path)}, frames={"steps": 2})
    with pytest.raises(DatasetError) as caught:
        load_both(config)
    assert text in str(caught.value)


def test_of_a_damaged_sample_no_repair_is_advised_where_none_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged_at = 5

    class Mine:
        sensor_size, classes = (16, 12), ("a", "b")

        def __init__(self, folder: Path) -> None: ...

        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            events = np.zeros(BLOCK_EVENTS + 100, [("t", int), ("x", float), ("y", int), ("p", int)])
            events["t"], events["x"] = np.arange(len(events)) * 10, index
            events["x"][damaged_at] = np.nan if index == 3 else index
            return events, index % 2

    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    DATASETS.register("mine", sample_dataset("mine", Mine))
    config = load_recipe("folder").derive(data={"dataset": "mine", "path": str(tmp_path), "time_unit": "us"})
    with pytest.raises(DatasetError, match="x that is not finite among the events from number 0 on;") as caught:
        load_both(config)
    assert caught.value.todo == "copy or correct them, or leave them out with --skip-bad (data.skip_bad=true)"
    damaged_at = BLOCK_EVENTS + 50
    with pytest.raises(DatasetError, match=f"among the events from number {BLOCK_EVENTS} on") as caught:
        load_both(config)
    assert "use the events before the damage with --repair" in caught.value.todo
    with pytest.warns(RecordingWarning, match=f"kept the {BLOCK_EVENTS} events before it"):
        load_both(config.derive(data={"repair": True}))
