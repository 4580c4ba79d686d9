"""Train an object recogniser on one long recording per object. Copy this file and edit it.

    python apps/train_object.py folder

The folder holds `<object>.<suffix>`, one recording each. It is cut into clips of 200 ms; the last 30 % of each
recording, with a gap of one clip before it, is held out.
"""

import sys

from stdl_events.errors import StdlEventsError
from stdl_events.recipes import objects
from stdl_events.training.fit import fit
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    return objects.recipe().derive(name="objects", seed=0)


def main(folder: str) -> None:
    result = fit(recipe().derive(data={"path": folder}), "runs/objects")
    evaluation = result.evaluation
    print(f"{evaluation.accuracy:.1%} of {len(evaluation.clips)} held-out clips are recognised")
    for name, row_K in zip(evaluation.labels, evaluation.confusion_KK, strict=True):
        print(f"{name:>12}: {dict(zip(evaluation.labels, row_K.tolist(), strict=True))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except StdlEventsError as error:
        print(f"train_object: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
