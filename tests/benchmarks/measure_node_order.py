"""A float32 step of VGG-11 in onnxruntime with nodes in the order of the file and of the exporter, and `torch.compile`.

    python tests/benchmarks/measure_node_order.py [--seconds 200] [--out FOLDER]

Batch 1, one thread, 2x128x128, initial weights. All take one step in each turn, in random order; times are those of the
thread on its processor. A ratio is the median over the turns, so that other work on the machine counts little.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bench_report import REPOSITORY, environment, write_result
from bench_variants import Step, eager, file
from vgg11 import vgg11

from stdl_events.export import onnx as export
from stdl_events.export.fold import fold_norms
from stdl_events.live.step_times import busy_frames, machine

OURS, EXPORTERS = "onnxruntime, states last", "onnxruntime, the exporter's order"


def contenders(folder: Path) -> tuple[dict[str, Step], np.ndarray]:
    """Return the steps by name, and frames for them."""
    network, card = vgg11(10_000)
    export.write_step(network, card, folder / "ours.onnx")
    with mock.patch.object(export, "states_last"):
        export.write_step(network, card, folder / "exporters.onnx")
    folded = fold_norms(network)
    steps = {OURS: file(folder / "ours.onnx"), EXPORTERS: file(folder / "exporters.onnx")}
    return steps | {"torch.compile": eager(folded, torch.compile(folded.step))}, busy_frames(card, 10, 1)


def timed(seconds: float) -> dict[str, Any]:
    """Return the number of turns, medians in milliseconds, and each contender's time as a multiple of ours."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        steps, frames_NBCHW = contenders(Path(made))
        for step in steps.values():
            step(frames_NBCHW[0])
        times: dict[str, list[float]] = {name: [] for name in steps}
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            frame_BCHW = frames_NBCHW[len(times[OURS]) % len(frames_NBCHW)]
            for name in random.sample(list(steps), len(steps)):
                began_s = time.thread_time()
                steps[name](frame_BCHW)
                times[name].append((time.thread_time() - began_s) * 1e3)
    ours = np.array(times[OURS])
    return {
        "turns": len(ours),
        "median_ms": {name: float(np.median(each)) for name, each in times.items()},
        "times_of_ours": {name: float(np.median(np.array(each) / ours)) for name, each in times.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    asked = parser.parse_args()
    found = timed(asked.seconds)
    print("\n".join(f"{name:36} {found['median_ms'][name]:8.1f} ms {ratio:6.3f}"
                    for name, ratio in found["times_of_ours"].items()))  # fmt: skip
    packages = ("stdl-events", "torch", "onnx", "onnxruntime", "numpy")
    print(
        write_result(asked.out, "node_order", {"environment": environment(packages), "processor": machine(), **found})
    )


if __name__ == "__main__":
    main()
