"""Held-out accuracy of learning rules on 1000 recordings of N-MNIST: one network, one recipe, several seeds.

    python tests/benchmarks/bench_rules_nmnist.py [--data FOLDER] [--rules stdl tbptt:k=5,n=2 ...] [--seeds 3]
                                                  [--splits 1] [--epochs 12] [--runs FOLDER]
                                                  [--name rules_nmnist] [--out FOLDER]

Without --rules, every named rule. Options follow a rule's name, `memory` and `precision` among them. Rules that move
weights several times per sequence, and tbptt, whose spiking classifiers fall silent where steps are large, have smaller
learning rates, see LEARNING_RATES.
Memory is metered for one training step: as the rule was trained, and in plain mode.

Split 0 is the recipe's own: sorted by file number, the first 800 recordings to train and the last 200 held out. The
others hold out the 200 before those, and so on, and train on the other 800. The network that is tested is that of the
last epoch. Without --data the recordings are looked for where STDL_EVENTS_RECORDINGS says. What a run came to is kept
in --runs, where a second call of the program finds it: hours of trainings can be interrupted.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events.analysis.baselines import ridge_on_summed_events
from stdl_events.learning import list_rules
from stdl_events.recipes import load_recipe
from stdl_events.recordings import Split, load_clips, read_nmnist
from stdl_events.recordings.splits.split import file_number
from stdl_events.training.build_learner import step_bytes
from stdl_events.training.fit import RunResult, fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.run_folder import write_json
from stdl_events.training.settings import TrainConfig

RECIPE = "nmnist_small"
HELD_OUT = 200
SPLITS = 5
OUTCOME_FILE = "outcome.json"
LEARNING_RATES = {"tbptt": 1e-3, "ottt-o": 3e-3, "ndot-o": 3e-3, "ftrl-ottt": 3e-3}


@dataclass(frozen=True)
class Outcome:
    """One run."""

    rule: str
    split: int
    seed: int
    accuracy: float
    train_accuracy: float
    seconds: float
    blocks: int
    step_bytes: int
    plain_step_bytes: int


def rolled_split(data: Path, number: int) -> Split:
    """The `number`-th last 200 recordings held out, all others to train."""
    recordings = read_nmnist(data)
    ordered = sorted(recordings.entries, key=file_number)
    stop = len(ordered) - number * HELD_OUT
    held_out = ordered[stop - HELD_OUT : stop]
    rest = [entry for entry in ordered if entry not in held_out]
    return Split(
        recordings.with_entries(rest),
        recordings.with_entries(held_out),
        f"by file number, {stop - HELD_OUT} to {stop} held out",
    )


def configure(rule: str, config: TrainConfig) -> TrainConfig:
    """`config` with the rule, its options and its learning rate."""
    name, _, assignments = rule.partition(":")
    options = dict(assignment.split("=", 1) for assignment in assignments.split(",") if assignment)
    learning = {key: options.pop(key) for key in ("memory", "precision") if key in options}
    rate = LEARNING_RATES.get(name, config.optimiser.lr)
    return config.derive(learning={"rule": name, "options": options, **learning}, optimiser={"lr": rate})


def outcome(result: RunResult, config: TrainConfig, rule: str, split: int, sensor_size: tuple[int, int]) -> Outcome:
    last_epoch = [row for row in read_metrics(result.folder) if row["kind"] == "epoch"][-1]
    network = result.learner.network.spec
    metered = {
        memory: step_bytes(
            config.derive(learning={"memory": memory}), config.frames.spec(sensor_size), network.classes or 0
        )
        for memory in {"plain", config.learning.memory}
    }
    return Outcome(
        rule=rule,
        split=split,
        seed=config.seed,
        accuracy=result.evaluation.accuracy,
        train_accuracy=last_epoch["accuracy"],
        seconds=result.seconds,
        blocks=len(result.learner.blocks),
        step_bytes=metered[config.learning.memory],
        plain_step_bytes=metered["plain"],
    )


def trained(config: TrainConfig, rule: str, number: int, split: Split, folder: Path) -> Outcome:
    """Train, or what an earlier call came to with the same configuration."""
    configured = configure(rule, config)
    kept = folder / OUTCOME_FILE
    if kept.exists():
        document = json.loads(kept.read_text())
        assert document["config"] == configured.model_dump(mode="json"), f"{folder} is of another configuration"
        return Outcome(**document["outcome"])
    shutil.rmtree(folder, ignore_errors=True)
    result = fit(configured, folder, split=split, quiet=True)
    found = outcome(result, configured, rule, number, split.train.sensor_size)
    write_json(kept, {"config": configured.model_dump(mode="json"), "outcome": vars(found)})
    return found


def summarise(outcomes: list[Outcome], rules: list[str]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over seeds and splits, per rule."""
    rows = []
    for rule in rules:
        accuracies = [run.accuracy for run in outcomes if run.rule == rule]
        first = next(run for run in outcomes if run.rule == rule)
        rows.append(
            {
                "rule": rule,
                "blocks": first.blocks,
                "step_bytes": first.step_bytes,
                "plain_step_bytes": first.plain_step_bytes,
                "runs": len(accuracies),
                "mean": statistics.mean(accuracies),
                "spread": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
                "lowest": min(accuracies),
                "highest": max(accuracies),
                "seconds": statistics.mean(run.seconds for run in outcomes if run.rule == rule),
            }
        )
    return rows


def to_markdown(document: dict[str, Any]) -> str:
    config, machine = document["config"], document["environment"]
    lines = [
        f"# Learning rules on N-MNIST, {machine['date']}",
        "",
        f"{config['network']['notation']}, T={config['frames']['steps']}, {config['epochs']} epochs, `{RECIPE}`; "
        f"{document['splits']} split(s) of 800 recordings to train and {HELD_OUT} held out, {document['seeds']} seeds.",
        f"Learning rate {config['optimiser']['lr']:g}; "
        + ", ".join(f"{name} {rate:g}" for name, rate in document["learning_rates"].items())
        + ".",
        f"{machine['machine']}, commit {machine['commit']}, torch {machine['versions']['torch']}.",
        "",
        "| rule | blocks | MB per step (in plain mode) | runs | held-out accuracy, mean ± standard deviation "
        "| lowest to highest | s per run |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in document["rules"]:
        spread = "" if row["spread"] is None else f" ± {row['spread']:.4f}"
        lines.append(
            f"| {row['rule']} | {row['blocks']} "
            f"| {row['step_bytes'] / 1e6:.1f} ({row['plain_step_bytes'] / 1e6:.1f}) | {row['runs']} "
            f"| {row['mean']:.4f}{spread} "
            f"| {row['lowest']:.3f} to {row['highest']:.3f} | {row['seconds']:.0f} |"
        )
    ridges = ", ".join(f"{value:.3f}" for value in document["ridge"])
    return "\n".join([*lines, "", f"Ridge on the same frames, summed over time, per split: {ridges}.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings")) / "nmnist"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rules", nargs="+", default=[rule.name for rule in list_rules()])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own number")
    parser.add_argument("--splits", type=int, default=1, choices=range(1, SPLITS + 1))
    parser.add_argument("--runs", type=Path, help="folder of the runs, kept; without it they are not")
    parser.add_argument("--name", default="rules_nmnist", help="of the result's files")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"no recordings at {arguments.data}: give --data or set STDL_EVENTS_RECORDINGS", file=sys.stderr)
        return 0

    config = load_recipe(RECIPE)
    config = config.derive(epochs=arguments.epochs or config.epochs)
    outcomes, ridges = [], []
    with tempfile.TemporaryDirectory() as not_kept:
        runs = arguments.runs or Path(not_kept)
        for number in range(arguments.splits):
            split = rolled_split(arguments.data, number)
            ridges.append(ridge(split, config))
            for seed in range(arguments.seeds):
                for rule in arguments.rules:
                    folder = runs / f"{rule.replace(':', '_')}_{number}_{seed}"
                    outcomes.append(trained(config.derive(seed=seed), rule, number, split, folder))
                    print(outcomes[-1], file=sys.stderr, flush=True)
    document = {
        "environment": environment(["stdl-events", "torch", "numpy"]),
        "config": config.model_dump(mode="json"),
        "learning_rates": LEARNING_RATES,
        "splits": arguments.splits,
        "seeds": arguments.seeds,
        "rules": summarise(outcomes, arguments.rules),
        "ridge": ridges,
        "runs": [vars(run) for run in outcomes],
    }
    path = write_result(arguments.out, arguments.name, document)
    path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    print(to_markdown(document))
    return 0


def ridge(split: Split, config: TrainConfig) -> float:
    """The baseline without time, on the same frames."""
    frame_spec = config.frames.spec(split.train.sensor_size)
    return ridge_on_summed_events(load_clips(split.train, frame_spec), load_clips(split.test, frame_spec))


if __name__ == "__main__":
    sys.exit(main())
