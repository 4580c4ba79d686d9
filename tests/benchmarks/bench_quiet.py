"""Quiet networks: accuracy, densities and times of recipes with a rate penalty and without it, over several seeds.

    python tests/benchmarks/bench_quiet.py [--recipes nmnist_small,objects,demo_walkers] [--seeds 0,1,2]
        [--settings 0 3:0.02 ...] [--validation 0.2] [--recordings FOLDER] [--runs FOLDER] [--quick] [--out FOLDER]

A setting is beta, or beta:target; 0 is no penalty. All else of a recipe is equal. Without --settings: no penalty, and
that of the recipe or of its variant `quiet`, or 3:0.02 where there is none.

With --validation that share of the recordings to train on is the part that the figures are of, and held-out clips are
not looked at: settings are to be chosen by it. Without it the figures are of the held-out clips.

"mean_rate" is the mean over layers of the share of their neurons that fire in a step; "mean_entering" that of the
values that are not 0 of what enters each convolution but the first, behind poolings. Times are of this process, in CPU
seconds: training as a whole, and one pass over the evaluated clips that are already read. Finished runs in --runs are
used again, with the time that they took; killed ones are resumed, and have no time of training. --quick trains a run
for one epoch. Writes <date>_quiet.json after each run.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events import evaluate, fit, load_recipe
from stdl_events.recipes import find_recipe
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_clips import evaluate_clips, network_logits
from stdl_events.training.run_folder import CHECKPOINT_FILE, load_config
from stdl_events.training.run_weights import weights_folder
from stdl_events.training.settings import TrainConfig

RECIPES = {"nmnist_small": "nmnist", "objects": "objects", "demo_walkers": None}
TIMES_FILE = "bench_quiet.json"
KEYS = ("accuracy", "mean_rate", "mean_entering", "training_cpu_s", "evaluation_cpu_s")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A penalty and its target; a target of None is the default."""

    beta: float
    target: float | None

    @classmethod
    def read(cls, text: str) -> "Setting":
        beta, _, target = text.partition(":")
        return cls(float(beta), float(target) if target else None)

    def of(self, config: TrainConfig) -> TrainConfig:
        return config.derive(learning={"rate_penalty": self.beta, "target_rate": self.target})

    def __str__(self) -> str:
        return f"{self.beta:g}" + ("" if self.target is None else f":{self.target:g}")


def settings_of(recipe: str) -> list[Setting]:
    """No penalty, and that of the recipe or of its quiet variant."""
    variant = "quiet" if "quiet" in find_recipe(recipe).variants else None
    learning = load_recipe(recipe, variant).learning
    if not learning.rate_penalty:
        return [Setting(0.0, None), Setting(3.0, 0.02)]
    assert not isinstance(learning.target_rate, tuple), "one target for all layers"
    return [Setting(0.0, None), Setting(learning.rate_penalty, learning.target_rate)]


def configured(recipe: str, setting: Setting, seed: int, arguments: argparse.Namespace) -> TrainConfig:
    config = setting.of(load_recipe(recipe)).derive(seed=seed)
    if (folder := RECIPES[recipe]) is not None:
        config = config.derive(data={"path": str((arguments.recordings / folder).resolve())})
    if arguments.validation:
        config = config.derive(data={"split": {"validation": arguments.validation}})
    return config.derive(epochs=1) if arguments.quick else config


def trained(config: TrainConfig, run: Path) -> float | None:
    """Train, unless the finished run of this configuration is there. Returns its CPU seconds, unless it was killed."""
    if (run / TIMES_FILE).exists():
        assert load_config(run) == config, f"{run} has other settings"
        known: float | None = json.loads((run / TIMES_FILE).read_text())["training_cpu_s"]
        return known
    was_killed = (run / CHECKPOINT_FILE).exists()
    began_s = time.process_time()
    fit(config, run, resume=was_killed, quiet=True)
    taken_s = None if was_killed else time.process_time() - began_s
    (run / TIMES_FILE).write_text(json.dumps({"training_cpu_s": taken_s}))
    return taken_s


def measured(recipe: str, setting: Setting, seed: int, arguments: argparse.Namespace, runs: Path) -> dict[str, Any]:
    config = configured(recipe, setting, seed, arguments)
    name = f"{recipe}_{str(setting).replace(':', '_')}_{seed}{'_validation' if arguments.validation else ''}"
    run = runs / name
    training_cpu_s = trained(config, run)
    side: Side = "validation" if arguments.validation else "test"
    # The weights of the last epoch: with a validation part the best ones would be chosen by the figure itself.
    evaluation = evaluate(run, weights="last", side=side, baseline=False)
    assert evaluation.density is not None, "a network was evaluated"
    logits_of = network_logits(load_bundle(weights_folder(run, "last"))[0])
    began_s = time.process_time()
    evaluate_clips(logits_of, evaluation.recordings, evaluation.clips, batch_size=config.batch_size)
    found = {
        "recipe": recipe,
        "setting": str(setting),
        "seed": seed,
        "side": side,
        "accuracy": evaluation.accuracy,
        "clips": len(evaluation.clips),
        **evaluation.density.document(),
        "training_cpu_s": training_cpu_s,
        "evaluation_cpu_s": time.process_time() - began_s,
    }
    print({key: value for key, value in found.items() if key != "layers"}, file=sys.stderr, flush=True)
    return found


def summarised(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds, of each recipe and setting."""
    found = []
    for recipe, setting in dict.fromkeys((row["recipe"], row["setting"]) for row in rows):
        own = [row for row in rows if (row["recipe"], row["setting"]) == (recipe, setting)]
        entry: dict[str, Any] = {"recipe": recipe, "setting": setting, "seeds": len(own)}
        for key in KEYS:
            values = [row[key] for row in own if row[key] is not None]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            entry[key] = {"mean": statistics.mean(values), "std": spread} if values else None
        layers = zip(*(row["layers"] for row in own), strict=True)
        entry["layers"] = [
            {"name": each[0]["name"], "notation": each[0]["notation"]}
            | {
                key: statistics.mean(layer[key] for layer in each)
                for key in ("rate", "entering")
                if each[0][key] is not None
            }
            for each in layers
        ]
        found.append(entry)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--settings", nargs="*", type=Setting.read)
    parser.add_argument("--validation", type=float)
    parser.add_argument("--recordings", type=Path, default=Path(os.environ.get("STDL_EVENTS_RECORDINGS", ".")))
    parser.add_argument("--runs", type=Path, help="keep the runs here, and use the finished ones")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        runs = arguments.runs or Path(temporary)
        for recipe in arguments.recipes.split(","):
            for seed in map(int, arguments.seeds.split(",")):
                for setting in arguments.settings or settings_of(recipe):
                    rows.append(measured(recipe, setting, seed, arguments, runs))
                    document = {
                        "environment": environment(["stdl-events", "torch", "numpy", "numba"]),
                        "threads": os.environ.get("OMP_NUM_THREADS"),
                        "quick": arguments.quick,
                        "validation": arguments.validation,
                        "summary": summarised(rows),
                        "runs": rows,
                    }
                    path = write_result(arguments.out, "quiet", document)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
