"""Four activities of real people: clips, and whole recordings as live decides them, each recording held out.

    python tests/benchmarks/bench_activities.py FOLDER [--seeds 1] [--runs FOLDER] [--out FOLDER]

FOLDER is that of the recordings sit_stand, walk_away and walk_toward, with segments.tsv. Fold i of three holds out
whole recordings: sit_stand i, walk_toward i and one of the two of walk_away; the others train the recipe activities,
variant four, without a validation part. A clip of 100 ms is a decision.

The rules of the decisions (still_below, unknown_below, hold, decide_at) for a fold are those that do best on the other
folds' held-out recordings, each through the network that was not trained on it. So neither networks nor rules of a fold
are chosen by its held-out recordings. Best: most movements named once and within 300 ms, then the fewest false alarms,
then the smallest median delay. Finished runs in --runs are used again. Writes <date>_activities.json.
"""

import argparse
import csv
import itertools
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events import evaluate, export_onnx, fit, load_bundle
from stdl_events.analysis.baselines import chance, ridge_on_summed_events
from stdl_events.analysis.movement_score import Segment, TimedDecision, TimelineScore, score_timeline
from stdl_events.events import ReplaySource
from stdl_events.frames import Framer
from stdl_events.live import OnnxSession, Recogniser
from stdl_events.live.decision import Decider
from stdl_events.model_card import DecisionThresholds
from stdl_events.recipes.resolve import resolve
from stdl_events.recordings.clips import load_clips
from stdl_events.recordings.entry import Entry
from stdl_events.training.evaluation.whole_recordings import evaluate_whole
from stdl_events.training.load_recordings import load_split
from stdl_events.training.run_folder import BUNDLE_FOLDER, load_config
from stdl_events.training.settings import TrainConfig

FOLDERS = ("sit_stand", "walk_away", "walk_toward")
GRID = itertools.product((1_500, 2_000, 2_500, 3_000), (0.0, 0.6, 0.8), (1, 2, 3), (None, 0.9))
RULES = [
    DecisionThresholds(still_below=still, unknown_below=unknown, hold=hold, decide_at=early)
    for still, unknown, hold, early in GRID
]


@dataclass(frozen=True)
class SeenFrame:
    """What the rules see of a frame: (t, clip, step, events in it, probabilities)."""

    t_us: int
    dt_us: int
    clip: int
    step: int
    steps: int
    events: int
    probabilities: dict[str, float]


def write_fold(source: Path, folder: Path, fold: int) -> None:
    """Write the labels of a fold, with its split, beside links to the recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: sorted((source / name).iterdir()) for name in FOLDERS}
    for name in FOLDERS:
        if not (folder / name).exists():
            os.symlink(source / name, folder / name)
    held_out = {f"{name}/{its[fold % len(its)].name}" for name, its in files.items()}
    with open(source / "segments.tsv", encoding="utf-8", newline="") as file:
        parts = [
            (row["file"], row["t_start_us"], row["t_end_us"], row["label"])
            for row in csv.DictReader(file, delimiter="\t")
        ]
    whole = [(f"{name}/{path.name}", "", "", name) for name in FOLDERS[1:] for path in files[name]]
    rows = [",".join((*row, "test" if row[0] in held_out else "train")) for row in [*parts, *whole]]
    (folder / "labels.csv").write_text(
        "\n".join(["recording,t_start,t_end,label,split", *rows]) + "\n", encoding="utf-8"
    )


def run_of(config: TrainConfig, folder: Path) -> Path:
    """Train, unless the finished run of this configuration is there; export."""
    if (folder / BUNDLE_FOLDER).exists():
        assert load_config(folder).derive(data={"path": config.data.path}) == config, f"{folder} has other settings"
    else:
        fit(config, folder, quiet=True)
    if not (folder / "model.onnx").exists():
        export_onnx(*load_bundle(folder / BUNDLE_FOLDER), folder / "model.onnx")
    return folder


def frames_seen(model: Path, entry: Entry) -> list[SeenFrame]:
    recording = entry.open()
    recogniser = Recogniser(OnnxSession(model), recording.sensor_size)
    framer = Framer(recogniser.spec)
    found = []
    for events in ReplaySource(recording, speed=None).chunks():
        for frame in framer.push(recogniser.select(events)):
            readout = recogniser.push(frame)
            if readout is not None:
                dt_us, events_in = frame.t_end_us - frame.t_start_us, int(frame.counts_CHW.sum())
                found.append(
                    SeenFrame(
                        frame.t_end_us, dt_us, frame.clip, frame.step, frame.steps, events_in, readout.probabilities
                    )
                )
    return found


def decided(frames: Sequence[SeenFrame], rules: DecisionThresholds) -> Iterator[TimedDecision]:
    """Yield the decisions of a live run with these rules."""
    decider, events, length_us = Decider(rules), 0, 0
    for frame in frames:
        if decider.begins(frame.clip, frame.step):
            events, length_us = 0, 0
        events, length_us = events + frame.events, length_us + frame.dt_us
        decision = decider.push(frame.probabilities, frame.steps, events * 1e6 / length_us)
        if decision is not None:
            yield TimedDecision(frame.t_us, decision.label)


def movements_of(run: Path, config: TrainConfig) -> tuple[list[SeenFrame], list[Segment], tuple[int, int]]:
    """What the network of `run` sees of its held-out recording with labelled movements, and their truth."""
    held_out = load_split(config).test
    entries = [entry for entry in held_out.entries if not entry.is_whole]
    recording = entries[0].open()
    assert recording.t_first_us is not None
    # Up to the last label: what moves after it is not labelled.
    segments = [Segment(*entry.times_us(), held_out.classes[entry.label]) for entry in entries]
    end_us = max(segment.stop_us for segment in segments) + 1_000_000
    return frames_seen(run / "model.onnx", entries[0]), segments, (recording.t_first_us, end_us)


def best_rules(others: Sequence[tuple[list[SeenFrame], list[Segment], tuple[int, int]]]) -> DecisionThresholds:
    def badness(rules: DecisionThresholds) -> tuple[float, ...]:
        total = TimelineScore((), (), 0)
        for frames, segments, span_us in others:
            total += score_timeline([one for one in decided(frames, rules) if one.t_us < span_us[1]], segments, span_us)
        found = total.summary()
        good = found["once"] + found["named_within_300_ms"]
        return -good, found["false_alarms"], found["delay_ms_median"] or float("inf")

    return min(RULES, key=badness)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, help="keep the runs here, and use the finished ones")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    recipe = resolve("activities", variant="four").config
    with tempfile.TemporaryDirectory() as temporary:
        kept = arguments.runs or Path(temporary)
        configs = []
        for fold in range(3):
            write_fold(arguments.folder.resolve(), kept / f"fold{fold}", fold)
            data = {"path": str(kept / f"fold{fold}"), "split": {"rule": "given"}}
            configs.append(recipe.derive(data=data))
        results: list[dict[str, Any]] = []
        for seed in range(arguments.seeds):
            results += of_seed([config.derive(seed=seed) for config in configs], kept, seed)
        document = {
            "environment": environment(["stdl-events", "torch", "onnxruntime", "numpy"]),
            "config": recipe.derive(data={"path": None}).model_dump(mode="json"),
            "seeds": arguments.seeds,
            "accuracy_by_class": by_class(results),
            "whole_recordings": totals(results),
            "baselines": [baselines(config) for config in configs],
            "folds": results,
        }
    print(write_result(arguments.out, "activities", document))
    return 0


def of_seed(configs: Sequence[TrainConfig], kept: Path, seed: int) -> list[dict[str, Any]]:
    runs = [run_of(config, kept / f"f{fold}s{seed}") for fold, config in enumerate(configs)]
    seen = [movements_of(run, config) for run, config in zip(runs, configs, strict=True)]
    found = []
    for fold, run in enumerate(runs):
        rules = best_rules([one for other, one in enumerate(seen) if other != fold])
        evaluation = evaluate(run, model=run / "model.onnx")
        whole = evaluate_whole(run, model=run / "model.onnx", rules=partial(_always, rules)).summary()
        summary = {"confusion": evaluation.confusion_KK.tolist(), "labels": list(evaluation.labels)}
        found.append({"fold": fold, "seed": seed, "accuracy": evaluation.accuracy} | summary | {"whole": whole})
        print(found[-1], file=sys.stderr, flush=True)
    return found


def _always(rules: DecisionThresholds, of_card: DecisionThresholds | None) -> DecisionThresholds:
    return rules


def by_class(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Right decisions and all, of each class over all folds and seeds."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        for row, label in enumerate(result["labels"]):
            counts[label][0] += result["confusion"][row][row]
            counts[label][1] += sum(result["confusion"][row])
    return {label: {"right": right, "n": n, "accuracy": right / n} for label, (right, n) in counts.items()}


def totals(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums over all folds and seeds."""
    names = (
        "movements",
        "named",
        "once",
        "missed",
        "wrong_names",
        "doubles",
        "named_within_300_ms",
        "false_alarms",
        "still_s",
    )
    scores = [result["whole"]["movements"] for result in results]
    total: dict[str, Any] = {name: sum(score[name] for score in scores) for name in names}
    return total | {"false_alarms_per_min": 60 * total["false_alarms"] / total["still_s"]}


def baselines(config: TrainConfig) -> dict[str, float]:
    split = load_split(config)
    spec = config.frames.spec(split.train.sensor_size)
    train, test = load_clips(split.train, spec), load_clips(split.test, spec)
    return {"ridge_on_summed_events": ridge_on_summed_events(train, test), "chance": chance(test)}


if __name__ == "__main__":
    sys.exit(main())
