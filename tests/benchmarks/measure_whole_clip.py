"""A file of whole clips beside calls of single steps: time of a clip, and whether the numbers are equal.

    python tests/benchmarks/measure_whole_clip.py [--quick] [--rounds 9] [--threads 1] [--batches 1 8] [--out FOLDER]

The models of the package and a VGG-11 at 2x128x128 with initial weights, on random frames of a busy scene. Both files
take turns; times are medians of the process's CPU time and of the wall clock.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import REPOSITORY, environment, write_result
from vgg11 import vgg11

from stdl_events.export.onnx import write_step
from stdl_events.export.whole_clip import write_whole_clip
from stdl_events.live.session import OnnxSession
from stdl_events.live.synthetic import busy_frames
from stdl_events.models import model_path

MODELS = ("walkers", "nmnist")


def measure(name: str, step_file: Path, folder: Path, batch: int, threads: int, rounds: int) -> dict[str, Any]:
    """Time both files of one model at one batch size."""
    made = write_whole_clip(step_file, None, folder / "clips.onnx")
    began_s = time.perf_counter()
    clips = OnnxSession(folder / "clips.onnx", threads=threads, whole_clips=True)
    opened_s = time.perf_counter() - began_s
    sessions = OnnxSession(step_file, threads=threads), clips
    frames_TBCHW = busy_frames(clips.card, made.steps, batch)
    seconds: list[list[tuple[float, float]]] = [[], []]
    logits: list[Any] = [None, None]
    for turn in range(rounds + 1):
        for which, session in enumerate(sessions):
            began = time.process_time(), time.perf_counter()
            logits[which], _ = session.steps(frames_TBCHW, session.initial_state(batch))
            if turn:
                seconds[which].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    (steps_cpu, steps_wall), (clips_cpu, clips_wall) = (
        [statistics.median(times) for times in zip(*each, strict=True)] for each in seconds
    )
    return {
        "model": name,
        "batch": batch,
        "steps": made.steps,
        "steps_cpu_ms": steps_cpu * 1e3,
        "clip_cpu_ms": clips_cpu * 1e3,
        "steps_wall_ms": steps_wall * 1e3,
        "clip_wall_ms": clips_wall * 1e3,
        "faster_cpu": steps_cpu / clips_cpu,
        "faster_wall": steps_wall / clips_wall,
        "equal": bool(np.array_equal(*logits)),
        "bytes_over_steps": made.bytes / made.step_bytes,
        "opened_s": opened_s,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small models, one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: model_path(f"models:{name}") for name in MODELS}
        if not asked.quick:
            files["vgg11, 2x128x128"] = Path(scratch) / "vgg11.onnx"
            write_step(*vgg11(window_us=10_000), files["vgg11, 2x128x128"])
        for name, file in files.items():
            for batch in asked.batches:
                rows.append(
                    measure(name, file, Path(scratch), batch, asked.threads, 1 if asked.quick else asked.rounds)
                )
                print(
                    "{model}, batch {batch}: {steps} steps {steps_cpu_ms:.1f} ms, in one call {clip_cpu_ms:.1f} ms of "
                    "CPU, {faster_cpu:.2f} times as fast ({faster_wall:.2f} by the wall clock), equal: {equal}".format(
                        **rows[-1]
                    ),
                    flush=True,
                )
    document = {
        "environment": environment(["stdl-events", "onnxruntime", "onnx"]),
        "threads": asked.threads,
        "rows": rows,
    }
    print(write_result(asked.out, "whole_clip", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
