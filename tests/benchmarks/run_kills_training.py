"""Training ended at random moments by SIGKILL, SIGTERM and Ctrl-C, and by a full disk; each time resuming finishes it:

    python tests/benchmarks/run_kills_training.py [--kills 10] [--seed 0] [--out FOLDER]

The run has dropout, augmentation, averaged weights, accumulated gradients and a validation part. What a resumed run
leaves must equal an uninterrupted one: the weights of both bundles and every tensor of the checkpoint, bit for bit.
A moment is a row of the metrics, one is written after each update, and a time after it of up to two rows; runs that
ended before their moment came do not count. The full disk is a tmpfs, which only root can mount. Exits with 1 if
anything differs.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

sys.path.insert(0, str(REPOSITORY / "tests" / "training"))

from killed_training import content, finish, in_full_folder, make_config, rows_of, start, stop_at

from stdl_events.training.metrics import read_metrics
from stdl_events.training.settings import TrainConfig

SIGNALS = (signal.SIGTERM, signal.SIGINT)
TMPFS_BYTES = 16_000_000


def resumed(config: TrainConfig, run: Path) -> int:
    """Finish the run: resume it, or start it if it had not yet begun."""
    return finish(config, run, resume=(run / "config.json").exists())


def interrupted(
    config: TrainConfig, run: Path, moment: tuple[int, float], number: int, whole: dict[str, bytes]
) -> dict[str, Any] | None:
    """End one run at a moment and finish it; None if it had ended by itself."""
    shutil.rmtree(run, ignore_errors=True)
    if not stop_at(start(config, run), run, *moment, number):
        return None
    checkpoint = (run / "checkpoint.safetensors").exists()
    rows = rows_of(run)
    code = resumed(config, run)
    return {
        "signal": signal.Signals(number).name,
        "rows_written": rows,
        "had_a_checkpoint": checkpoint,
        "exit_code": code,
        "equal": code == 0 and content(run) == whole,
    }


def seconds_of_a_row(run: Path) -> float:
    """Mean time between two rows of the metrics."""
    times = [row["unix_s"] for row in read_metrics(run)]
    return float(times[-1] - times[0]) / (len(times) - 1)


def on_a_full_disk(config: TrainConfig, folder: Path, whole: dict[str, bytes]) -> list[dict[str, Any]]:
    """Runs whose disk is full from the beginning, and after their first checkpoint."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", disk], check=True)
    rows = []
    try:
        for free_bytes in (20_000, 100_000):
            run = disk / f"run{free_bytes}"
            code = in_full_folder(disk, lambda run=run: finish(config, run), free_bytes=free_bytes)
            said = (folder / "error.txt").read_text(encoding="utf-8") if code else ""
            rows.append({"free_bytes": free_bytes, "exit_code": code, "said": said.replace(str(folder), "")})
            rows[-1]["equal"] = resumed(config, run) == 0 and content(run) == whole
            print(rows[-1], flush=True)
    finally:
        subprocess.run(["umount", disk], check=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="train, ended at random moments.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = make_config(folder)
        began_s = time.perf_counter()
        assert finish(config, folder / "runs" / "whole") == 0
        whole_s = time.perf_counter() - began_s
        whole, total_rows = content(folder / "runs" / "whole"), rows_of(folder / "runs" / "whole")
        row_s = seconds_of_a_row(folder / "runs" / "whole")
        rows: list[dict[str, Any]] = []
        while len(rows) < arguments.kills + len(SIGNALS):
            number = signal.SIGKILL if len(rows) < arguments.kills else SIGNALS[len(rows) - arguments.kills]
            moment = rng.randrange(total_rows), rng.uniform(0, 2 * row_s)
            row = interrupted(config, folder / "runs" / "run", moment, number, whole)
            if row is not None:
                rows.append(row)
                print(f"{len(rows):3}: {row}", flush=True)
        full = on_a_full_disk(config, folder, whole) if os.geteuid() == 0 else []
    equal = sum(row["equal"] for row in (*rows, *full))
    total = len(rows) + len(full)
    print(f"{equal} of {total} equal an uninterrupted run" + ("" if full else "; no full disk without root"))
    if arguments.out:
        facts = environment(["stdl-events", "torch", "numpy"])
        configuration = {
            "kills": arguments.kills, "seed": arguments.seed, "rows": total_rows, "uninterrupted_s": round(whole_s, 3),
        }  # fmt: skip
        document = {"environment": facts, "configuration": configuration, "equal": equal, "rows": rows, "full": full}
        print(write_result(arguments.out, "training_kills", document))
    return int(equal < total)


if __name__ == "__main__":
    sys.exit(main())
