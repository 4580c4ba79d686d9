"""What a training step takes on this CPU beyond the metered bytes: buffers of libraries, and the heap's fragmentation.

    python tests/benchmarks/measure_workspace.py [--out FOLDER] [--quick]

Each case is a process of its own, with one thread. A tiny network is trained first, so that libraries, threads and
compiled kernels are there, and the peak of resident memory is forgotten. Then the learner is built and trained for two
batches. With glibc's heap as it comes, freed parts of a step stay in the process. With a fixed threshold every larger
allocation is mapped by itself and returned when it is freed: what is left beyond the metered bytes are buffers of
libraries. `stdl_events.memory.allowance` states what was found.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from bench_report import environment, write_result

from stdl_events.build import build_learner
from stdl_events.memory.footprint import meter_learner
from stdl_events.network.zoo import parse_network

RESULTS = Path(__file__).parent / "results"
STEPS = 2
MODES = ("lean", "kept", "plain")
HEAPS = {"as it comes": {}, "mapped": {"MALLOC_MMAP_THRESHOLD_": "65536"}}
# (network, input, batch): from 1 MB to about 350 MB in plain mode.
NETWORKS = [
    ("8C3-16C3-AP2-16C3", (2, 16, 16), 8),
    ("8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3", (2, 32, 32), 32),
    ("vgg-small", (2, 32, 32), 16),
    ("16C5(s2)-32C3-AP2-64C3-AP2-64C3", (2, 48, 48), 32),
    ("64C3-128C3-AP2-256C3-AP2-256C3", (2, 32, 32), 16),
    ("8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3", (2, 128, 128), 32),
    ("resnet18", (3, 32, 32), 16),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="two small networks, to see that it works")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case is not None:
        print(json.dumps(_measure(**json.loads(asked.case))))
        return
    rows = []
    for network, input_shape, batch in NETWORKS[:2] if asked.quick else NETWORKS:
        for memory in MODES:
            case = {"network": network, "input_shape": input_shape, "batch": batch, "memory": memory}
            rows += [_run(case, heap) for heap in HEAPS]
    found = {heap: _bounds([row for row in rows if row["heap"] == heap]) for heap in HEAPS}
    document = {"environment": environment(["torch", "numpy", "numba"]), "found": found, "rows": rows}
    print(json.dumps(found, indent=2))
    print(write_result(asked.out, "workspace", document))


def _run(case: dict[str, Any], heap: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        env=os.environ | HEAPS[heap] | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, Any] = case | {"heap": heap} | json.loads(ended.stdout)
    print(
        f"{row['network']:<36} {row['batch']:>3} {row['memory']:<5} heap {heap:<11}: metered "
        f"{row['metered_bytes'] / 1e6:7.2f} MB, real {row['real_bytes'] / 1e6:7.2f}, beyond "
        f"{row['beyond_bytes'] / 1e6:7.2f}",
        flush=True,
    )
    return row


def _bounds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The most beyond the metered bytes, and the largest ratio of real to metered bytes, in each mode."""
    return {
        memory: {
            "beyond_bytes": max(row["beyond_bytes"] for row in rows if row["memory"] == memory),
            "ratio": max(row["real_bytes"] / row["metered_bytes"] for row in rows if row["memory"] == memory),
        }
        for memory in MODES
    }


def _measure(network: str, input_shape: tuple[int, int, int], batch: int, memory: str) -> dict[str, Any]:
    spec = parse_network(network, input_shape=input_shape, classes=10)
    options: dict[str, Any] = {"rule": "sltt", "batch_size": batch, "steps": STEPS, "memory": memory}
    metered = meter_learner(lambda: build_learner(spec, **options), batch_size=batch)[0].peak_bytes
    tiny = parse_network("4C3-AP2-4C3", input_shape=(2, 8, 8), classes=10)
    _train(build_learner(tiny, "sltt", batch_size=2, steps=STEPS, memory=memory), *_clip((2, 8, 8), 2))
    frames, targets = _clip(input_shape, batch)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status_bytes("VmRSS")
    learner = build_learner(spec, **options)
    _train(learner, frames, targets)
    real = _status_bytes("VmHWM") - before
    return {"metered_bytes": metered, "real_bytes": real, "beyond_bytes": real - metered}


def _train(learner: Any, frames_TBCHW: torch.Tensor, targets_B: torch.Tensor) -> None:
    for _ in range(2):
        learner.train_step(frames_TBCHW, targets_B)


def _clip(input_shape: tuple[int, int, int], batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    frames_TBCHW = torch.ones((STEPS, batch, *input_shape), dtype=torch.uint8)
    return frames_TBCHW, torch.zeros(batch, dtype=torch.int64)


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name} in /proc/self/status")


if __name__ == "__main__":
    main()
