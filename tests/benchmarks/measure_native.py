"""Time for a clip in C++ beside Python's `predict`, each in a process of its own, in turns.

    python tests/benchmarks/measure_native.py PROGRAM [--clips 200] [--rounds 7] [--out FOLDER]

PROGRAM is `recognise`, built from deploy/cpp with the library of the installed onnxruntime. Both read the same files of
random events, EVT 3, one clip each, and use one thread. The time of a clip runs from the line of the first
recording to that of the last one, so that no start counts; the start runs from the process to the first line.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_report import environment, write_result

from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession


def write_recordings(folder: Path, session: OnnxSession, clips: int) -> list[Path]:
    """Write one clip of random events a recording."""
    spec, rng, paths = session.card.frame, np.random.default_rng(0), []
    length_us = spec.steps * (spec.dt_us or 30_000)
    for number in range(clips):
        events = empty_events(5_000)
        events["t"] = np.linspace(0, length_us - 1, len(events)).astype(np.int64)
        for axis, side in zip("xy", spec.sensor_size, strict=True):
            events[axis] = rng.integers(0, side, len(events))
        events["p"] = rng.integers(0, 2, len(events))
        paths.append(folder / f"{number}.raw")
        write_recording(paths[-1].with_suffix(".h5"), events, spec.sensor_size)
        convert(open_recording(paths[-1].with_suffix(".h5")), paths[-1], format="evt3")
    return paths


def times_ms(command: list[object], clips: int) -> tuple[float, float]:
    """Return the time to the first recording's line, and for each one after it."""
    began, lines = time.perf_counter(), []
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith('{"recording"'):
                lines.append(time.perf_counter())
    assert process.returncode == 0
    assert len(lines) == clips
    return 1e3 * (lines[0] - began), 1e3 * (lines[-1] - lines[0]) / (clips - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result: dict[str, object] = {"environment": environment(("numpy", "onnxruntime"))}
    predict = [sys.executable, "-m", "stdl_events", "predict"]
    for name in ("walkers", "nmnist"):
        session, measured = OnnxSession(f"models:{name}"), {"cpp": [], "python": []}
        with tempfile.TemporaryDirectory() as folder:
            paths = write_recordings(Path(folder), session, asked.clips)
            for _ in range(asked.rounds):
                measured["cpp"].append(times_ms([asked.program, session.path, *paths], asked.clips))
                measured["python"].append(times_ms([*predict, session.path, *paths, "--json-lines"], asked.clips))
        medians = {
            side: [statistics.median(column) for column in zip(*runs, strict=True)] for side, runs in measured.items()
        }
        result[name] = {side: {"start_ms": start, "clip_ms": clip} for side, (start, clip) in medians.items()}
        ratios = [python[1] / cpp[1] for cpp, python in zip(measured["cpp"], measured["python"], strict=True)]
        result[name]["python_by_cpp"] = statistics.median(ratios)
        print(name, result[name])
    if asked.out:
        print(write_result(asked.out, "native", result))


if __name__ == "__main__":
    main()
