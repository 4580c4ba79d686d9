"""`stdl-events prepare` in its own process group, killed with SIGKILL after a delay.

Run as a program it is the command itself with small shards, so that many moments lie between two of them, and with
helpers from the start.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stdl_events.prepared import jobs, workers

FRAMES = "T=5,dt=5ms"


def start(root: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    """Start preparing the N-MNIST-like recordings in `root` with two processes."""
    command = [sys.executable, __file__, "prepare", "folder", "--data", root, "--out", store, "--frames", FRAMES]
    command += ["--format", "nmnist", "--sensor", "34x34", "--workers", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)), start_new_session=True, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(root: Path, store: Path, *options: str) -> str:
    """Run to the end; returns its stdout."""
    run = start(root, store, *options)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    return out


def kill_after(root: Path, store: Path, delay_s: float) -> int | None:
    """Kill the group `delay_s` after its store appeared; returns the number of shards, None if it had ended."""
    run = start(root, store)
    while not (store / "manifest.json").exists() and run.poll() is None:
        time.sleep(0.001)
    time.sleep(delay_s)
    ended = run.poll() is not None
    if not ended:
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    return None if ended else len(list(store.glob("[0-9]*.clips")))


if __name__ == "__main__":
    from stdl_events.cli import main

    jobs.MAX_ENTRIES = 4
    workers.HELP_AFTER_S = 0.0
    main()
