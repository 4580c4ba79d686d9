"""Shards made by the workers of a Dask cluster, in a folder that they share with the caller.

A shard is a task: `make_shard`, as in a helper process. A worker that dies costs its shard, which goes to
another one. Two workers that make the same shard write the same bytes, each atomically. Recordings whose readers a
worker cannot import are refused before anything is sent.
"""

import asyncio
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from stdl_events import __version__
from stdl_events.errors import ClusterError, DatasetError, MissingExtraError, StdlEventsError
from stdl_events.events.stream import RecordingWarning
from stdl_events.prepared.jobs import ShardJob
from stdl_events.prepared.manifest import FRAMING_VERSION, SCHEMA_VERSION
from stdl_events.prepared.payload import ZSTD_VERSION
from stdl_events.prepared.shards import Shard
from stdl_events.prepared.workers import MakeShards, outcome, stays_here

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 10.0
# Without news for so long, the caller is told why.
SILENCE_S = 30.0
# A network file system may show a new file late.
ARRIVAL_S = 60.0
# Submitted at a time: the scheduler's memory does not grow with the dataset.
AHEAD = 1000
AGAIN = "run the same command again: finished clips are kept"


@contextmanager
def connected(scheduler: str) -> Iterator[MakeShards]:
    """Connect to the Dask scheduler at the address `scheduler`; yield the function that makes shards on its workers.

    Raises:
        MissingExtraError: the package distributed is not installed.
        DatasetError: the address does not parse.
        ClusterError: the scheduler does not answer.
    """
    try:
        from distributed import Client
        from distributed.utils import LoopRunner
    except ImportError:
        raise MissingExtraError(
            "--scheduler", got="no package distributed", expected="the extra cluster",
            todo="pip install 'stdl-events[cluster]'",
        ) from None  # fmt: skip
    try:
        # A client that cannot connect is slow to end.
        LoopRunner().run_sync(_require_answer, scheduler)
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except ValueError as error:
        raise DatasetError(
            "--scheduler", got=f"{scheduler!r} ({error})", expected="an address such as tcp://host:8786",
            todo="copy the address that the scheduler prints",
        ) from None  # fmt: skip
    except OSError as error:
        raise ClusterError(
            f"--scheduler {scheduler}", got=f"no answer ({_first_line(error)})", expected="a Dask scheduler there",
            todo="check the address, and that dask scheduler is running",
        ) from None  # fmt: skip
    # A lost scheduler is an error here, and no traceback beside it.
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield lambda jobs: _make_shards(client, jobs)
    finally:
        client.close()
        log.setLevel(level)


async def _require_answer(scheduler: str) -> None:
    """Connect and disconnect.

    Raises:
        ValueError: the address does not parse.
        OSError: nothing answers there, or no scheduler.
    """
    from distributed import Security
    from distributed.comm import connect

    connecting = connect(scheduler, timeout=CONNECT_S, **Security().get_connection_args("client"))
    # Another kind of server may accept and then say nothing, for which `connect` has no timeout.
    comm = await asyncio.wait_for(connecting, CONNECT_S + 1)
    await comm.close()


def versions() -> str:
    """Return the versions on which the bytes of a shard depend."""
    return f"stdl-events {__version__} (schema {SCHEMA_VERSION}, framing {FRAMING_VERSION}) with zstd {ZSTD_VERSION}"


def _make_shards(client: "Client", jobs: Sequence[ShardJob]) -> Iterator[tuple[ShardJob, Shard]]:
    """Make all shards on the cluster, and yield each on completion; see `workers.make_shards`.

    Raises:
        DatasetError: a recording has a reader that workers do not have, or a shard is not writable.
        RecordingError: a recording has disappeared.
        MissingExtraError: a recording needs a package that is not installed on a worker.
        ClusterError: workers died, are not like this machine, or do not share its folders; or the scheduler is lost.
    """
    if not jobs:
        return
    reason = stays_here(jobs)
    if reason is not None:
        raise DatasetError(
            "--scheduler", got=reason, expected="what every worker can import", todo="prepare without --scheduler"
        )
    _wait_for_workers(client)
    _require_loadable(client, jobs)
    _say_threads(client)
    left = iter(jobs)
    sent: dict[Future, ShardJob] = {}
    done: SimpleQueue[Future] = SimpleQueue()
    with tempfile.NamedTemporaryFile(dir=jobs[0].path.parent.absolute(), prefix=".", suffix=".part") as file:
        proof = Path(file.name)

        def send(number: int) -> None:
            for job in islice(left, number):
                key = f"{job.path.stem}-{proof.stem}"
                future = client.submit(make_on_worker, job.absolute(), proof, versions(), key=key)
                sent[future] = job
                future.add_done_callback(done.put)

        try:
            send(AHEAD)
            while sent:
                future = _next(client, done)
                job = sent.pop(future)
                yield job, _arrived(job, *_result(future))
                send(1)
        finally:
            client.cancel(list(sent))


def make_on_worker(job: ShardJob, proof: Path, expected: str) -> tuple[Shard | StdlEventsError, int, str]:
    """Make a shard in the process of a worker.

    Args:
        proof: a file that the caller has just made in the store.
        expected: the caller's `versions`.

    Returns:
        The shard or the error, the bytes of its file, and the worker.
    """
    from distributed import get_worker

    worker = get_worker().address
    if expected != versions():
        got = f"{versions()} on the worker {worker}"
        error = ClusterError("--scheduler", got=got, expected=expected, todo="install the same versions there")
        return error, 0, worker
    for folder, there in ((proof.parent, proof.exists()), (job.root, job.root.is_dir())):
        if not there:
            return _not_shared(folder, worker), 0, worker
    # Warnings are caught for the whole process.
    with _ONE_AT_A_TIME:
        made = outcome(job)
    return made, job.path.stat().st_size if isinstance(made, Shard) else 0, worker


_ONE_AT_A_TIME = threading.Lock()


def _result(future: "Future") -> tuple[Shard, int, str]:
    """Return the shard of a task, the bytes of its file, and the worker that made it."""
    try:
        made, size, worker = future.result()
    except Exception as error:
        raise _failed(error) from error
    if isinstance(made, ClusterError):
        raise made
    if isinstance(made, StdlEventsError):
        raise type(made)(
            f"{made.subject} (on the worker {worker})", got=made.got, expected=made.expected, todo=made.todo
        )
    return made, size, worker


def _failed(error: Exception) -> Exception:
    """Return the error of a task that did not run to its end, in our words."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if isinstance(error, KilledWorker):
        return ClusterError(
            "prepare", got=f"{error.allowed_failures + 1} workers that were killed at the same shard, the last one "
            f"{error.last_worker.address}, perhaps out of memory",
            expected="workers that run to the end", todo=f"give them more memory and {AGAIN}",
        )  # fmt: skip
    if isinstance(error, FutureCancelledError):
        return ClusterError(
            "prepare", got="a scheduler that was lost", expected="one that runs to the end",
            todo=f"start it again and {AGAIN}",
        )  # fmt: skip
    if isinstance(error.__cause__, ImportError | AttributeError):  # the scheduler loads tasks too
        return _not_loadable("the scheduler", error.__cause__)
    if isinstance(error, ImportError | AttributeError):
        return _not_loadable("a worker", error)
    return error


def _wait_for_workers(client: "Client") -> None:
    """Wait for the first worker, and warn if that takes long."""
    told = False
    while not client.nthreads():
        try:
            client.wait_for_workers(1, timeout=SILENCE_S)
        except TimeoutError:
            if not told:
                told = True
                _say_none(client)


def _require_loadable(client: "Client", jobs: Sequence[ShardJob]) -> None:
    """Check that the workers can load the tasks: one that cannot would end without a reason.

    Raises:
        ClusterError: a worker cannot.
    """
    readers = {entry.reader for job in jobs for entry in job.entries}
    for worker, answer in client.run(load, *readers, on_error="return").items():
        if isinstance(answer, Exception):
            raise _not_loadable(f"the worker {worker}", answer)


def load(*readers: object) -> None:
    """Do nothing: a process that runs it has loaded this module and the readers."""


def _not_loadable(where: str, error: BaseException) -> ClusterError:
    return ClusterError(
        "prepare", got=f"{where} without some of this package or of a reader's module ({_first_line(error)})",
        expected=versions(), todo="install the same packages there",
    )  # fmt: skip


def _say_none(client: "Client") -> None:
    text = f"no worker is connected to {client.scheduler.address}; start some with dask worker, or wait"
    warnings.warn(text, RecordingWarning, stacklevel=3)


def _next(client: "Client", done: "SimpleQueue[Future]") -> "Future":
    """Wait for a future that is done, and warn if that takes long for want of workers."""
    told = False
    while True:
        try:
            return done.get(timeout=SILENCE_S)
        except Empty:
            if not told and not client.nthreads():
                told = True
                _say_none(client)


def _arrived(job: ShardJob, shard: Shard, size: int, worker: str) -> Shard:
    """Return `shard` once its file is in the store as seen from here."""
    until_s = time.monotonic() + ARRIVAL_S
    while time.monotonic() < until_s:
        with suppress(OSError):
            if job.path.stat().st_size == size:
                return shard
        os.listdir(job.path.parent)  # a network file system then looks again
        time.sleep(0.1)
    raise _not_shared(job.path.parent, worker)


def _say_threads(client: "Client") -> None:
    threads = [count for count in client.nthreads().values() if count > 1]
    if threads:
        warnings.warn(
            f"{len(threads)} workers have up to {max(threads)} threads each, of which one at a time makes a shard; "
            "start them with --nworkers auto --nthreads 1 to use all cores", RecordingWarning, stacklevel=2,
        )  # fmt: skip


def _not_shared(folder: Path, worker: str) -> ClusterError:
    return ClusterError(
        str(folder), got=f"another folder, or none, on the worker {worker}", expected="a folder shared by all machines",
        todo="put recordings and store on a file system that all of them mount under one path",
    )  # fmt: skip


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
