"""`predict` with a trained network gives the evaluation's predictions, clip for clip, from a run or a bundle."""

from pathlib import Path

import numpy as np
import pytest
from class_recordings import CLASSES, SENSOR_SIZE, draw_events

import stdl_events
from stdl_events.errors import RunError
from stdl_events.events import write_recording
from stdl_events.frames import FrameSpec
from stdl_events.live.predict import clip_row
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.recordings import Entry, RecordingSet, load_clips
from stdl_events.training.bundle import save_bundle
from stdl_events.training.evaluation.evaluate_clips import evaluate_clips, network_logits
from stdl_events.training.run_folder import BUNDLE_FOLDER


@pytest.mark.parametrize("kind", [{"kind": "stream", "dt_us": 20_000}, {"kind": "recording", "by": "count"}])
def test_each_clip_is_that_of_the_evaluation(tmp_path: Path, run_cli, kind: dict[str, object]) -> None:
    spec = FrameSpec.parse({"steps": 4, "sensor_size": SENSOR_SIZE, "cap": 255, **kind})
    network = SpikingNetwork.build(NetworkSpec.parse("4C3-AP2-3FC", input_shape=spec.frame_shape_CHW), seed=1).eval()
    card = ModelCard(
        network=network.spec.to_dict(), frame=spec, labels=CLASSES, readout="reset", state_shapes=network.state_shapes
    )
    save_bundle(tmp_path / "run" / BUNDLE_FOLDER, network, card)
    rng, entries = np.random.default_rng(0), []
    for label, name in enumerate(CLASSES):
        path = tmp_path / "new" / f"{name}.h5"
        path.parent.mkdir(exist_ok=True)
        write_recording(path, draw_events(label, rng), SENSOR_SIZE)
        entries.append(Entry(str(path), path, label))
    recordings = RecordingSet(CLASSES, SENSOR_SIZE, tuple(entries))
    evaluation = evaluate_clips(network_logits(network), recordings, load_clips(recordings, spec), batch_size=2)

    results = stdl_events.predict(tmp_path / "run", tmp_path / "new", device="cpu")
    rows = [(one.name, clip_row(one, clip)) for one in results for clip in one.clips]
    expected = sorted(evaluation.predictions(), key=lambda clip: (clip["key"], clip["t_start_us"]))
    assert [(name, row["t_start_us"]) for name, row in rows] == [(one["key"], one["t_start_us"]) for one in expected]
    assert [row["label"] for _, row in rows] == [one["predicted"] for one in expected]
    found_NK = [list(row["probabilities"].values()) for _, row in rows]
    np.testing.assert_allclose(found_NK, [one["probabilities"] for one in expected], atol=2e-6)
    right = {entry.key: entry.label for entry in entries}
    assert [one.label == CLASSES[right[one.name]] for one in results] == [
        bool(dict(zip([e.key for e in entries], evaluation.recording_is_right_R, strict=True))[one.name])
        for one in results
    ]

    code, out, err = run_cli("predict", tmp_path / "run" / BUNDLE_FOLDER, tmp_path / "new", "--device", "cpu")
    assert (code, len(out.splitlines())) == (0, 4)
    assert f"next: stdl-events export {tmp_path / 'run' / BUNDLE_FOLDER} --out model.onnx" in err
    with pytest.raises(RunError, match="a bundle has its own weights"):
        stdl_events.predict(tmp_path / "run" / BUNDLE_FOLDER, tmp_path / "new", weights="best")
