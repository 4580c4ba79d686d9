"""`prepare --scheduler`: the bytes of the local store by two worker processes, one of them killed, and its refusals."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dask
import deadly_readers
import pytest
from binary_recordings import SIZE, content, split_of
from distributed import Client, LocalCluster

from stdl_events.errors import ClusterError, DatasetError, MissingExtraError, RecordingError, StdlEventsError
from stdl_events.events import FORMATS, Recording, RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, PreparedSet, cluster, prepare
from stdl_events.prepared.jobs import ShardJob
from stdl_events.recordings import Split

Make = Callable[..., Preparation]
RunCli = Callable[..., tuple[int, str, str]]
COUNT = FrameSpec(kind="recording", steps=5, by="count", sensor_size=SIZE, cap=255)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[LocalCluster]:
    """Two processes of one thread each, which are started again when they die; imports are done once, before a fork."""
    multiprocessing.set_forkserver_preload(["distributed", "stdl_events.prepared.cluster"])
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as cluster,
    ):
        yield cluster


@pytest.fixture
def address(two_workers: LocalCluster) -> str:
    return str(two_workers.scheduler_address)


@pytest.fixture
def local(make: Make) -> dict[str, bytes]:
    """The content of a store made by this process."""
    return content(make("local").store)


def with_reader(split: Split, reader: Callable[[Path], Recording]) -> Split:
    sides = [
        side.with_entries(replace(entry, reader=reader, format=None) for entry in side.entries)
        for side in (split.train, split.test)
    ]
    return Split(*sides, split.rule)


def test_the_command_makes_the_bytes_of_the_local_store(
    run_cli: RunCli, recordings: Path, tmp_path: Path, address: str
) -> None:
    sized = ["prepare", "folder", "--data", recordings, "--frames", "T=5,by=count", "--format", "nmnist"]
    sized += ["--sensor", "34x34", "--out"]
    assert run_cli(*sized, tmp_path / "local", "--workers", 1)[0] == 0
    for kept in (0, 40):
        code, out, err = run_cli(*sized, tmp_path / "shared", "--scheduler", address)
        assert code == 0, err
        assert f"{40 - kept} cut now, {kept} there already" in out
        assert "40/40 recordings" in err
        assert content(tmp_path / "shared") == content(tmp_path / "local")


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard(
    recordings: Path, tmp_path: Path, address: str, make: Make, two_workers: LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It dies within the second shard; then one recording kills every worker."""
    split = with_reader(split_of(recordings), deadly_readers.read)
    made = [entry.path for entry in (*split.train.entries, *split.test.entries)]
    made[20].with_suffix(f".{deadly_readers.ONCE}").touch()

    def run(name: str, **options: object) -> dict[str, bytes]:
        store = tmp_path / name
        return content(prepare(split, COUNT, store, dataset="folder", root=recordings, **options).store)

    shared = run("shared", scheduler=address)
    assert not made[20].with_suffix(f".{deadly_readers.ONCE}").exists()
    assert shared == run("alone")

    made[20].with_suffix(f".{deadly_readers.ALWAYS}").touch()
    monkeypatch.setattr(two_workers.scheduler, "allowed_failures", 0)
    with pytest.raises(ClusterError, match=r"1 workers that were killed at the same shard.*run the same command again"):
        run("again", scheduler=address)
    with pytest.raises(DatasetError, match="incomplete"):
        PreparedSet.open(tmp_path / "again")
    made[20].with_suffix(f".{deadly_readers.ALWAYS}").unlink()
    assert run("again", scheduler=address) == shared


def test_an_interrupted_run_goes_on(make: Make, address: str, local: dict[str, bytes], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make("shared", scheduler=address, progress=interrupt)
    with pytest.raises(DatasetError, match="incomplete"):
        PreparedSet.open(tmp_path / "shared")
    resumed = make("shared", scheduler=address)
    assert resumed.kept >= 8
    assert content(resumed.store) == local


def other_versions() -> str:
    return "stdl-events 9 with zstd 9"


def elsewhere(job: ShardJob) -> ShardJob:
    return replace(job, root=Path("/nowhere"))


@pytest.mark.parametrize(
    ("owner", "name", "replaced", "expected"),
    [
        (
            cluster,
            "versions",
            other_versions,
            r"stdl-events \d.* on the worker tcp.*expected stdl-events 9 with zstd 9",
        ),
        (
            ShardJob,
            "absolute",
            elsewhere,
            r"/nowhere: got another folder, or none, on the worker tcp.*file system that all",
        ),
    ],
)
def test_workers_that_are_not_like_this_machine(
    make: Make,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    replaced: Callable[..., object],
    expected: str,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, replaced)
        with pytest.raises(ClusterError, match=expected):
            make(scheduler=address)
    assert make(scheduler=address).manifest.complete


def hide(module: str) -> None:
    sys.modules[module] = None  # type: ignore[assignment]


def show(module: str) -> None:
    del sys.modules[module]


@pytest.mark.parametrize("module", ["stdl_events.prepared.cluster", "deadly_readers"])
def test_workers_that_cannot_load_a_task(recordings: Path, tmp_path: Path, address: str, module: str) -> None:
    split = with_reader(split_of(recordings), deadly_readers.read)
    with Client(address, set_as_default=False) as client:
        client.run(hide, module)
        try:
            with pytest.raises(ClusterError, match=r"got the worker tcp.* without some of this package.*install the"):
                prepare(split, COUNT, tmp_path / "store", dataset="folder", root=recordings, scheduler=address)
        finally:
            client.run(show, module)


def test_errors_name_the_worker(make: Make, address: str, recordings: Path) -> None:
    def remove(done: int, total: int) -> None:
        for path in recordings.glob("*/000.bin"):
            path.unlink(missing_ok=True)

    with pytest.raises(RecordingError, match=r"000.bin \(on the worker tcp://.*No such file"):
        make(scheduler=address, progress=remove)


def test_what_workers_cannot_import_is_refused(make: Make, address: str, recordings: Path, tmp_path: Path) -> None:
    def read(path: Path) -> Recording:
        raise AssertionError("it must not travel")

    for_all = {"dataset": "folder", "root": recordings, "scheduler": address}
    with pytest.raises(DatasetError, match=r"a reader of .*\.bin that is in no importable module; .*without --sched"):
        prepare(with_reader(split_of(recordings), read), COUNT, tmp_path / "own", **for_all)
    FORMATS.register("mine", FORMATS["nmnist"])
    try:
        with pytest.raises(DatasetError, match=r"the registered format mine; .*prepare without --scheduler"):
            make(scheduler=address)
    finally:
        FORMATS.unregister("mine")


def test_workers_with_threads_are_named_and_make_the_same(make: Make, local: dict[str, bytes]) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0") as threads:
        with pytest.warns(RecordingWarning, match="1 workers have up to 3 threads each"):
            made = make("shared", scheduler=threads.scheduler_address)
        assert content(made.store) == local


def test_a_scheduler_without_workers_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SILENCE_S", 0.01)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(RecordingWarning, match=r"no worker is connected to .*dask worker"),
    ):
        make(scheduler=empty.scheduler_address)


@pytest.mark.parametrize(
    ("scheduler", "error", "code", "expected"),
    [
        ("tcp://127.0.0.1:9", ClusterError, 7, "127.0.0.1:9: got no answer .*check the address"),
        ("somewhere", DatasetError, 2, "got 'somewhere' .*expected an address such as tcp://host:8786"),
    ],
)
def test_a_scheduler_that_does_not_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheduler: str, error: type[StdlEventsError],
    code: int, expected: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "CONNECT_S", 0.1)
    with pytest.raises(error, match=expected) as caught:
        make(scheduler=scheduler)
    assert caught.value.exit_code == code
    assert not (tmp_path / "store").exists()


def test_the_extra_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stdl-events\[cluster\]'"):
        make(scheduler="tcp://127.0.0.1:9")


def test_workers_and_a_scheduler_contradict(run_cli: RunCli, recordings: Path) -> None:
    asked = ["prepare", "folder", "--data", recordings, "--frames", "T=5,by=count", "--workers", 2]
    code, _, err = run_cli(*asked, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert "prepare: got --workers and --scheduler; expected one of them" in err
