"""A folder of recordings, and a store of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from binary_recordings import SIZE, split_of, write_recordings

from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, jobs, prepare, shards, workers
from stdl_events.prepared.jobs import ShardJob

COUNT = FrameSpec(kind="recording", steps=5, by="count", sensor_size=SIZE, cap=255)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few recordings make several shards."""
    monkeypatch.setattr(jobs, "MAX_ENTRIES", 16)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """20 recordings of each of two classes: three shards."""
    return write_recordings(tmp_path / "recordings", 20)


@pytest.fixture
def make(recordings: Path, tmp_path: Path) -> Callable[..., Preparation]:
    """Prepare the recordings into `<name>`, a quarter of them held out."""

    def run(name: str = "store", frame_spec: FrameSpec = COUNT, **options: Any) -> Preparation:
        asked = {"dataset": "folder", "root": recordings} | options
        return prepare(split_of(recordings), frame_spec, tmp_path / name, **asked)

    return run


@pytest.fixture
def idle_parent(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Start helpers at once and wait for a shard of theirs before the parent's first; returns the parent's shards."""
    made: list[Path] = []

    def wait_for_another(job: ShardJob) -> tuple[shards.Shard, Callable[[], None]]:
        until_s = time.monotonic() + 60
        while not set(job.path.parent.glob("[0-9]*.clips")) - set(made):
            assert time.monotonic() < until_s, "no helper made a shard"
            time.sleep(0.01)
        made.append(job.path)
        return shards.cut_shard(job)

    monkeypatch.setattr(workers, "HELP_AFTER_S", 0.0)
    monkeypatch.setattr(workers, "cut_shard", wait_for_another)
    return made
