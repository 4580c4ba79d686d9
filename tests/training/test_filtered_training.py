"""Filters of a run: training, evaluation, a store and the model's card have the same; other filters are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.prepared import PreparedSet
from stdl_events.recordings import load_clips
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.load_recordings import load_config_clips, load_split
from stdl_events.training.settings import TrainConfig

RunCli = Callable[..., tuple[int, str, str]]
FILTERS = FilterSpec(hot_pixels=((3, 4), (15, 0)), background_us=1_500)


@pytest.fixture
def filtered(config: TrainConfig) -> TrainConfig:
    return config.derive(
        frames={"filters": FILTERS.model_dump()},
        network={"notation": "4C3-AP2-4C3"},
        learning={"rho": None, "least_blocks": 1},
        epochs=1,
    )


def test_train_and_evaluate_see_the_same(run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path) -> None:
    settings = [f"frames.filters.{word}" for word in FILTERS.words]
    settings += ["frames.steps=4", "network.notation=4C3-AP2-4C3", "learning.least_blocks=1", "epochs=1", "device=cpu"]
    sets = [word for setting in settings for word in ("--set", setting)]
    run = tmp_path / "run"
    code, out, err = run_cli("train", "folder", "--data", folder_of_recordings, "--out", run, *sets, "--json")
    assert code == 0, err
    trained = json.loads(out)
    _, card = load_bundle(run / "bundle")
    assert card.frame.filters == FILTERS
    assert json.loads(run_cli("evaluate", run, "--json")[1])["confusion"] == trained["confusion"]
    evaluation = evaluate(run)
    expected = load_clips(evaluation.recordings, card.frame)
    np.testing.assert_array_equal(evaluation.clips.frames_NTCHW, expected.frames_NTCHW)
    whole = load_clips(evaluation.recordings, card.frame.unfiltered)
    assert expected.frames_NTCHW.sum() < 0.9 * whole.frames_NTCHW.sum()


def test_a_store_knows_its_filters(run_cli: RunCli, filtered: TrainConfig, tmp_path: Path) -> None:
    store, words = tmp_path / "store", [part for word in FILTERS.words for part in ("--filter", word)]
    ask = ("prepare", "folder", "--data", filtered.data.path, "--frames", "T=4,dt=20ms", "--workers", 1)
    code, _, err = run_cli(*ask, *words, "--out", store)
    assert code == 0, err
    assert PreparedSet.open(store).frame_spec.filters == FILTERS
    stored = filtered.derive(data={"prepared": str(store)})
    split = load_split(filtered)
    spec = filtered.frames.spec(split.train.sensor_size)
    for side in (split.train, split.test):
        cut, read = load_config_clips(filtered, side, spec), load_config_clips(stored, side, spec)
        np.testing.assert_array_equal(np.asarray(read.frames_NTCHW), np.asarray(cut.frames_NTCHW))
    with pytest.raises(FrameSpecError) as caught:
        load_config_clips(stored, split.train, spec.unfiltered)
    asked = " ".join(FILTERS.words)
    assert caught.value.got == f"clips with other filters ({asked}, asked for none)"
    assert " ".join(words) in caught.value.todo
    code, _, err = run_cli(*ask, "--out", store)
    assert code == 2
    assert f"got a store with other filters ({asked}, asked for none)" in err


def test_stores_with_other_filters_have_folders_of_their_own(
    run_cli: RunCli, filtered: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    many = "+".join(f"{x}:{y}" for x in range(4) for y in range(4))
    for words in ([], ["background_us=1500"], ["hot_pixels=3:4", "refractory_us=9"], [f"hot_pixels={many}"]):
        options = [part for word in words for part in ("--filter", word)]
        code, _, err = run_cli(
            "prepare", "folder", "--data", filtered.data.path, "--frames", "T=4,dt=20ms", "--workers", 1, *options
        )
        assert code == 0, err
    first, *others = sorted(path.name for path in (tmp_path / "prepared").iterdir())
    assert first == "folder-T4-dt20ms"
    assert others[:2] == ["folder-T4-dt20ms-background_us1500", "folder-T4-dt20ms-hot_pixels34-refractory_us9"]
    assert len(others[2]) <= 40


def test_pixels_off_the_sensor_are_told_before_anything_is_written(
    run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path
) -> None:
    code, _, err = run_cli(
        "train", "folder", "--data", folder_of_recordings, "--out", tmp_path / "run",
        "--set", "frames.filters.hot_pixels=16:0",
    )  # fmt: skip
    assert code == 2
    assert "filters.hot_pixels: got the pixel 16:0; expected pixels inside 16x16" in err
    assert not (tmp_path / "run").exists()
