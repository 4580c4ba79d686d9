"""Time of `stdl-events plan` and `memory` for every network of the zoo, with an empty cache of costs and a full one:

    python tests/benchmarks/bench_planning.py [--quick] [--repeats 3] [--out FOLDER]

Each command is a process of its own, started with a cache folder of this program's. "cold" is the first call; it has an
empty folder. "warm" calls follow; the medians of all repeats are reported. CPU seconds are those of the process, which
other work on the machine changes less than wall seconds. Starting a process that imports what the commands import is
measured too, since that is part of each figure; the bytecode of all modules is there, as behind an installation. The
results of both are compared: a plan must not depend on the cache. Exit code 1 if any differs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench_report import environment, write_result

from stdl_events.network.zoo import list_networks

PACKAGES = ("stdl-events", "torch", "norse", "numba")
COMMANDS = ("plan", "memory")
IMPORTS = "import stdl_events.cli.plan, stdl_events.cli.memory, stdl_events.build, stdl_events.memory.report"
QUICK = ("lenet-1", "vgg-small")


class Case(NamedTuple):
    """A network as it is trained in its paper: frames, classes, sequences per batch, time steps."""

    input: str
    classes: int
    batch: int
    steps: int


CIFAR, IMAGENET = Case("3x32x32", 10, 512, 4), Case("3x224x224", 1000, 300, 1)
CASES = {
    "alexnet": Case("3x64x64", 200, 128, 4),
    "lenet-1": Case("2x28x28", 10, 64, 10),
    "lenet-2": Case("2x28x28", 10, 64, 10),
    "nf-resnet34": IMAGENET,
    "nf-resnet50": IMAGENET,
    "nf-resnet101": IMAGENET,
    "resnet18": Case("2x128x128", 10, 100, 20),
    "resnet19": CIFAR._replace(classes=100),
    "sew-resnet34": IMAGENET,
    "vgg-small": Case("2x32x32", 10, 32, 10),
    "vgg11": Case("2x128x128", 10, 100, 10),
    "vgg11-ws": Case("2x48x48", 10, 128, 10),
    "vgg16": CIFAR,
}


class Run(NamedTuple):
    """One process: its time, and what it printed."""

    cpu_seconds: float
    wall_seconds: float
    output: str


def run(arguments: list[str], cache: Path) -> Run:
    """Run Python with these arguments and one thread."""
    environ = os.environ | {"STDL_EVENTS_CACHE": str(cache), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, text=True, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(round(cpu, 2), round(wall, 2), ended.stdout)


def times(runs: list[Run]) -> dict[str, Any]:
    """Medians over some runs."""
    return {
        "cpu_seconds": statistics.median(one.cpu_seconds for one in runs),
        "wall_seconds": statistics.median(one.wall_seconds for one in runs),
    }


def measure(command: str, name: str, repeats: int) -> dict[str, Any]:
    """Cold and warm calls of a command for one network, and what it found."""
    case = CASES[name]
    arguments = ["-m", "stdl_events", command, "--network", name, "--input", case.input, "--json"]
    arguments += ["--classes", str(case.classes), "--batch", str(case.batch), "--steps", str(case.steps)]
    cold, warm = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(run(arguments, Path(cache)))
            warm.append(run(arguments, Path(cache)))
    document = json.loads(cold[0].output)
    blocks = document["blocks"]
    row = {
        "command": command,
        "network": name,
        **case._asdict(),
        "cold": times(cold),
        "warm": times(warm),
        "bytes": document["peak_bytes" if command == "memory" else "total_bytes"],
        "cuts": [[block["start"], block["stop"], block["auxiliary"]] for block in blocks],
        "equal": len({one.output for one in (*cold, *warm)}) == 1,
    }
    print(
        f"{command:6} {name:13} cold {row['cold']['cpu_seconds']:6.2f} s CPU, {row['cold']['wall_seconds']:6.2f} s; "
        f"warm {row['warm']['cpu_seconds']:5.2f} s CPU, {row['warm']['wall_seconds']:5.2f} s; {row['bytes']} bytes, "
        f"{len(blocks)} blocks{'' if row['equal'] else '; THE RESULTS DIFFER'}",
        flush=True,
    )
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"one repeat of {' and '.join(QUICK)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    asked = parser.parse_args()
    repeats = 1 if asked.quick else asked.repeats
    with tempfile.TemporaryDirectory() as cache:
        run(["-c", f"{IMPORTS}, stdl_events.learning.construction"], Path(cache))  # which writes the bytecode
        start = times([run(["-c", IMPORTS], Path(cache)) for _ in range(repeats)])
    print(f"imports alone: {start['cpu_seconds']} s CPU, {start['wall_seconds']} s", flush=True)
    names = QUICK if asked.quick else list_networks()
    rows = [measure(command, name, repeats) for name in names for command in COMMANDS]
    if asked.out is not None:
        document = {"environment": environment(PACKAGES), "repeats": repeats, "imports": start, "rows": rows}
        print(write_result(asked.out, "planning", document))
    return 0 if all(row["equal"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
