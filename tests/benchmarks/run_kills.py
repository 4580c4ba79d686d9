"""`prepare` killed with SIGKILL at many random moments, helpers too; each time the same command finishes the store:

    python tests/benchmarks/run_kills.py [--kills 50] [--seed 0] [--out FOLDER]

Every kill has a store of its own. What the second run leaves must equal an uninterrupted store, byte for byte of every
file. The moments are drawn from the beginning of the store to a little past where an uninterrupted run ends; runs that
ended before their moment came do not count. Exits with 1 if any store differs.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench_report import REPOSITORY, environment, write_result

sys.path.insert(0, str(REPOSITORY / "tests" / "prepared"))

from binary_recordings import content, write_recordings  # the folder of the tests that use them
from killed_runs import finish, kill_after, start

PER_CLASS = 150
EVENTS = 30_000


def seconds_of_work(root: Path, store: Path) -> float:
    """Seconds from the beginning of the store to its end, uninterrupted."""
    run = start(root, store)
    while not (store / "manifest.json").exists():
        time.sleep(0.001)
    began_s = time.perf_counter()
    while not json.loads((store / "manifest.json").read_text())["complete"]:
        time.sleep(0.001)
    took_s = time.perf_counter() - began_s
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    return took_s


def main() -> int:
    parser = argparse.ArgumentParser(description="prepare, killed at random moments.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = write_recordings(folder / "recordings", PER_CLASS, EVENTS)
        whole_s = seconds_of_work(root, folder / "whole")
        whole = content(folder / "whole")
        while len(rows) < arguments.kills:
            store = folder / "store"
            shutil.rmtree(store, ignore_errors=True)
            delay_s = rng.uniform(0, 1.1 * whole_s)
            there = kill_after(root, store, delay_s)
            if there is None:
                continue
            facts = json.loads(finish(root, store, "--json"))
            rows.append(
                {
                    "delay_s": round(delay_s, 4),
                    "shards_there": there,
                    "recordings_kept": facts["kept"],
                    "equal": content(store) == whole,
                }
            )
            print(f"{len(rows):3}: {rows[-1]}", flush=True)
    shards = sum(name.endswith(".clips") for name in whole)
    there = [row["shards_there"] for row in rows]
    equal = sum(row["equal"] for row in rows)
    print(
        f"{equal} of {len(rows)} equal an uninterrupted store; killed at {min(there)} to {max(there)} of {shards} "
        f"shards, median {statistics.median(there)}"
    )
    if arguments.out:
        configuration = {
            "kills": arguments.kills, "seed": arguments.seed, "recordings": 2 * PER_CLASS, "events_each": EVENTS,
            "shards": shards, "workers": 2, "uninterrupted_s": round(whole_s, 3),
        }  # fmt: skip
        facts = environment(["stdl-events", "numpy", "zstandard"])
        document = {"environment": facts, "configuration": configuration, "equal": equal, "rows": rows}
        print(write_result(arguments.out, "prepare_kills", document))
    return int(equal < len(rows))


if __name__ == "__main__":
    sys.exit(main())
