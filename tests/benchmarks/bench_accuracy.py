"""Held-out accuracy of recipes through the exported file, over seeds, with a ridge and chance beside it.

    python tests/benchmarks/bench_accuracy.py RECIPE [--data FOLDER] [--seeds 3] [--set KEY=VALUE ...] [--out FOLDER]

Each seed is one run: train, export, evaluate the file on the recordings held out. Settings are those of the recipe:
held-out recordings choose nothing. Writes <date>_accuracy_<recipe>.json.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events import evaluate, export_onnx, fit, load_bundle, load_recipe
from stdl_events.analysis.baselines import chance, ridge_on_summed_events
from stdl_events.recordings.clips import load_clips
from stdl_events.training.load_recordings import load_split
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.run_folder import BUNDLE_FOLDER
from stdl_events.training.settings import TrainConfig


def one_run(config: TrainConfig) -> dict[str, Any]:
    """Train, export and evaluate both the network and the file."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = fit(config, run, quiet=True)
        export_onnx(*load_bundle(run / BUNDLE_FOLDER), run / "model.onnx")
        exported = evaluate(run, model=run / "model.onnx")
    return {
        "seed": config.seed,
        "accuracy": exported.accuracy,
        "network_accuracy": result.evaluation.accuracy,
        "recording_accuracy": exported.recording_accuracy,
        "clips": len(exported.clips),
        "blocks": len(result.learner.blocks),
        "seconds": result.seconds,
    }


def baselines(config: TrainConfig) -> dict[str, Any]:
    """The split, and what needs no training."""
    split = load_split(config)
    spec = config.frames.spec(split.train.sensor_size)
    train, test = load_clips(split.train, spec), load_clips(split.test, spec)
    return {
        "split": split.rule,
        "recordings": {"train": len(split.train), "held_out": len(split.test)},
        "ridge_on_summed_events": ridge_on_summed_events(train, test),
        "chance": chance(test),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", help="folder of the recordings; simulated walkers need none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    config = apply_overrides(load_recipe(arguments.recipe), arguments.assignments)
    if arguments.data is not None:
        config = config.derive(data={"path": arguments.data})
    runs = []
    for seed in range(arguments.seeds):
        runs.append(one_run(config.derive(seed=seed)))
        print(runs[-1], file=sys.stderr, flush=True)
    accuracies = [run["accuracy"] for run in runs]
    document = {
        "environment": environment(["stdl-events", "torch", "onnxruntime"]),
        # The path on this machine does not belong to the result.
        "config": config.derive(data={"path": None}).model_dump(mode="json"),
        "simulated": config.data.dataset == "walkers",
        "mean": statistics.mean(accuracies),
        "spread": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "runs": runs,
    } | baselines(config)
    path = write_result(arguments.out, f"accuracy_{config.name}", document)
    print(f"{config.name}: {document['mean']:.3f} ± {document['spread'] or 0:.3f}, ridge", end=" ")
    print(f"{document['ridge_on_summed_events']:.3f}, chance {document['chance']:.3f}; {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
