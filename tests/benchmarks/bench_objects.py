"""Objects on a turntable, held out in time and in another session: the recipe `objects`, counts of events beside it.

    python tests/benchmarks/bench_objects.py FOLDER --other FOLDER [--seeds 3] [--counts-seeds 1] [--runs FOLDER]
        [--out FOLDER]

Each run trains on the first 70 % of each recording of FOLDER, and is evaluated on the last 30 % and on the recordings
of --other: <class>.aedat of another session, of some of the classes. The other session was the validation part by
which frames and augmentation of the recipe were compared. "Counts" is the recipe with counts of events instead of
binary frames, shifts of one pixel and no other augmentation, and the last weights instead of their average. Finished
runs in --runs are used again. Writes <date>_objects.json.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events import evaluate, fit, load_recipe, predict
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.run_folder import BUNDLE_FOLDER, load_config
from stdl_events.training.settings import TrainConfig

KEYS = ("in_time", "other_session")
COUNTS = ["frames.cap=255", "augment.shift_px=1", "augment.flip=false", "augment.transforms=[]", "averaging.decay=none"]


def run_of(config: TrainConfig, folder: Path) -> Path:
    """Train, unless the finished run of this configuration is there."""
    if (folder / BUNDLE_FOLDER).exists():
        assert load_config(folder) == config, f"{folder} has other settings"
    else:
        fit(config, folder, quiet=True)
    return folder


def of_run(name: str, run: Path, other: Path) -> dict[str, Any]:
    in_time = evaluate(run)
    rows: dict[str, dict[str, float]] = {}
    for result in predict(run, other):
        named = [max(clip.probabilities, key=lambda label: clip.probabilities[label]) for clip in result.clips]
        right = sum(label == result.path.stem for label in named)
        said = {label: named.count(label) for label in sorted(set(named))}
        rows[result.path.stem] = {"right": right, "clips": len(named), "said": said}
    right, clips = (sum(row[key] for row in rows.values()) for key in ("right", "clips"))
    found = {
        "settings": name,
        "seed": load_config(run).seed,
        "in_time": in_time.accuracy,
        "in_time_by_class": dict(zip(in_time.labels, map(float, in_time.class_accuracy_K), strict=True)),
        "in_time_clips": len(in_time.clips),
        "other_session": right / clips,
        "other_session_by_class": rows,
    }
    print(found, file=sys.stderr, flush=True)
    return found


def spread(rows: list[dict[str, Any]], key: str) -> dict[str, float]:
    values = [row[key] for row in rows]
    return {"mean": statistics.mean(values), "std": statistics.stdev(values) if len(values) > 1 else 0.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--counts-seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, help="keep the runs here, and use the finished ones")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    recipe = load_recipe("objects").derive(data={"path": str(arguments.folder.resolve())})
    contenders = {
        "recipe": (recipe, arguments.seeds),
        "counts": (apply_overrides(recipe, COUNTS), arguments.counts_seeds),
    }
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        runs = arguments.runs or Path(temporary)
        for name, (config, seeds) in contenders.items():
            for seed in range(seeds):
                run = run_of(config.derive(seed=seed), runs / f"{name}{seed}")
                rows.append(of_run(name, run, arguments.other))
    document = {
        "environment": environment(["stdl-events", "torch", "numpy"]),
        "config": recipe.derive(data={"path": None}).model_dump(mode="json"),
        "counts": COUNTS,
        "means": {
            name: {key: spread([row for row in rows if row["settings"] == name], key) for key in KEYS}
            for name, (_, seeds) in contenders.items()
            if seeds
        },
        "runs": rows,
    }
    print(write_result(arguments.out, "objects", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
