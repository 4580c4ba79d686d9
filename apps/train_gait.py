"""Train a gait recogniser. Copy this file and edit it.

    python apps/train_gait.py [folder]

Without a folder the people are simulated. With one, it holds `train/<person>/` and `test/<person>/`, or `<person>/`,
with recordings in them. Change any setting of the recipe here; `stdl-events train apps/train_gait.py` works too.
"""

import sys

from stdl_events.errors import StdlEventsError
from stdl_events.recipes import demo_walkers
from stdl_events.training.fit import fit
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    return demo_walkers.recipe().derive(name="gait", seed=0)


def main(folder: str | None = None) -> None:
    config = recipe()
    if folder is not None:
        config = config.derive(data={"dataset": "folder", "path": folder})
    result = fit(config, "runs/gait")
    print(f"{result.evaluation.accuracy:.1%} of {len(result.evaluation.clips)} held-out clips are recognised")
    print("next: stdl-events export runs/gait --out gait.onnx")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StdlEventsError as error:
        print(f"train_gait: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
