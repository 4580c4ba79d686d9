"""Helpers: the same content with them, and their failures."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from binary_recordings import SIZE, content, split_of

from stdl_events.errors import DatasetError, OutsideError
from stdl_events.events import Recording, open_recording
from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, prepare, shards, workers
from stdl_events.prepared.jobs import ShardJob
from stdl_events.recordings import Split

Make = Callable[..., Preparation]
COUNT = FrameSpec(kind="recording", steps=5, by="count", sensor_size=SIZE, cap=255)


def test_content_does_not_depend_on_who_made_it(
    make: Make, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = content(make("alone").store)
    by_parent = request.getfixturevalue("idle_parent")
    shared = make("shared", workers=3)
    assert (shared.made, len(alone)) == (40, 5)
    assert len(by_parent) < 3
    assert content(shared.store) == alone
    assert capfd.readouterr().err == "", "helpers start without a warning"


DYING = """
import sys
from multiprocessing.connection import Connection

connection = Connection(int(sys.argv[1]))
connection.send(None)
connection.recv()
"""
# Returns a write error, like a helper on a full disk.
FAILING = """
from stdl_events.errors import DatasetError
connection.send(DatasetError("shard", got="No space left on device", expected="room", todo="make room"))
"""


@pytest.mark.parametrize(
    ("program", "error", "expected"),
    [
        (DYING, OutsideError, r"got a worker process that was killed.*run the same command again"),
        (DYING + FAILING, DatasetError, "shard: got No space left on device; expected room; make room"),
    ],
)
def test_a_helper_that_fails_is_reported(
    make: Make, monkeypatch: pytest.MonkeyPatch, program: str, error: type[Exception], expected: str
) -> None:
    def slow(job: ShardJob) -> tuple[shards.Shard, Callable[[], None]]:
        time.sleep(2)
        return shards.cut_shard(job)

    with monkeypatch.context() as patched:
        patched.setattr(workers, "HELP_AFTER_S", 0.0)
        patched.setattr(workers, "PROGRAM", ("-c", program))
        patched.setattr(workers, "cut_shard", slow)
        with pytest.raises(error, match=expected):
            make(workers=2)
    assert make().manifest.complete


def test_readers_of_the_calling_script_stay_there(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HELP_AFTER_S", 0.0)
    monkeypatch.setattr(workers, "PROGRAM", ("-c", "raise SystemExit('started')"))
    both = split_of(recordings)
    opened: list[Path] = []

    def read(path: Path) -> Recording:
        opened.append(path)
        return open_recording(path, format="nmnist", sensor_size=(34, 34))

    sides = [
        side.with_entries(replace(entry, reader=read, format=None) for entry in side.entries)
        for side in (both.train, both.test)
    ]
    made = prepare(
        Split(*sides, both.rule),
        COUNT,
        tmp_path / "own",
        dataset="folder",
        root=recordings,
        workers=4,
    )
    assert len(set(opened)) == made.made == 40  # the check by events opens some again


def test_a_helper_that_does_not_start_is_done_without(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HELP_AFTER_S", 0.0)
    monkeypatch.setattr(workers, "PROGRAM", ("-c", "raise SystemExit(1)"))
    assert make(workers=2).made == 40
