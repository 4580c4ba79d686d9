"""The ridge beside a run's accuracy: fitted once by the training, the same when fitted again, and left out aloud."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stdl_events.analysis.baselines import ridge_accuracies, ridge_bytes, ridge_multiplications, ridge_on_summed_events
from stdl_events.errors import RunError
from stdl_events.recordings import ClipArray, load_clips
from stdl_events.training.evaluation import ridge_beside
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_split
from stdl_events.training.settings import TrainConfig


def test_a_training_keeps_it_and_an_evaluation_reads_it(
    tmp_path: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    validated = config.derive(epochs=1, data={"split": {"validation": 0.34}})
    result = fit(validated, run, quiet=True)
    split = load_split(validated)
    frame_spec = validated.frames.spec(split.train.sensor_size)
    clips = {side: load_clips(recordings, frame_spec) for side, recordings in split.sides.items()}
    expected = {side: ridge_on_summed_events(clips["train"], clips[side]) for side in ("test", "validation")}
    assert result.evaluation.summary()["baselines"]["ridge"] == expected["test"]
    for side, accuracy in expected.items():
        assert evaluate(run, side=side).ridge.accuracy == accuracy
    assert evaluate(run, baseline=False).summary()["baselines"] | {"chance": 0} == {
        "chance": 0, "ridge": None, "finest_px": 1, "left_out": "",
    }  # fmt: skip

    kept = run / "baselines.json"
    document = json.loads(kept.read_text())
    kept.write_text(json.dumps(document | {"frames": document["frames"] | {"steps": 5}}))
    assert evaluate(run).ridge.accuracy == expected["test"], "that of other frames is not read"
    kept.write_text("{")
    with pytest.raises(RunError, match=r"baselines\.json: got a file that is damaged; .* delete it"):
        evaluate(run)
    kept.unlink()
    monkeypatch.setattr(ridge_beside, "MAX_FILE_BYTES", 0)
    left_out = evaluate(run).ridge
    assert left_out.accuracy is None
    assert "training recordings would be read; stdl-events evaluate --baseline fits it anyway" in left_out.left_out
    assert evaluate(run, baseline=True).ridge.accuracy == expected["test"]


def clips_of(count: int, size: int = 4) -> ClipArray:
    frames = np.random.default_rng(0).integers(0, 9, (count, 3, 2, size, size), dtype=np.uint8)
    return ClipArray(frames, np.arange(count) % 2, np.arange(count), np.zeros(count, np.int64), 0)


def test_squares_of_pixels_that_take_long_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    train = clips_of(20, 8)
    # Features: 2 x 8 x 8, 2 x 4 x 4 and 2 x 2 x 2, and the smaller of them and the clips.
    assert [ridge_multiplications(train, pool) for pool in (1, 2, 4)] == [
        20 * 128 * 20 + 10 * 20**3, 20 * 32 * 20 + 10 * 20**3, 20 * 8 * 8 + 10 * 8**3,
    ]  # fmt: skip
    assert ridge_bytes(train, 2) == 4 * 8 * 20 * 32
    clips = {"train": train, "test": clips_of(8, 8)}
    monkeypatch.setattr(ridge_beside, "MAX_MULTIPLICATIONS", 20 * 32 * 20 + 10 * 20**3)
    ridge = ridge_beside.ridges_of(clips)["test"]
    assert (ridge.finest, ridge.accuracy) == (2, ridge_accuracies(train, {"test": clips["test"]}, pools=(2, 4))["test"])
    monkeypatch.setattr(ridge_beside, "MAX_MULTIPLICATIONS", 10)
    left_out = ridge_beside.ridges_of(clips)["test"]
    assert left_out.accuracy is None
    assert left_out.left_out.startswith("20 training clips of this size take minutes")
    assert ridge_beside.ridges_of(clips, at_any_cost=True)["test"].finest == 1


def test_one_training_recording_has_none_and_says_why() -> None:
    one = replace(clips_of(6), entry_index_N=np.zeros(6, np.int64))
    ridge = ridge_beside.ridges_of({"train": one, "test": clips_of(4)})["test"]
    assert ridge.left_out == "1 training recordings and 4 held-out clips, where it needs at least 2, and at least 1"


def test_sides_are_counted_apart_and_clips_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    train, others = clips_of(30), {"a": clips_of(10, 4), "b": clips_of(7, 4)}
    whole = ridge_accuracies(train, others)
    assert whole == {name: ridge_on_summed_events(train, clips) for name, clips in others.items()}
    monkeypatch.setattr("stdl_events.analysis.baselines.CLIPS_AT_ONCE", 4)
    assert ridge_accuracies(train, others) == whole
    coarse = ridge_accuracies(train, others, pools=(2, 4))
    pooled = {name: replace(clips, frames_NTCHW=pooled_by_hand(clips)) for name, clips in others.items()}
    assert coarse == ridge_accuracies(replace(train, frames_NTCHW=pooled_by_hand(train)), pooled, pools=(1, 2))


def pooled_by_hand(clips: ClipArray) -> np.ndarray:
    frames = np.asarray(clips.frames_NTCHW)
    return sum(frames[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
