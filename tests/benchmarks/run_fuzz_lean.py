"""Lean mode against plain mode on many random networks, in float64:

    python tests/benchmarks/run_fuzz_lean.py [--count 500] [--first 0] [--out FOLDER]

The suite runs the first 25 of them. Exit code 1 if a network's results differ between the modes.
"""

import argparse
import math
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from bench_report import REPOSITORY, environment, write_result

sys.path.insert(0, str(REPOSITORY / "tests" / "learning"))

from lean_fuzz import TOLERANCE, compare  # the folder of the tests that use it


def main() -> int:
    parser = argparse.ArgumentParser(description="Lean mode against plain mode on many random networks.")
    parser.add_argument("--count", type=int, default=500, help="networks")
    parser.add_argument("--first", type=int, default=0, help="seed of the first network; the others follow it")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began_s = time.perf_counter()
    outcomes = [compare(seed) for seed in range(arguments.first, arguments.first + arguments.count)]
    apart = [outcome for outcome in outcomes if not outcome.worst <= TOLERANCE]
    worst = max(outcomes, key=lambda outcome: outcome.worst)
    for outcome in apart:
        print(f"{outcome.worst:.1e} in {outcome.where} of {outcome.case}")
    print(
        f"{len(outcomes)} networks, {len(apart)} learn differently; at most {worst.worst:.1e} apart, in {worst.where}"
    )
    if arguments.out:
        rules = Counter(outcome.case.rule for outcome in outcomes)
        rows = {
            "networks": len(outcomes),
            "learn_differently": [str(outcome.case) for outcome in apart],
            "largest_relative_difference": worst.worst if math.isfinite(worst.worst) else None,
            "where": f"{worst.where} of {worst.case}",
            "without_learning": sum(outcome.learned == 0 for outcome in outcomes),
            "rules": dict(sorted(rules.items())),
            "seconds": round(time.perf_counter() - began_s, 1),
        }
        configuration = {"count": arguments.count, "first": arguments.first, "tolerance": TOLERANCE}
        facts = environment(["stdl-events", "torch", "numpy"])
        document = {"environment": facts, "configuration": configuration, "rows": [rows]}
        print(write_result(arguments.out, "fuzz_lean", document))
    return int(bool(apart))


if __name__ == "__main__":
    sys.exit(main())
