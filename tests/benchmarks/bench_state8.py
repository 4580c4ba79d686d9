"""Membrane potentials in eight bits against float32: held-out accuracy over seeds, through the exported file.

    python tests/benchmarks/bench_state8.py [--data FOLDER] [--recipes nmnist_small objects demo_walkers] [--seeds 3]
                                            [--precisions fp32 int8-state] [--set KEY=VALUE ...] [--quick] [--out DIR]
    python tests/benchmarks/bench_state8.py --memory [--out DIR]

Each run is a training by the recipe as it is, at one seed and one precision, an export that is compared with the
network on simulated frames and held-out clips, and an evaluation of the file on all held-out clips. Beside the
accuracies: the share of states at the ends of their range, nearly all of them clamped. Held-out recordings choose
nothing.

FOLDER has a folder for each data set, as STDL_EVENTS_RECORDINGS, where it is looked for without --data; simulated
walkers need none. --quick trains one epoch at one seed, to see that it runs. Writes <date>_state8.json after every run.

--memory meters one step of three published trainings instead: the uncut network in lean mode, with the paper's
optimisers, in every precision. Writes <date>_state8_memory.json.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result
from table_lean import GOALS_GB, blueprint_of
from table_memory import PUBLISHED

from stdl_events import evaluate, export_onnx, fit, load_bundle, load_recipe
from stdl_events.export.sequences import clips_needed
from stdl_events.learning.rules import get_rule
from stdl_events.memory.report import meter_step
from stdl_events.recordings.clips import load_clips
from stdl_events.training.evaluation.evaluate_run import evenly_chosen
from stdl_events.training.load_recordings import load_split
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.run_folder import BUNDLE_FOLDER
from stdl_events.training.settings import TrainConfig

# The folder of each recipe's recordings.
FOLDERS = {"nmnist_small": "nmnist", "objects": "objects", "demo_walkers": None}
COMPARED_STEPS = 40
PRECISIONS = ("fp32", "bf16-convolutions", "int8-state", "int8-state+bf16-convolutions")


def one_run(config: TrainConfig) -> dict[str, Any]:
    """Train, export, compare and evaluate."""
    split = load_split(config)
    frame = config.frames.spec(split.train.sensor_size)
    held_out = load_clips(split.test, frame)
    clips_NTCHW = evenly_chosen(held_out, clips_needed(COMPARED_STEPS, frame.steps))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = fit(config, run, quiet=True)
        file = run / "model.onnx"
        found = export_onnx(*load_bundle(run / BUNDLE_FOLDER), file, clips_NTCHW, steps=COMPARED_STEPS)
        exported = evaluate(run, model=file)
    return {
        "recipe": config.name,
        "precision": config.learning.precision,
        "seed": config.seed,
        "accuracy": exported.accuracy,
        "network_accuracy": result.evaluation.accuracy,
        "clips": len(exported.clips),
        "seconds": result.seconds,
        "largest_difference": found.largest_difference,
        "near_rounding": found.near_rounding,
        "share_at_the_ends": found.at_the_ends / found.compared,
    }


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over the seeds, for each recipe and precision."""
    rows = []
    for recipe, precision in dict.fromkeys((run["recipe"], run["precision"]) for run in runs):
        accuracies = [run["accuracy"] for run in runs if (run["recipe"], run["precision"]) == (recipe, precision)]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else None
        mean = statistics.mean(accuracies)
        rows.append({"recipe": recipe, "precision": precision, "runs": len(accuracies), "mean": mean, "spread": spread})
    return rows


def memory_rows() -> Iterator[dict[str, Any]]:
    """Metered peaks of the uncut networks, GB = 10^9 bytes, with what they consist of."""
    for goal in GOALS_GB:
        row = next(each for each in PUBLISHED if (each.network, each.steps) == goal)
        lean = dataclasses.replace(blueprint_of(row), rule=get_rule("sltt"))
        for precision in PRECISIONS:
            step = meter_step(dataclasses.replace(lean, precision=precision), None).to_dict()
            yield {
                "network": row.network,
                "input": list(row.input_shape),
                "batch": row.batch_size,
                "steps": row.steps,
                "precision": precision,
                "peak_gb": step["peak_bytes"] / 1e9,
                "breakdown_gb": {name: part / 1e9 for name, part in step["breakdown"].items()},
            }


def configured(recipe: str, data: Path | None, assignments: list[str]) -> TrainConfig:
    folder, config = FOLDERS[recipe], load_recipe(recipe)
    if folder is not None:
        if data is None:
            raise SystemExit(f"{recipe} needs recordings: give --data, or set STDL_EVENTS_RECORDINGS")
        config = config.derive(data={"path": str(data / folder)})
    return apply_overrides(config, assignments)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("STDL_EVENTS_RECORDINGS"))
    parser.add_argument("--recipes", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8-state"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    if asked.memory:
        document: dict[str, Any] = {"environment": environment(["stdl-events", "torch"]), "rows": []}
        for row in memory_rows():
            document["rows"].append(row)
            print(row, file=sys.stderr, flush=True)
            path = write_result(asked.out, "state8_memory", document)
        print(path)
        return 0
    data = None if asked.data is None else Path(asked.data)
    assignments = [*asked.assignments, *(["epochs=1"] if asked.quick else [])]
    runs: list[dict[str, Any]] = []
    for recipe in asked.recipes:
        config = configured(recipe, data, assignments)
        for seed in range(1 if asked.quick else asked.seeds):
            for precision in asked.precisions:
                runs.append(one_run(config.derive(seed=seed, learning={"precision": precision})))
                print(runs[-1], file=sys.stderr, flush=True)
                document = {
                    "environment": environment(["stdl-events", "torch", "onnxruntime"]),
                    "settings": assignments,
                    "summary": summary(runs),
                    "runs": runs,
                }
                path = write_result(asked.out, "state8", document)
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
