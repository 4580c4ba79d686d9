"""Geometry of a run: training, evaluation, a store and the model's card have the same; another one is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.events.geometry import Geometry
from stdl_events.prepared import PreparedSet
from stdl_events.recordings import load_clips
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.load_recordings import load_config_clips, load_split
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]
GEOMETRY = Geometry(rotate=90, center_crop=(16, 12), scale=(8, 6))
OPTIONS = ("--rotate", 90, "--center-crop", "16x12", "--scale", "8x6")


def test_train_and_evaluate_see_the_same(run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path) -> None:
    # The first event of the middle, with which a grid of its own would begin, is not that of the whole picture.
    settings = ["frames.steps=4", "frames.grid=clock", "network.notation=4C3", "learning.least_blocks=1", "epochs=1"]
    sets = [word for setting in [*settings, "device=cpu"] for word in ("--set", setting)]
    options = [*OPTIONS, "--filter", "hot_pixels=3:4", *sets]
    run = tmp_path / "run"
    code, out, err = run_cli("train", "folder", "--data", folder_of_recordings, "--out", run, *options, "--json")
    assert code == 0, err
    _, card = load_bundle(run / "bundle")
    assert card.frame.geometry == GEOMETRY
    assert card.frame.filters.words == ["hot_pixels=3:4"]
    assert card.frame.frame_shape_CHW == (2, 6, 8)
    assert json.loads(run_cli("evaluate", run, "--json")[1])["confusion"] == json.loads(out)["confusion"]
    evaluation = evaluate(run)
    assert evaluation.clips.frames_NTCHW.shape[2:] == (2, 6, 8)
    plain = card.frame.model_copy(update={"rotate": 0, "center_crop": None, "scale": None})
    whole_NTCHW = np.asarray(load_clips(evaluation.recordings, plain).frames_NTCHW)
    turned_NTCHW = np.rot90(whole_NTCHW, -1, axes=(3, 4))[..., 2:14, :]
    expected_NTCHW = turned_NTCHW.reshape(*turned_NTCHW.shape[:3], 6, 2, 8, 2).sum(axis=(4, 6))
    np.testing.assert_array_equal(evaluation.clips.frames_NTCHW, expected_NTCHW)


def test_a_store_knows_its_geometry(run_cli: RunCli, config: TrainConfig, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ask = ("prepare", "folder", "--data", config.data.path, "--frames", "T=4,dt=20ms", "--workers", 1)
    code, _, err = run_cli(*ask, *OPTIONS, "--out", store)
    assert code == 0, err
    assert PreparedSet.open(store).frame_spec.geometry == GEOMETRY
    turned = config.derive(frames={"rotate": 90, "center_crop": (16, 12), "scale": (8, 6)})
    stored = turned.derive(data={"prepared": str(store)})
    split = load_split(turned)
    spec = turned.frames.spec(split.train.sensor_size)
    cut, read = load_config_clips(turned, split.train, spec), load_config_clips(stored, split.train, spec)
    np.testing.assert_array_equal(np.asarray(read.frames_NTCHW), np.asarray(cut.frames_NTCHW))
    with pytest.raises(FrameSpecError) as caught:
        load_config_clips(stored, split.train, spec.model_copy(update={"rotate": 270}))
    assert caught.value.got == "clips with other rotate (90, asked for 270)"
    assert "--rotate 270 --center-crop 16x12 --scale 8x6" in caught.value.todo


def test_sizes_of_frames_are_those_after_the_geometry(
    run_cli: RunCli, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`size` sums pixels of the cut picture; a store's folder is named by its geometry."""
    monkeypatch.chdir(tmp_path)
    ask = ("prepare", "folder", "--data", config.data.path, "--workers", 1, "--center-crop", "12x12")
    code, out, err = run_cli(*ask, "--frames", "T=4,dt=20ms,size=6", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["frames"]["downscale"] == 2
    assert document["store"] == "prepared/folder-T4-dt20ms-downscale2-center-crop-12x12"
    code, _, err = run_cli(*ask, "--frames", "T=4,dt=20ms,size=16")
    assert code == 2
    assert "got 16x16; expected 12x12 or that over a whole number" in err
