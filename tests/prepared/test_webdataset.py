"""`stdl-events webdataset`: shards that the package webdataset reads as the store's clips."""

import gc
import json
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from binary_recordings import CLASSES, SIZE

from stdl_events.errors import DatasetError
from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, PreparedSet
from stdl_events.prepared.manifest import Side
from stdl_events.prepared.tar_shards import write_tar_shards

Make = Callable[..., Preparation]
RunCli = Callable[..., tuple[int, str, str]]


def samples(files: list[Path]) -> list[dict[str, Any]]:
    """Read shards as a user of the package does; it leaves their files to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        read = list(webdataset.WebDataset(list(map(str, files)), shardshuffle=False).decode())
        gc.collect()
    return read


def test_the_package_reads_every_clip_with_its_label(make: Make, tmp_path: Path, run_cli: RunCli) -> None:
    long = FrameSpec(kind="recording", steps=20, by="count", sensor_size=SIZE, cap=255)
    store = PreparedSet.open(make(frame_spec=long).store)
    out = tmp_path / "out"
    code, said, err = run_cli("webdataset", store.path, out, "--shard-mb", 1, "--json")
    assert code == 0, err
    facts = json.loads(said)
    assert facts["clips"] == {"train": 30, "test": 10}
    assert facts["shards"] == {"train": ["train-000000.tar", "train-000001.tar"], "test": ["test-000000.tar"]}
    assert facts["bytes"] == sum(path.stat().st_size for path in out.glob("*.tar"))
    sides: tuple[Side, ...] = ("train", "test")
    for side in sides:
        expected = {}
        for number in store.side(side).number_N.tolist():
            entry = store.manifest.entries[store.table.entry_N[number]]
            expected[entry.key, int(store.table.t_start_us_N[number])] = number
        keys = []
        for sample in samples([out / name for name in facts["shards"][side]]):
            keys.append(sample["__key__"])
            number = expected.pop((sample["json"]["recording"], sample["json"]["t_start_us"]))
            frames_TCHW, label = store[number]
            np.testing.assert_array_equal(sample["npy"], frames_TCHW)
            assert sample["npy"].dtype == np.uint8
            assert (sample["cls"], sample["json"]["class"]) == (label, CLASSES[label])
        assert expected == {}
        assert keys == [f"{position:08d}" for position in range(len(keys))]
    described = json.loads((out / "dataset.json").read_text())
    assert described["classes"] == list(CLASSES)
    assert FrameSpec.parse(described["frames"]) == store.frame_spec
    assert [shard["clips"] for shard in described["shards"]["test"]] == [10]


def test_equal_stores_give_equal_bytes_in_an_order_that_mixes_classes(make: Make, tmp_path: Path) -> None:
    store = PreparedSet.open(make().store)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_tar_shards(store, tmp_path / name, shard_mb=1, seed=seed)
    a, b, c = ((tmp_path / name / "train-000000.tar").read_bytes() for name in "abc")
    assert a == b != c
    assert (tmp_path / "a" / "test-000000.tar").read_bytes() == (tmp_path / "c" / "test-000000.tar").read_bytes()
    with tarfile.open(tmp_path / "a" / "train-000000.tar") as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
        labels = [int(tar.extractfile(member).read()) for member in members if member.name.endswith(".cls")]  # type: ignore[union-attr]
    assert labels != sorted(labels)


def test_it_is_written_whole_or_not_at_all(make: Make, tmp_path: Path, run_cli: RunCli) -> None:
    made = make()

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tar_shards(PreparedSet.open(made.store), tmp_path / "out", shard_mb=1, seed=0, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recordings", "store"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes").touch()
    with pytest.raises(DatasetError, match=r"taken: got something that is already there; .*choose another OUT"):
        write_tar_shards(PreparedSet.open(made.store), tmp_path / "taken", shard_mb=1, seed=0)
    shard = made.store / "00000.clips"
    shard.write_bytes(shard.read_bytes()[:9] + b"?" + shard.read_bytes()[10:])
    code, _, err = run_cli("webdataset", made.store, tmp_path / "out")
    assert code == 2
    assert "a damaged clip" in err
    assert not (tmp_path / "out").exists()


def test_an_incomplete_store_is_refused(make: Make, tmp_path: Path, run_cli: RunCli) -> None:
    made = make()
    manifest = made.store / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"complete":true', '"complete":false'))
    code, _, err = run_cli("webdataset", made.store, tmp_path / "out")
    assert code == 2
    assert "got an incomplete store; expected a complete one; run the same stdl-events prepare again" in err
    assert not (tmp_path / "out").exists()
