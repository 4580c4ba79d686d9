"""Data sets of samples at the command line: Tonic's by name, a user's own from a recipe file, Tonic's transforms."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from published_layouts import make
from tonic_layouts import (
    write_asl_dvs,
    write_cifar10_mirror,
    write_digits,
    write_dvs_lip,
    write_gesture_mirror,
    write_poker,
    write_shd,
)

from stdl_events.errors import MissingExtraError
from stdl_events.recordings import DATASETS, read_events
from stdl_events.training.data_settings import DataSettings

pytest.importorskip("tonic")
pytestmark = pytest.mark.filterwarnings("ignore:.* where Tonic expects", "ignore:no recordings")
RunCli = Callable[..., tuple[int, str, str]]
SMALL = (
    "frames.kind=recording",
    "frames.dt_us=none",
    "frames.by=count",
    "frames.steps=3",
    "frames.downscale=8",
    "network.notation=4C3-AP2-4C3",
    "learning.least_blocks=1",
    "epochs=1",
    "batch_size=4",
    "device=cpu",
)


def sets(*assignments: str) -> list[str]:
    return [word for assignment in (*SMALL, *assignments) for word in ("--set", assignment)]


def test_a_class_of_tonic_is_prepared_trained_and_evaluated(run_cli: RunCli, tmp_path: Path) -> None:
    data, store, run = tmp_path / "data", tmp_path / "store", tmp_path / "run"
    write_dvs_lip(data)
    frames = ("--frames", "T=3,by=count,downscale=8", "--workers", 1)
    code, out, err = run_cli("prepare", "tonic:DVSLip", "--data", data, *frames, "--out", store, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["dataset"], facts["recordings"], facts["clips"]) == ("tonic:DVSLip", 9, {"train": 6, "test": 3})

    trained = {}
    for name, where in (("direct", ("--data", data)), ("stored", ("--set", f"data.prepared={store}"))):
        asked = (*sets("data.dataset=tonic:DVSLip"), *where, "--out", run / name, "--json")
        code, out, err = run_cli("train", "folder", *asked)
        assert code == 0, err
        trained[name] = json.loads(out)
    assert "split of tonic:DVSLip: 6 to train, 3 held out; checked: no recording on both sides" in err
    assert trained["direct"]["confusion"] == trained["stored"]["confusion"]
    code, out, err = run_cli("evaluate", run / "direct", "--predictions", tmp_path / "p.json", "--json")
    assert code == 0, err
    assert json.loads(out)["confusion"] == trained["direct"]["confusion"]
    require_shown(run_cli, data, tmp_path / "p.json", clips=3)


def test_a_set_without_sides_takes_every_rule(run_cli: RunCli, tmp_path: Path) -> None:
    write_asl_dvs(tmp_path / "data")
    asked = (*sets("data.dataset=tonic:ASLDVS", "data.split.held_out=0.25"), "--data", tmp_path / "data")
    code, out, err = run_cli("train", "folder", *asked, "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert "split by recording, 25% of each class, seed 0: 9 to train, 3 held out" in err
    assert json.loads(out)["n"] == 3


def write_hands(root: Path) -> None:
    """Three recordings of each suit, in the layout of Tonic's Poker-DVS."""
    suits = enumerate(("cl", "he", "di", "sp"))
    write_poker(root, {suit: [make(10 * seed + take, 35, 35) for take in range(3)] for seed, suit in suits})


@pytest.mark.parametrize("name", ["SHD", "POKERDVS"])
def test_sets_in_one_file_or_in_memory_are_prepared(run_cli: RunCli, tmp_path: Path, name: str) -> None:
    write_shd(tmp_path)
    write_hands(tmp_path)
    store = tmp_path / "store"
    asked = ("--data", tmp_path, "--frames", "T=3,by=count", "--out", store, "--json")
    code, out, err = run_cli("prepare", f"tonic:{name}", *asked)
    assert code == 0, err
    counts = {"SHD": {"train": 4, "test": 2}, "POKERDVS": {"train": 8, "test": 4}}
    assert json.loads(out)["clips"] == counts[name]
    code, out, err = run_cli("prepare", f"tonic:{name}", *asked)
    assert json.loads(out)["made"] == 0, "all shards are kept"
    if name == "POKERDVS":
        small = sets(f"data.dataset=tonic:{name}", f"data.prepared={store}", "frames.downscale=1")
        code, out, err = run_cli("train", "folder", *small, "--out", tmp_path / "run", "--json")
        assert code == 0, err
        assert json.loads(out)["n"] == 4
        direct = (*sets(f"data.dataset=tonic:{name}", "frames.downscale=1"), "--data", tmp_path)
        code, out, err = run_cli("train", "folder", *direct, "--out", tmp_path / "direct", "--json")
        assert code == 0, err
        code, again, err = run_cli("evaluate", tmp_path / "direct", "--predictions", tmp_path / "p.json", "--json")
        assert code == 0, err
        assert json.loads(again)["confusion"] == json.loads(out)["confusion"]
        require_shown(run_cli, tmp_path, tmp_path / "p.json", clips=4)


def require_shown(run_cli: RunCli, data: Path, predictions: Path, clips: int) -> None:
    """The clips are cut again by the data set's own reader, with the events that the recordings hold."""
    document = json.loads(predictions.read_text())
    assert all(row["own_reader"] for row in document["recordings"])
    code, out, err = run_cli("show", data, "--predictions", predictions, "--json")
    assert code == 0, err
    shown = json.loads(out)["clips"]
    settings = DataSettings.model_validate(document["data"])
    held_out = {entry.key: entry for entry in DATASETS[settings.dataset].split(data).test.entries}
    assert {clip["key"]: clip["events"] for clip in shown} == {
        clip["key"]: len(held_out[clip["key"]].open().read()) for clip in shown
    }
    assert len(shown) == clips
    del document["data"]
    predictions.write_text(json.dumps(document))
    code, _, err = run_cli("show", data, "--predictions", predictions)
    assert code == 2
    assert "expected a file of predictions that names the dataset; write it with stdl-events evaluate" in err


RECIPE = '''
import numpy as np
from tonic.transforms import Compose, DropPixel, RefractoryPeriod

from stdl_events.recipes import folder
from stdl_events.recordings import DATASETS, sample_dataset


class Noise:
    """Three kinds of noise, in memory; a `torch.utils.data.Dataset` needs no more."""

    sensor_size = (16, 16, 2)
    dtype = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i1")])

    def __init__(self, root):
        self.transform = Compose([RefractoryPeriod(delta=10), DropPixel(coordinates=[(1, 1)])])

    def __len__(self):
        return 15

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        events = np.zeros(200, self.dtype)
        events["t"] = np.sort(rng.integers(0, 200_000, 200))
        events["x"], events["y"] = rng.integers(0, 16, (2, 200))
        events["p"] = 2 * rng.integers(0, 2, 200) - 1
        return self.transform(events), ("loud", "soft", "wild")[index % 3]


DATASETS.register("noise", sample_dataset("three kinds of noise", Noise))


def recipe():
    return folder.recipe().derive(name="noise", data={"dataset": "noise"})
'''


def test_a_users_own_is_one_line_of_a_recipe_file(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "noise.py").write_text(RECIPE)
    try:
        asked = ("--data", tmp_path, *sets("frames.downscale=1"), "--out", tmp_path / "run", "--json")
        code, out, err = run_cli("train", tmp_path / "noise.py", *asked)
        assert code == 0, err
        code, again, err = run_cli("evaluate", tmp_path / "run", "--json")
        assert code == 0, err
        assert json.loads(again)["confusion"] == json.loads(out)["confusion"]
        prepared = ("--frames", "T=3,by=count", "--out", tmp_path / "store", "--json")
        code, facts, err = run_cli("prepare", "noise", "--data", tmp_path, *prepared)
        assert code == 0, err
    finally:
        DATASETS.unregister("noise")
    assert json.loads(out)["labels"] == ["loud", "soft", "wild"]
    assert json.loads(out)["n"] == json.loads(facts)["clips"]["test"] == 3


TRANSFORMED = """
from tonic.transforms import Compose, RefractoryPeriod, TimeSkew

from stdl_events.recipes import folder
from stdl_events.recordings import DATASETS
from stdl_events.recordings.datasets.tonic_sets import tonic_dataset

skewed = Compose([RefractoryPeriod(delta=20), TimeSkew(coefficient=2.0)])
DATASETS.register("moved", tonic_dataset(NAME, transform=skewed))


def recipe():
    return folder.recipe().derive(name="moved", data={"dataset": "moved"})
"""


@pytest.mark.parametrize(
    ("name", "write", "held_out"),
    [
        ("DVSLip", write_dvs_lip, 3),
        ("ASLDVS", write_asl_dvs, 3),
        ("CIFAR10DVS", partial(write_cifar10_mirror, per_class=2), 10),
        ("DVSGesture", write_gesture_mirror, 3),
        ("NMNIST", write_digits, 10),
        ("POKERDVS", write_hands, 4),
    ],
)
def test_a_class_of_tonic_trains_with_tonics_transforms(
    run_cli: RunCli,
    tmp_path: Path,
    name: str,
    write: Callable[[Path], None],
    held_out: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recipe's recordings are those of Tonic's class with these transforms, event for event."""
    from tonic import datasets, transforms

    write(tmp_path / "data")
    (tmp_path / "moved.py").write_text(TRANSFORMED.replace("NAME", repr(name)))
    asked = ("--data", tmp_path / "data", *sets(), "--out", tmp_path / "run", "--json")
    try:
        code, out, err = run_cli("train", tmp_path / "moved.py", *asked)
        assert code == 0, err
        dataset = DATASETS["moved"]
        recordings = dataset.read(tmp_path / "data") if dataset.read else dataset.split(tmp_path / "data").train
    finally:
        DATASETS.unregister("moved")
    assert json.loads(out)["n"] == held_out
    monkeypatch.setattr(getattr(datasets, name), "_check_exists", lambda self: True)
    skewed = transforms.Compose(
        [lambda events: events.reshape(-1), transforms.RefractoryPeriod(delta=20), transforms.TimeSkew(coefficient=2.0)]
    )
    samples = getattr(datasets, name)(str(tmp_path / "data"), transform=skewed)
    index_of = {Path(file): index for index, file in enumerate(samples.data) if isinstance(file, str | Path)}
    for number, entry in enumerate(recordings.entries[:4]):
        # Poker-DVS is in memory, in the order of its files.
        events, label = samples[index_of[entry.path] if index_of else number]
        ours = read_events(entry)
        assert entry.label == label
        for field in "txyp":
            assert ours[field].astype(int).tolist() == events[field].astype(int).ravel().tolist()


def test_tonics_frames_train_the_same_network(run_cli: RunCli, tmp_path: Path) -> None:
    write_asl_dvs(tmp_path / "data")
    found = {}
    for framer in ("own", "tonic"):
        asked = sets("data.dataset=tonic:ASLDVS", f"data.framer={framer}", "frames.remainder=drop")
        code, out, err = run_cli(
            "train", "folder", *asked, "--data", tmp_path / "data", "--out", tmp_path / framer, "--json"
        )
        assert code == 0, err
        found[framer] = {key: value for key, value in json.loads(out).items() if key in ("confusion", "accuracy", "n")}
    assert found["own"] == found["tonic"]
    assert (tmp_path / "own" / "bundle" / "model.safetensors").read_bytes() == (
        tmp_path / "tonic" / "bundle" / "model.safetensors"
    ).read_bytes()


def test_help_lists_the_classes(run_cli: RunCli) -> None:
    code, out, _ = run_cli("prepare", "--help")
    assert code == 0
    assert "tonic:CLASS:aclassofTonic'sdatasets(extra`train`):ASLDVS,CIFAR10DVS," in "".join(out.split())


def test_an_unknown_class_is_one_line_with_the_nearest(run_cli: RunCli) -> None:
    for command in (
        ("train", "folder", "--set", "data.dataset=tonic:DVSLips"),
        ("prepare", "tonic:DVSLips", "--frames", "T=2,dt=20ms"),
    ):
        code, _, err = run_cli(*command)
        assert code == 2
        assert err.endswith("or tonic:VPR; did you mean 'tonic:DVSLip'?\n")


def test_without_tonic_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stdl_events.recordings.datasets.tonic_sets.class_names", lambda: ())
    with pytest.raises(MissingExtraError, match=r"got no package tonic; expected the extra `train`; pip install"):
        DataSettings(dataset="tonic:DVSLip")
    assert DataSettings(dataset="folder").dataset == "folder"
