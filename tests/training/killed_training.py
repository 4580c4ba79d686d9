"""Trainings in processes that are forked from this one, which has imported everything: they start at once."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from class_recordings import write_classes
from safetensors import safe_open

from stdl_events.errors import StdlEventsError
from stdl_events.recipes import load_recipe
from stdl_events.training.fit import fit
from stdl_events.training.metrics import METRICS_FILE
from stdl_events.training.settings import TrainConfig

SECONDS_AT_MOST = 600


def make_config(folder: Path) -> TrainConfig:
    """Recordings of three classes, and settings with dropout, augmentation, averages and accumulated gradients."""
    write_classes(folder / "recordings", {"train": 8, "test": 2}, np.random.default_rng(0))
    return load_recipe("folder").derive(
        data={"path": str(folder / "recordings"), "split": {"rule": "given", "validation": 0.25}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP4-DP(0.2)-4C3"},
        learning={"rule": "sltt"},
        augment={"shift_px": 1},
        averaging={"decay": 0.9},
        accumulate=2,
        epochs=3,
        batch_size=4,
        checkpoint_every_steps=1,
        log_every_steps=1,
        device="cpu",
    )


def start(config: TrainConfig, run: Path, *, resume: bool = False) -> BaseProcess:
    """Start a training; its error, if there is one, is written to `error.txt` two folders above the run."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(config, run, resume))
    process.start()
    return process


def finish(config: TrainConfig, run: Path, *, resume: bool = False) -> int:
    """Train to the end; returns the exit code."""
    process = start(config, run, resume=resume)
    process.join(SECONDS_AT_MOST)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def stop_at(process: BaseProcess, run: Path, rows: int, delay_s: float, number: int) -> bool:
    """Send a signal `delay_s` after the run has written so many rows of metrics, and wait for the end.

    Returns:
        False if the process had ended before.
    """
    while process.is_alive() and rows_of(run) < rows:
        time.sleep(0.001)
    time.sleep(delay_s)
    was_running = process.is_alive()
    if was_running and process.pid is not None:
        os.kill(process.pid, number)
    process.join(SECONDS_AT_MOST)
    assert process.exitcode is not None, "it hangs"
    return was_running


def rows_of(run: Path) -> int:
    """Number of whole rows in the metrics of a run so far."""
    path = run / METRICS_FILE
    return path.read_bytes().count(b"\n") if path.exists() else 0


def content(run: Path) -> dict[str, bytes]:
    """Bytes of the weights of both bundles and of every tensor of the checkpoint."""
    found = {name: (run / name / "model.safetensors").read_bytes() for name in ("bundle", "best")}
    with safe_open(run / "checkpoint.safetensors", framework="np") as file:
        return found | {f"checkpoint {name}": file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def in_full_folder(folder: Path, work: Callable[[], int], *, free_bytes: int) -> int:
    """The result of `work` while the disk of `folder` has `free_bytes` left."""
    filler = folder / "filler"
    left = os.statvfs(folder)
    filler.write_bytes(bytes(max(0, left.f_bavail * left.f_frsize - free_bytes)))
    try:
        return work()
    finally:
        filler.unlink()


def _train(config: TrainConfig, run: Path, resume: bool) -> None:
    try:
        fit(config, run, resume=resume, quiet=True)
    except StdlEventsError as error:
        (run.parent.parent / "error.txt").write_text(str(error), encoding="utf-8")
        raise SystemExit(2) from None
