"""Exported files against their networks on every held-out clip of finished runs: the same classes?

    python tests/benchmarks/run_same_classes.py RUN [RUN ...] [--data FOLDER] [--out tests/benchmarks/results]

Exit code 1: a clip gets another class.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import environment, write_result

from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.export_proof import described
from stdl_events.training.run_folder import load_config


def compared(run: Path, data: Path | None) -> dict[str, Any]:
    """Return how the file of a run and its network do on its held-out clips."""
    found = evaluate(run, data=data, device="cpu", through="onnx", baseline=False)
    assert found.own is not None
    return {
        "data": described(load_config(run).data), "clips": len(found.clips),
        "recordings": len(found.recording_is_right_R),
        "other_class": int((found.predicted_N != found.own.predicted_N).sum()),
        "largest_difference_of_probabilities": float(np.abs(found.probabilities_NK - found.own.probabilities_NK).max()),
        "accuracy": found.accuracy, "network_accuracy": found.own.accuracy,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, help="current folder of the recordings")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    asked = parser.parse_args()
    rows = [compared(run, asked.data) for run in asked.runs]
    for row in rows:
        print(f"{row['data']}: {row['other_class']} of {row['clips']} held-out clips get another class, accuracy "
              f"{row['accuracy']:.4f} and {row['network_accuracy']:.4f}")  # fmt: skip
    if asked.out is not None:
        document = {"environment": environment(("torch", "onnx", "onnxruntime")), "runs": rows}
        print(write_result(asked.out, "same_classes", document))
    sys.exit(any(row["other_class"] for row in rows))


if __name__ == "__main__":
    main()
