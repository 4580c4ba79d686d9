"""Shards made by several processes, the calling one among them.

Helpers are separate programs, not copies of the caller: a script needs no `__main__` guard, and its imports are not
repeated. They start once the work has taken longer than their start, and get a job when ready, so that they never delay
the end. The calling process cuts the next shard while a thread waits for the disk.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TypeAlias

from stdl_events import child_process
from stdl_events.errors import OutsideError, StdlEventsError
from stdl_events.events import FORMATS
from stdl_events.prepared.jobs import ShardJob
from stdl_events.prepared.shards import Shard, cut_shard, make_shard

# Approximate start-up time of a helper.
HELP_AFTER_S = 0.5
PROGRAM = child_process.command("stdl_events.prepared.worker")[1:]

MakeShards: TypeAlias = Callable[[Sequence[ShardJob]], Iterator[tuple[ShardJob, Shard]]]
"""Makes all shards, and yields each on completion."""
_Done: TypeAlias = "SimpleQueue[tuple[ShardJob, Shard | StdlEventsError]]"


def make_shards(jobs: Sequence[ShardJob], workers: int) -> Iterator[tuple[ShardJob, Shard]]:
    """Make all shards, and yield each on completion.

    Raises:
        DatasetError: a shard is not writable.
        MissingExtraError: a recording needs a package that is not installed.
        OutsideError: a worker died.
    """
    left: deque[ShardJob] = deque(jobs)
    done: _Done = SimpleQueue()
    helpers: list[_Helper] = []
    wanted = workers - 1 if stays_here(jobs) is None else 0
    began_s = time.monotonic()
    disk = _Disk(done)
    try:
        for _ in jobs:
            while left and done.empty():
                if wanted and time.monotonic() - began_s >= HELP_AFTER_S:
                    helpers, wanted = [_Helper(left, done) for _ in range(min(wanted, len(left)))], 0
                _work(left, disk)
            job, outcome = done.get()
            if isinstance(outcome, StdlEventsError):
                raise outcome
            yield job, outcome
    finally:
        left.clear()
        disk.end()
        for helper in helpers:
            helper.end()


def outcome(job: ShardJob) -> Shard | StdlEventsError:
    """Return the shard of `job`, or the error of making it."""
    try:
        return make_shard(job)
    except StdlEventsError as error:
        return error


class _Disk:
    """A thread that brings one shard at a time to the disk."""

    def __init__(self, done: _Done) -> None:
        self._done = done
        self._thread: threading.Thread | None = None

    def complete(self, job: ShardJob, shard: Shard, complete: Callable[[], None]) -> None:
        """Wait for the shard before, and complete this one in the background."""
        self.end()
        self._thread = threading.Thread(target=self._run, args=(job, shard, complete))
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self, job: ShardJob, shard: Shard, complete: Callable[[], None]) -> None:
        try:
            complete()
        except StdlEventsError as error:
            self._done.put((job, error))
        else:
            self._done.put((job, shard))


def _work(left: deque[ShardJob], disk: _Disk) -> None:
    """Make one shard in this process, unless a helper has taken the last one."""
    try:
        job = left.popleft()
    except IndexError:
        return
    disk.complete(job, *cut_shard(job))


def stays_here(jobs: Sequence[ShardJob]) -> str | None:
    """Return what other processes cannot import, in words: a registered format, or a reader of the calling script."""
    if FORMATS.registered:
        return f"the registered format {FORMATS.registered[0]}"
    readers = {entry.reader: entry for job in jobs for entry in job.entries if entry.reader is not None}
    own = next((entry for reader, entry in readers.items() if not _is_importable(reader)), None)
    return None if own is None else f"a reader of {own.path} that is in no importable module"


def _is_importable(function: Callable[..., object]) -> bool:
    """True if another process finds `function`, or the class of a callable object, by its name in its module.

    A reader of samples depends on the `factory` of their data set, and a user's factory on its function `make`.
    """
    for part in ("factory", "make"):
        function = getattr(function, part, function)
    function = function if hasattr(function, "__qualname__") else type(function)
    module = sys.modules.get(function.__module__)
    known = getattr(module, getattr(function, "__qualname__", ""), None)
    return known is function and function.__module__ != "__main__"


class _Helper:
    """A process that makes shards of `left`, and the thread that sends them to it."""

    def __init__(self, left: deque[ShardJob], done: _Done) -> None:
        ours, theirs = socket.socketpair()
        # The caller handles an interrupt: signals blocked here stay blocked in the new process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, *PROGRAM, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                env=child_process.environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        with ours:
            connection = Connection(os.dup(ours.fileno()))
        self._thread = threading.Thread(target=_hand_out, args=(connection, left, done), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


def _hand_out(connection: Connection, left: deque[ShardJob], done: _Done) -> None:
    job = None
    try:
        with connection:
            connection.recv()
            while left:
                try:
                    job = left.popleft()
                except IndexError:
                    return
                connection.send(job)
                done.put((job, connection.recv()))
                job = None
    except Exception:  # any error: the caller must not wait for this job forever
        if job is not None:
            done.put((job, _died()))


def _died() -> OutsideError:
    return OutsideError(
        "prepare", got="a worker process that was killed, perhaps out of memory",
        expected="workers that run to the end",
        todo="run the same command again, with fewer --workers; finished clips are kept",
    )  # fmt: skip
