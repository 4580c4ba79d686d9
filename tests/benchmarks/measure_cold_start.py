"""How long `stdl-events live models:walkers` takes from its start to its first prediction, in a warm page cache.

    python tests/benchmarks/measure_cold_start.py [--command PATH] [--runs N] [--out FOLDER]

`--command` is the program to measure, such as that of an environment with the base install alone. It recognises 2 s of
simulated noise as fast as it can, and the time ends with the first line of --json-lines. On a busy machine a part of it
is spent waiting for a core: the kernel's own count of that wait for the main thread (schedstat) is measured beside, and
so are the processor seconds of all threads.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TypeAlias

import numpy as np
from bench_report import environment, write_result

from stdl_events.events.stream import empty_events

Seconds: TypeAlias = dict[str, float]

RESULTS = Path(__file__).parent / "results"
SENSOR = (48, 48)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", type=Path, default=Path(sys.executable).parent / "stdl-events")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = _noise(Path(folder))
        _first_line(asked.command, recording)  # fills the page cache
        runs = [_first_line(asked.command, recording) for _ in range(asked.runs)]
    medians = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    packages = [line for line in _installed(asked.command) if line]
    facts = {"packages": packages, "medians_s": medians, "runs": runs}
    document = {"environment": environment(["numpy", "onnxruntime"])} | facts
    print(medians, f"{len(packages)} packages installed")
    print(write_result(asked.out, "cold_start", document))


def _noise(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    events = empty_events(40_000)
    events["t"] = np.sort(rng.integers(0, 2_000_000, len(events)))
    events["x"], events["y"] = (rng.integers(0, side, len(events)) for side in SENSOR)
    path = folder / "noise.npz"
    np.savez(path, **{name: events[name] for name in "txyp"}, sensor_size=SENSOR)
    return path


def _first_line(command: Path, recording: Path) -> Seconds:
    """Run the command once; return the seconds until its first line."""
    words = [command, "live", "models:walkers", "--source", recording, "--speed", "max", "--json-lines"]
    start_s = time.perf_counter()
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        wall_s = time.perf_counter() - start_s
        threads = {path.name: path / "schedstat" for path in Path(f"/proc/{process.pid}/task").iterdir()}
        counts = {name: path.read_text(encoding="ascii").split() for name, path in threads.items()}
        process.stdout.read()
    if not line.startswith(b'{"t_us"') or process.returncode != 0:
        sys.exit(f"got {line!r} and exit code {process.returncode}; expected a prediction; run the command by hand")
    waited_s = int(counts[str(process.pid)][1]) / 1e9
    return {
        "wall": wall_s,
        "waited_for_a_core": waited_s,
        "wall_less_wait": wall_s - waited_s,
        "processor": sum(int(count[0]) for count in counts.values()) / 1e9,
    }


def _installed(command: Path) -> list[str]:
    words = [command.parent / "python", "-m", "pip", "list", "--format", "freeze"]
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    return ended.stdout.splitlines()


if __name__ == "__main__":
    main()
