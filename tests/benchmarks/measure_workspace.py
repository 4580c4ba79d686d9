"""What a training step takes on this CPU beyond the metered bytes: buffers of libraries, and the heap's fragmentation.

    python tests/benchmarks/measure_workspace.py [--out FOLDER] [--quick | --headline]

Each case is a process of its own, with one thread, or with two and for T of 2 and 4 in the headline's rows. The child
trains as `stdl-events memory --real` does: a tiny network first, so that libraries, threads and compiled kernels are
there, then two batches of the learner. With glibc's heap as it comes, freed parts of a step stay in the process. With a
fixed threshold every larger allocation is mapped by itself and returned when it is freed: what is left beyond the
metered bytes are buffers of libraries. Other heaps trade bytes for page faults.
`stdl_events.memory.allowance` states what was found.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from bench_report import environment, write_result

from stdl_events.build import plan_learner
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.measure_real import measure_real
from stdl_events.network.zoo import parse_network

Network: TypeAlias = tuple[str, tuple[int, int, int], int]
Case: TypeAlias = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
MODES = ("lean", "kept", "plain")
MAPPED = {"MALLOC_MMAP_THRESHOLD_": "65536"}
HEAPS = {
    "as it comes": {},
    "mapped": MAPPED,
    "mapped, huge pages": MAPPED | {"THP_MEM_ALLOC_ENABLE": "1"},
    "never given back": {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"},
    "huge pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
}
# (network, input, batch): from 1 MB to about 350 MB in plain mode.
NETWORKS: list[Network] = [
    ("8C3-16C3-AP2-16C3", (2, 16, 16), 8),
    ("8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3", (2, 32, 32), 32),
    ("vgg-small", (2, 32, 32), 16),
    ("16C5(s2)-32C3-AP2-64C3-AP2-64C3", (2, 48, 48), 32),
    ("64C3-128C3-AP2-256C3-AP2-256C3", (2, 32, 32), 16),
    ("8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3", (2, 128, 128), 32),
    ("resnet18", (3, 32, 32), 16),
]
HEADLINE: list[Network] = [("vgg11", (2, 128, 128), 100), ("resnet18", (3, 32, 32), 512)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="two small networks, to see that it works")
    size.add_argument("--headline", action="store_true", help="the two large rows; about 7 GB and an hour")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case is not None:
        print(json.dumps(_measure(**json.loads(asked.case))))
        return
    cases = _headline() if asked.headline else _small(NETWORKS[:2] if asked.quick else NETWORKS)
    rows = [_run(case, heap, 2 if asked.headline else 1) for case in cases for heap in HEAPS]
    found = {heap: _bounds([row for row in rows if row["heap"] == heap]) for heap in HEAPS}
    document = {"environment": environment(["torch", "numpy", "numba"]), "found": found, "rows": rows}
    print(json.dumps(found, indent=2))
    print(write_result(asked.out, "workspace_headline" if asked.headline else "workspace", document))


def _small(networks: Sequence[Network]) -> list[Case]:
    return [_case(network, memory=memory) for network in networks for memory in MODES]


def _headline() -> list[Case]:
    kinds = [("lean", "fp32"), ("kept", "fp32"), ("lean", "bf16")]
    return [
        _case(network, memory=memory, precision=precision, steps=steps, optimizer="adamw")
        for network in HEADLINE
        for memory, precision in kinds
        for steps in (2, 4)
    ]


def _case(network: Network, **options: Any) -> Case:
    notation, input_shape, batch = network
    return {"network": notation, "input_shape": input_shape, "batch_size": batch, "steps": 2} | options


def _run(case: Case, heap: str, threads: int) -> Case:
    count = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    ended = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        env=os.environ | HEAPS[heap] | count,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: Case = case | {"heap": heap, "threads": threads} | json.loads(ended.stdout)
    print(
        f"{row['network'][:36]:<36} {row['batch_size']:>3} T={row['steps']} {row['memory']:<5} heap {heap:<18}: "
        f"metered {row['metered_bytes'] / 1e6:7.2f} MB, real {row['real_bytes'] / 1e6:7.2f}, ratio "
        f"{row['real_over_metered']:.3f}, a step {row['step_s']:.3f} s, {row['step_cpu_s']:.3f} s of the processor, "
        f"{row['step_faults']} page faults",
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
        if any(row["memory"] == memory for row in rows)
    }


def _measure(network: str, input_shape: tuple[int, int, int], **options: Any) -> Case:
    spec = parse_network(network, input_shape=input_shape, classes=10)
    blueprint, plan = plan_learner(spec, "sltt", **options)
    found = measure_real(blueprint, plan, measure_learner(blueprint, plan)[0].peak_bytes).to_dict()
    return found | {"beyond_bytes": found["real_bytes"] - found["metered_bytes"]}


if __name__ == "__main__":
    main()
