"""`stdl-events prepare`: its output, its errors, and a valid store after SIGKILL at any moment."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from binary_recordings import CLASSES, content, write_recordings
from killed_runs import finish, kill_after, start

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.prepared import PreparedSet
from stdl_events.recordings import DATASETS, generate_walkers

RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def prepare(run_cli: RunCli, recordings: Path) -> RunCli:
    """Run the command on the small recordings."""

    def run(*options: object, frames: str = "T=5,by=count") -> tuple[int, str, str]:
        sized = ("--format", "nmnist", "--sensor", "34x34", "--workers", 1)
        return run_cli("prepare", "folder", "--data", recordings, "--frames", frames, *sized, *options)

    return run


def test_it_says_what_it_made(prepare: RunCli, tmp_path: Path) -> None:
    store = tmp_path / "store"
    code, out, err = prepare("--out", store)
    assert code == 0
    assert out == (
        f"{store}: 32 clips to train, 8 held out, of 5 x 2 x 34 x 34, from 40 recordings (0 without one, "
        f"0 bad ones left out); {sum(map(len, shards(store))) / 1e6:.1f} MB; 40 cut now, 0 there already\n"
    )
    assert "split by recording, 20% of each class, seed 0: 32 to train, 8 held out; checked: no recording" in err
    assert "40/40 recordings" in err
    assert f"next: stdl-events train RECIPE --data {store}" in err
    code, out, err = prepare("--out", store, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["made"], facts["kept"], facts["clips"]) == (0, 40, {"train": 32, "test": 8})
    assert facts["bytes"] == sum(map(len, shards(store)))
    assert facts["frames"]["steps"] == 5
    assert facts["bad"] == []


def shards(store: Path) -> list[bytes]:
    return [data for name, data in content(store).items() if name.endswith(".clips")]


def test_each_way_to_cut_has_its_own_folder(prepare: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for frames in ("T=5,by=count", "T=4,dt=5ms,size=17"):
        assert prepare(frames=frames)[0] == 0
    names = sorted(path.name for path in (tmp_path / "prepared").iterdir())
    assert names == ["folder-T4-dt5ms-downscale2", "folder-T5-bycount"]


def test_bad_recordings(prepare: RunCli, recordings: Path, tmp_path: Path) -> None:
    for name in ("left/001.bin", "right/002.bin"):
        path = recordings / name
        path.write_bytes(path.read_bytes()[:-1])
    store = tmp_path / "store"
    code, out, err = prepare("--out", store)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"stdl-events: error: {store}: got 2 of 40 unreadable recordings: ")
    for name in ("left/001.bin", "right/002.bin"):
        assert f"{recordings / name}: got 4 of 5 bytes of a record, which starts at byte 1495" in last
    code, out, err = prepare("--out", store, "--skip-bad")
    assert code == 0
    assert "from 38 recordings (0 without one, 2 bad ones left out)" in out
    assert f"left out left/001.bin: {recordings / 'left/001.bin'}: got 4 of 5 bytes" in err
    facts = json.loads(prepare("--out", store, "--skip-bad", "--json")[1])
    assert [bad["key"] for bad in facts["bad"]] == ["left/001.bin", "right/002.bin"]
    assert "byte 1495" in facts["bad"][0]["error"]


@pytest.mark.parametrize("suffix", ["h5", "txt"])
def test_the_first_of_a_class_may_be_bad(run_cli: RunCli, tmp_path: Path, suffix: str) -> None:
    """Files that store the sensor size, and files whose size is inferred from their events."""
    for label, name in enumerate(CLASSES):
        for number in range(3):
            events = empty_events(4)
            events["t"], events["x"], events["y"] = [1000, 2100, 3200, 4300], label, [number, 5, 6, 7]
            path = tmp_path / "data" / name / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == "txt":
                path.write_text("".join(f"{t} {x} {y} {int(p)}\n" for t, x, y, p in events.tolist()))
            else:
                write_recording(path, events, (2, 8))
    bad = tmp_path / "data" / "left" / f"0.{suffix}"
    bad.write_text("1 2 three 4\n")
    arguments = ["prepare", "folder", "--data", tmp_path / "data", "--frames", "T=2,by=time", "--out", tmp_path / "s"]
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert "got 1 of 6 unreadable recordings: " in err
    code, out, err = run_cli(*arguments, "--skip-bad")
    assert code == 0, err
    assert "of 2 x 2 x 8 x 2, from 5 recordings (0 without one, 1 bad ones left out)" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["digits", "--frames", "T=5,by=count"], "dataset: got 'digits'; expected walkers or folder or nmnist"),
        (["folder", "--frames", "T=5,by=count"], "prepare: got no folder of recordings; .* --data DIR"),
        (["folder", "--data", "nowhere", "--frames", "T=5,by=count"], "nowhere: got no such folder; expected a folder"),
        (["folder", "--data", "{data}", "--frames", "T=5"], "--frames: got 'T=5'; expected T=10 with one of"),
        (["folder", "--data", "{data}", "--frames", "T=5,n=9", "--split", "half"], "--split: rule: got 'half'; expect"),
        (["folder", "--data", "{data}", "--frames", "T=5,n=9", "--split", "seed=x"], "--split: seed: got 'x'"),
        (["gait_day", "--data", "{data}", "--frames", "T=5,n=9", "--split", "time"], "data.split.rule: got time"),
        (["folder", "--data", "{data}", "--frames", "T=5,n=9", "--layout", "{{x}}"], "data.layout: got the field {x}"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(
    run_cli: RunCli, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
    expected: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli("prepare", *(argument.format(data=recordings) for argument in arguments))
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.strip()][-1].startswith("stdl-events: error: ")
    assert re.search(expected, err)
    assert not (tmp_path / "prepared").exists()


def test_walkers_are_made_and_prepared(run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = {"people": 8, "per_person": 40, "sensor_size": (48, 48), "duration_us": 1_600_000, "seed": 0}
    asked: list[dict[str, object]] = []

    def small(root: Path, **request: object) -> object:
        asked.append(request)
        return generate_walkers(root, people=2, per_person=2, sensor_size=(16, 16), duration_us=40_000, seed=0)

    walkers = DATASETS["walkers"]
    DATASETS.unregister("walkers")
    try:
        DATASETS.register("walkers", replace(walkers, split=small))
        code, _, err = run_cli("prepare", "walkers", "--frames", "T=4,dt=2ms", "--workers", 1)
    finally:
        DATASETS.unregister("walkers")
        DATASETS.register("walkers", walkers)
    assert code == 0, err
    assert asked == [made]
    store = PreparedSet.open(tmp_path / "prepared" / "walkers-T4-dt2ms")
    assert Path(store.manifest.root) == tmp_path / "runs" / "walkers-8x40-48x48-1600000us-0"


def test_the_unit_of_time_is_part_of_a_store(run_cli: RunCli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data").mkdir(exist_ok=True)
        np.savez(tmp_path / "data" / f"{name}.npz", t=np.arange(9000), **{key: np.zeros(9000, "u1") for key in "xyp"})
    found = {}
    for unit in ("ms", "100us", "100us"):
        code, out, err = run_cli(
            "prepare", "folder", "--data", tmp_path / "data", "--frames", "T=5,dt=10ms", "--sensor", "4x4",
            "--time-unit", unit, "--out", tmp_path / "store", "--workers", 1, "--json",
        )  # fmt: skip
        assert code == 0, err
        facts = json.loads(out)
        assert (facts["made"], facts["kept"]) == ((0, 4) if unit in found else (4, 0))
        found[unit] = sum(facts["clips"].values())
    # Two recordings of 180 clips of 50 ms, or of 18; each misses the one or two in the gap between the sides.
    assert 2 * 178 <= found["ms"] < 2 * 180
    assert 2 * 16 <= found["100us"] < 2 * 18


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """60 larger recordings, and the content of an uninterrupted store of them."""
    folder = tmp_path_factory.mktemp("many")
    root = write_recordings(folder / "recordings", 30, events=20_000)
    finish(root, folder / "whole")
    return root, content(folder / "whole")


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next(many: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    root, whole = many
    store = tmp_path / "store"
    delays_s = np.random.default_rng().uniform(0, 0.25, 2)
    there = [kill_after(root, store, delay_s) for delay_s in delays_s]
    facts = json.loads(finish(root, store, "--json"))
    assert facts["made"] + facts["kept"] == 60, f"killed after {delays_s} s with {there} shards"
    assert content(store) == whole, f"killed after {delays_s} s with {there} shards"


@pytest.mark.slow
def test_helpers_end_with_a_killed_parent(many: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    root, whole = many
    store = tmp_path / "store"
    run = start(root, store)
    while not (store / "00001.clips").exists():
        time.sleep(0.001)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process of the group is still there")
    finish(root, store)
    assert content(store) == whole


@pytest.mark.slow
def test_nothing_that_trains_is_imported(many: tuple[Path, dict[str, bytes]], tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Neither by the command nor by its helpers."""
    root, whole = many
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("torch", "norse", "tonic", "onnx"):
        (stubs / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(stubs))
    finish(root, tmp_path / "store")
    assert content(tmp_path / "store") == whole


def test_a_warning_of_a_recording_is_written_once(run_cli: RunCli, tmp_path: Path) -> None:
    """A recording is opened for its size, its labels and its clips, and each time warned."""
    rows = ["recording,t_start,t_end,label"]
    for number in range(4):
        events = np.concatenate([drawn(number, 5_000_000), drawn(number + 10, 0)])
        np.savez(tmp_path / f"{number}.npz", **{name: events[name] for name in "txyp"})
        rows += [f"{number},0,1000000,a", f"{number},1000000,2000000,b"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    code, _, err = run_cli("prepare", "folder", "--data", tmp_path, "--frames", "T=5,n=20", "--out", tmp_path / "s",
                           "--workers", 1)  # fmt: skip
    assert code == 0, err
    assert [err.count(f"/{number}.npz: the clock leaps back") for number in range(4)] == [1] * 4


def drawn(seed: int, first_us: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = empty_events(2_000)
    events["t"] = first_us + np.sort(rng.integers(0, 2_000_000, 2_000))
    events["x"], events["y"], events["p"] = rng.integers(0, 8, (2, 2_000))[0], rng.integers(0, 8, 2_000), seed % 2
    events["p"][::2] = ~events["p"][::2]
    return events
