"""Shards made by several processes, the calling one among them. Workers are spawned: they import no torch."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

from stdl_events.errors import OutsideError
from stdl_events.prepared.shards import Shard, ShardJob, make_shard

# A worker takes about this long to start, so that small sets are done before it could help.
HELP_AFTER_S = 0.5


def make_shards(jobs: Sequence[ShardJob], workers: int) -> Iterator[tuple[ShardJob, Shard]]:
    """Make all shards, and yield each when it is done.

    Raises:
        DatasetError: a shard cannot be written.
        OutsideError: a worker died.
    """
    began_s, left = time.monotonic(), list(jobs)
    while left and (workers == 1 or time.monotonic() - began_s < HELP_AFTER_S):
        job = left.pop(0)
        yield job, make_shard(job)
    if not left:
        return
    helpers = min(workers - 1, len(left))
    pool = ProcessPoolExecutor(helpers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        futures = {pool.submit(make_shard, job): job for job in left}
        yield from _share(futures)
    except BrokenProcessPool:
        raise OutsideError(
            "prepare", got="a worker process that was killed, perhaps for want of memory",
            expected="workers that live until the end",
            todo="run the same command again, with fewer --workers; what is done is kept",
        ) from None  # fmt: skip
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _share(futures: dict[Future[Shard], ShardJob]) -> Iterator[tuple[ShardJob, Shard]]:
    """Work from the end of the queue while the pool works from its beginning."""
    left = dict(futures)
    for future, job in reversed(futures.items()):
        if future.cancel():
            del left[future]
            yield job, make_shard(job)
        for done in [other for other in left if other.done()]:
            yield left.pop(done), done.result()
    for done in as_completed(left):
        yield left[done], done.result()


def _start_worker() -> None:
    """An interrupt is the parent's to handle, and nobody works on for a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
