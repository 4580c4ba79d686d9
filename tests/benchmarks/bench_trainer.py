"""The trainer's own time: what a run takes beside the steps of its learner, as shares of the whole.

    python tests/benchmarks/bench_trainer.py STORE [--seeds 3] [--epochs 2] [--set KEY=VALUE ...] [--out FOLDER]

STORE holds N-MNIST: `stdl-events prepare nmnist --data FOLDER --frames T=10,by=count --out STORE`. Each seed is one run
with batches made ahead by a thread, and one with each batch made before its step (`prefetch=0`), in alternating order.
CPU only, where a step has ended when it returns. Writes <date>_trainer.json.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events import fit, load_recipe
from stdl_events.learning.learner import Learner
from stdl_events.training import fit as fitting
from stdl_events.training import prefetch
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.run import Run
from stdl_events.training.settings import TrainConfig

RECIPE = "nmnist_small"
SHARES = ("own_share_of_epochs", "own_share_without_evaluation", "own_share_of_all")
PLACES: dict[str, tuple[Any, str]] = {
    "training": (Run, "train"),
    "epochs": (Run, "_train_epoch"),
    "steps": (Learner, "train_step"),
    "evaluation": (Run, "_evaluate"),
    "keeping": (Run, "_keep"),
    "checkpoints": (Run, "save"),
    "planning": (fitting, "build_configured_learner"),
    "making_batches": (prefetch, "batch_of"),
}


class Clock:
    """Context that sums the seconds spent in the functions of `PLACES`."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PLACES, 0.0)
        self._own: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> "Clock":
        self._own = {name: getattr(*place) for name, place in PLACES.items()}
        self._set({name: self._timed(name, function) for name, function in self._own.items()})
        return self

    def __exit__(self, *error: object) -> None:
        self._set(self._own)

    def _set(self, functions: dict[str, Callable[..., Any]]) -> None:
        for name, (owner, attribute) in PLACES.items():
            setattr(owner, attribute, functions[name])

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.perf_counter() - began_s

        return timed


def one_run(config: TrainConfig) -> dict[str, Any]:
    """Train once, and return the seconds of each part. Planning trains too, so its steps are not the run's."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, clock:
        planned_s = [0.0]
        began_s = time.perf_counter()
        build = fitting.build_configured_learner

        def built(*arguments: Any, **named: Any) -> Learner:
            learner = build(*arguments, **named)
            planned_s[0] = clock.seconds["steps"]
            return learner

        fitting.build_configured_learner = built
        fit(config, Path(folder) / "run", quiet=True)
        whole_s = time.perf_counter() - began_s
    seconds = clock.seconds | {"whole": whole_s, "steps": clock.seconds["steps"] - planned_s[0]}
    return {
        "seed": config.seed,
        "prefetch": config.prefetch,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "own_share_of_epochs": 1 - seconds["steps"] / seconds["epochs"],
        "own_share_without_evaluation": 1 - seconds["steps"] / (seconds["whole"] - seconds["evaluation"]),
        "own_share_of_all": 1 - seconds["steps"] / seconds["whole"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    settings = [f"epochs={arguments.epochs}", "device=cpu", *arguments.assignments]
    config = apply_overrides(load_recipe(RECIPE), settings)
    ahead = config.prefetch or 2
    one_run(config.derive(data={"prepared": arguments.store}, epochs=1))  # compiles the kernels
    runs = []
    for seed in range(arguments.seeds):
        for prefetched in ((ahead, 0), (0, ahead))[seed % 2]:
            runs.append(one_run(config.derive(data={"prepared": arguments.store}, seed=seed, prefetch=prefetched)))
            print(runs[-1], file=sys.stderr, flush=True)
    medians = {
        str(prefetched): {
            name: statistics.median(run[name] for run in runs if run["prefetch"] == prefetched) for name in SHARES
        }
        for prefetched in (0, ahead)
    }
    document = {
        "environment": environment(["stdl-events", "torch", "numpy"]),
        "config": config.model_dump(mode="json"),
        "median_shares_by_prefetch": medians,
        "runs": runs,
    }
    path = write_result(arguments.out, "trainer", document)
    for prefetched, shares in medians.items():
        print(f"prefetch={prefetched}: beside the steps", end=" ")
        epochs, without, whole = (shares[name] for name in SHARES)
        print(f"{epochs:.1%} of the epochs, {without:.1%} of a run without its evaluations, {whole:.1%} of all")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
