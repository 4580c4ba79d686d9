"""One epoch on each public dataset, on small files in its published layout: loaded, split, checked, framed, trained."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from published_layouts import (
    write_cifar10_dvs,
    write_dvs_gesture,
    write_gait_day,
    write_har_dvs,
    write_thu_eact_50,
)

from stdl_events.recipes import load_recipe
from stdl_events.recordings import Split, split_cifar10_dvs
from stdl_events.recordings.datasets import cifar10_dvs
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.settings import TrainConfig

# The files of two layouts have the first and the last pixel in every frame, so that their size shows.
CORNERS = "ignore:2 hot pixels .* hot_pixels=0"


def configured(dataset: str, root: Path, downscale: int = 8) -> TrainConfig:
    return load_recipe("folder").derive(
        data={"dataset": dataset, "path": str(root)},
        frames={"kind": "recording", "steps": 3, "dt_us": None, "by": "count", "downscale": downscale},
        network={"notation": "4C3-AP2-4C3"},
        augment={"shift_px": 1, "event_drop": True},
        epochs=1,
        batch_size=16,
        device="cpu",
    )


@pytest.mark.filterwarnings("ignore:no recordings .* of 8 of 11 classes", CORNERS)
@pytest.mark.parametrize(
    ("dataset", "write", "classes", "sides", "checked"),
    [
        ("gait_day", write_gait_day, 12, (24, 12), "24 to train, 12 held out; checked: no recording on both sides"),
        (
            "har_dvs",
            partial(write_har_dvs, kind="npz"),
            3,
            (6, 3),
            "6 to train, 3 to validate, 3 held out; checked: no recording",
        ),
        (
            "har_dvs",
            partial(write_har_dvs, kind="aedat4"),
            3,
            (6, 3),
            "6 to train, 3 to validate, 3 held out; checked: no recording",
        ),
        ("dvs_gesture", write_dvs_gesture, 11, (6, 3), "none of 3 persons or sessions on both sides"),
    ],
)
def test_one_epoch(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    write: Callable[[Path], None],
    classes: int,
    sides: tuple[int, int],
    checked: str,
) -> None:
    write(tmp_path / "data")
    config = configured(dataset, tmp_path / "data", downscale=16 if dataset == "har_dvs" else 8)
    check_run(config, tmp_path / "run", capsys, classes, sides, checked)
    again = evaluate(tmp_path / "run")
    assert len(again.clips) == sides[1]


@pytest.mark.filterwarnings(CORNERS)
@pytest.mark.parametrize("kind", ["original", "mirror"])
def test_one_epoch_of_cifar10_dvs(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    write_cifar10_dvs(tmp_path / "data", kind, per_class=5)
    split = split_cifar10_dvs(tmp_path / "data", train=4, test=1)
    assert split.train.classes == cifar10_dvs.CLASSES
    config = configured("cifar10_dvs", tmp_path / "data")
    check_run(config, tmp_path / "run", capsys, 10, (40, 10), "40 to train, 10 held out; checked: no recording", split)


@pytest.mark.filterwarnings("ignore:no recordings .* of 47 of 50 classes")
def test_one_epoch_of_thu_eact_50(tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]) -> None:
    """Prepared with a stated unit, by helper processes if there are any, and trained from the store and directly."""
    write_thu_eact_50(tmp_path / "data")
    asked = ("--data", tmp_path / "data", "--time-unit", "us", "--out", tmp_path / "store", "--json")
    code, out, err = run_cli("prepare", "thu_eact_50", "--frames", "T=3,by=count,downscale=32", *asked)
    assert code == 0, err
    assert json.loads(out)["clips"] == {"train": 6, "test": 3}
    config = configured("thu_eact_50", tmp_path / "data", downscale=32).derive(
        data={"time_unit": "us"}, network={"notation": "2C3-AP2-4C3"}, augment={"event_drop": False}
    )
    direct = fit(config, tmp_path / "direct", quiet=True)
    stored = fit(config.derive(data={"prepared": str(tmp_path / "store")}), tmp_path / "stored", quiet=True)
    np.testing.assert_array_equal(direct.evaluation.probabilities_NK, stored.evaluation.probabilities_NK)


def check_run(
    config: TrainConfig,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    classes: int,
    sides: tuple[int, int],
    checked: str,
    split: Split | None = None,
) -> None:
    """Train: the check of the split is printed before training, and the run has all clips and classes."""
    result = fit(config, folder, split=split)
    err = capsys.readouterr().err
    assert err.lstrip().startswith("split ")
    assert checked in err.splitlines()[0]
    assert err.index(checked) < err.index("epoch 1/1")
    start, *rows = read_metrics(folder)
    epoch = next(row for row in rows if row["kind"] == "epoch")
    assert (start["train_clips"], start["held_out_clips"]) == sides
    assert np.isfinite(epoch["loss"])
    assert result.evaluation.clips.frames_NTCHW.sum(axis=(2, 3, 4)).all(), "no frame is empty"
    _, card = load_bundle(folder / "bundle")
    assert len(card.labels) == classes
    assert card.frame.sensor_size == ((346, 260) if config.data.dataset == "har_dvs" else (128, 128))
