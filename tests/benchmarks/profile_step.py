"""Where a training step's time goes: shares of operators, calls, and the share of the bare convolutions.

    python tests/benchmarks/profile_step.py [--out FOLDER] [--rounds 9] [--threads 1] [--quick]

For the small and the large network of bench_training, in lean and kept mode and in each precision. The convolutions of
one step are recorded with their arguments and repeated alone, in turns with the step: their time is what the step would
take if everything else were free. Clocks are the process's CPU time, which other programs disturb less, and the wall's.
Operators are torch's profiler's, each without those that it calls; what is left is Python and dispatch, of which the
number of calls of Python tells.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_report import REPOSITORY, environment, write_result
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from stdl_events.build import build_learner
from stdl_events.network.spec import NetworkSpec

NETWORKS = {
    "small": "32C3-AP2-64C3-AP2-64C3-AP2-128C3-10FC",
    "large": "64C3-128C3-AP2-256C3-AP2-256C3-10FC",
}
INPUT, BATCH, STEPS = (2, 32, 32), 16, 4
MODES = ("lean", "kept")
PRECISIONS = ("fp32", "bf16-states", "bf16-convolutions")
LISTED = 16


class Convolutions(TorchDispatchMode):
    """Records the convolutions that run, forward and backward, with their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in (torch.ops.aten.convolution, torch.ops.aten.convolution_backward):
            self.calls.append(lambda: func(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def step_of(notation: str, memory: str, precision: str, steps: int) -> Callable[[], object]:
    """One training step of a new learner on random counts, about as dense as real frames."""
    spec = NetworkSpec.parse(notation, input_shape=INPUT)
    options: dict[str, Any] = {"batch_size": BATCH, "steps": steps, "lr": 0.01, "loss": "ce", "decay": 0.5}
    learner = build_learner(spec, "sltt", memory=memory, precision=precision, **options)
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = torch.poisson(torch.full((steps, BATCH, *INPUT), 0.3), generator).to(torch.uint8)
    targets_B = torch.arange(BATCH) % spec.classes
    return lambda: learner.train_step(frames_TBCHW, targets_B)


def clocked(run: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds of the process, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def python_calls(step: Callable[[], object]) -> int:
    """Functions that Python calls in one step, its own and those of C: a count that no other program disturbs."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
    return count


def operators(step: Callable[[], object], rounds: int) -> list[dict[str, Any]]:
    """Milliseconds and calls per step of each operator, without those that it calls; the longest first."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(rounds):
            step()
    rows = sorted(profiled.key_averages(), key=lambda row: -row.self_cpu_time_total)
    return [
        {"operator": row.key, "ms": row.self_cpu_time_total / 1e3 / rounds, "calls": row.count / rounds} for row in rows
    ]


def measure(notation: str, memory: str, precision: str, rounds: int, steps: int) -> dict[str, Any]:
    step = step_of(notation, memory, precision, steps)
    step()  # compiles
    with torch.no_grad(), Convolutions() as recorded:
        step()

    def bare() -> None:
        with torch.no_grad():
            for call in recorded.calls:
                call()

    bare()
    turns = [(clocked(step), clocked(bare)) for _ in range(rounds)]
    (step_cpu, step_wall), (bare_cpu, bare_wall) = (
        [statistics.median(turn[which][clock] for turn in turns) for clock in range(2)] for which in range(2)
    )
    listed = operators(step, min(rounds, 3))
    total = sum(row["ms"] for row in listed)
    return {
        "memory": memory,
        "precision": precision,
        "step_cpu_ms": step_cpu * 1e3,
        "step_wall_ms": step_wall * 1e3,
        "convolutions_cpu_ms": bare_cpu * 1e3,
        "convolutions_wall_ms": bare_wall * 1e3,
        "convolutions_share_cpu": statistics.median(one[0] / whole[0] for whole, one in turns),
        "convolutions_share_wall": statistics.median(one[1] / whole[1] for whole, one in turns),
        "calls": sum(row["calls"] for row in listed),
        "python_calls": python_calls(step),
        "operators": [row | {"share": row["ms"] / total} for row in listed[:LISTED]],
    }


def to_text(network: str, row: dict[str, Any]) -> str:
    lines = [
        f"{network}, {row['memory']}, {row['precision']}: step {row['step_cpu_ms']:.1f} ms of CPU "
        f"({row['step_wall_ms']:.1f} of wall), bare convolutions {row['convolutions_cpu_ms']:.1f} "
        f"({row['convolutions_wall_ms']:.1f}), their share {row['convolutions_share_cpu']:.3f} "
        f"({row['convolutions_share_wall']:.3f}), {row['calls']:.0f} operators, {row['python_calls']} calls of Python"
    ]
    lines += [f"  {each['ms']:8.2f} ms {each['calls']:6.0f}  {each['operator']}" for each in row["operators"]]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one round of the small network, to see that it works")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS[:2])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rounds = 1 if asked.quick else asked.rounds
    rows = []
    for network in ["small"] if asked.quick else asked.networks:
        for precision in asked.precisions:
            for memory in MODES:
                row = measure(NETWORKS[network], memory, precision, rounds, STEPS)
                rows.append({"network": network, "notation": NETWORKS[network]} | row)
                print(to_text(network, row), flush=True)
    document = {
        "environment": environment(["torch", "numpy", "numba"]),
        "input": list(INPUT),
        "batch": BATCH,
        "steps": STEPS,
        "threads": asked.threads,
        "rounds": rounds,
        "load": os.getloadavg()[0],
        "rows": rows,
    }
    print(write_result(asked.out, "profile_step", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
