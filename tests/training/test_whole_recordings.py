"""`evaluate --whole` decides like a live run of the exported file, and scores each labelled movement."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_recordings import CLASSES, SENSOR_SIZE, draw_events

from stdl_events.analysis.movement_score import Segment, TimedDecision, score_timeline, share_of_time
from stdl_events.errors import DatasetError, ModelError
from stdl_events.events import open_recording, write_recording
from stdl_events.export.onnx import export_onnx
from stdl_events.frames import FrameSpec
from stdl_events.model_card import DecisionThresholds
from stdl_events.recipes import load_recipe
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import open_held_out
from stdl_events.training.evaluation.whole_recordings import evaluate_whole, require_stream
from stdl_events.training.fit import fit
from stdl_events.training.run_folder import BUNDLE_FOLDER

Cli = Callable[..., tuple[int, str, str]]
RULES = DecisionThresholds(still_below=1_000, hold=1, unknown_below=0.3)
STARTS_US = (205_000, 560_000, 905_000)


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two recordings of three labelled movements each, 160 ms long, after a first event at 5 ms."""
    root = tmp_path_factory.mktemp("movements")
    rng = np.random.default_rng(0)
    rows = ["recording,t_start,t_end,label,split"]
    for side in ("train", "test"):
        parts = [draw_events(0, rng, 2)]
        parts[0]["t"] = 5_000, 1_100_000
        for label, start_us in enumerate(STARTS_US):
            part = draw_events(label, rng)
            part["t"] += start_us
            parts.append(part)
            rows.append(f"{side}.h5,{start_us},{start_us + 160_000},{CLASSES[label]},{side}")
        events = np.concatenate(parts)
        write_recording(root / f"{side}.h5", events[np.argsort(events["t"], kind="stable")], SENSOR_SIZE)
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    config = load_recipe("folder").derive(
        data={"path": str(root), "label_times": "clock", "split": {"rule": "given"}},
        frames={"steps": 2, "dt_us": 10_000},
        network={"notation": "8C3-AP2-8C3"},
        learning={"memory": "plain"},
        epochs=3,
        batch_size=6,
        device="cpu",
    )
    fit(config, root / "run", quiet=True)
    export_onnx(*load_bundle(root / "run" / BUNDLE_FOLDER), root / "model.onnx", steps=20)
    return root / "run"


def live_decisions(model: Path, recording: Path, run_cli: Cli, *words: object) -> list[TimedDecision]:
    code, out, err = run_cli("live", model, "--source", recording, "--speed", "max", "--json-lines", *words)
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()[:-1]]
    return [TimedDecision(row["t_us"], row["decision"]) for row in rows]


def test_movements_are_scored_by_the_decisions_of_live(labelled_run: Path, run_cli: Cli) -> None:
    model, recording = labelled_run.parent / "model.onnx", labelled_run.parent / "test.h5"
    (found,) = evaluate_whole(labelled_run, rules=lambda _: RULES).recordings
    words = ("--still-below", RULES.still_below, "--unknown-below", RULES.unknown_below)
    expected = live_decisions(model, recording, run_cli, *words)
    assert list(found.decisions) == expected
    assert len(expected) > 50
    assert {None} < {decision.label for decision in expected}
    opened = open_recording(recording)
    assert (opened.t_first_us, opened.t_last_us) == (5_000, 1_100_000)
    segments = [Segment(start, start + 160_000, CLASSES[label]) for label, start in enumerate(STARTS_US)]
    assert found.score == score_timeline(expected, segments, (5_000, 1_100_001))
    assert (found.key, found.label, found.shares) == ("test.h5", None, None)

    code, out, err = run_cli("evaluate", labelled_run, "--whole", "--model", model, *words, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["movements"] == found.score.summary()
    assert document["decision_every_ms"] == 20
    assert [one["label"] for one in document["recordings"][0]["of_movements"]] == list(CLASSES)


def test_recordings_of_one_class_have_shares_of_time(small_run: Path, labelled_run: Path, run_cli: Cli) -> None:
    # A model of the same classes, in place of the run's own network.
    model = labelled_run.parent / "model.onnx"
    found = evaluate_whole(small_run, model=model)
    assert len(found.recordings) == 9
    assert found.movements is None
    first = found.recordings[0]
    assert (first.key, first.label, first.score) == ("test/left/0.raw", "left", None)
    assert first.shares == share_of_time(first.decisions, "left", (0, 160_000))
    assert found.shares is not None
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares["right"] == pytest.approx(np.mean([(one.shares or {})["right"] for one in found.recordings]))
    # Clips of 20 ms: nothing is said in the first eighth.
    assert first.shares["nothing"] == pytest.approx(1 / 8)
    code, out, err = run_cli("evaluate", small_run, "--whole", "--model", model)
    assert code == 0
    assert "all of one class each, share of time: right" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "next: stdl-events calibrate" in err


def test_parts_on_another_side_are_an_error(tmp_path: Path, labelled_run: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(labelled_run, run)
    listed = json.loads((run / "split.json").read_text())
    next(row for row in listed["recordings"] if row["side"] == "test")["side"] = "train"
    (run / "split.json").write_text(json.dumps(listed))
    with pytest.raises(DatasetError, match=r"test\.h5: got parts of it on other sides"):
        evaluate_whole(run)


def test_wrong_words_are_one_line(small_run: Path, run_cli: Cli) -> None:
    for words, said in (
        (("--hold", 2), "without --whole"),
        (("--whole", "--robustness", "drop"), "--robustness"),
        (("--whole", "--through", "onnx"), "--through"),
        (("--whole", "--unknown-below", "2"), "unknown"),
    ):
        code, out, err = run_cli("evaluate", small_run, *words)
        assert (code, out) == (2, "")
        assert said in err


def test_bins_of_whole_recordings_are_no_stream(small_run: Path) -> None:
    opened = open_held_out(small_run, device="cpu")
    require_stream(opened, small_run)
    bins = FrameSpec(kind="recording", by="count", steps=4, sensor_size=SENSOR_SIZE)
    opened = replace(opened, card=opened.card.model_copy(update={"frame": bins}))
    with pytest.raises(ModelError, match="kind recording; expected kind stream"):
        require_stream(opened, small_run)
