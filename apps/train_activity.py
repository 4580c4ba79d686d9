"""Train an activity recogniser on your own recordings. Copy this file and edit it.

    python apps/train_activity.py folder memory

The folder holds `<activity>/<recording>`, or `<activity>.<suffix>` with one long recording each. `memory` is the limit
of one training step, such as 2GiB; a network that needs more is cut into blocks that learn locally.
"""

import sys

from stdl_events.errors import StdlEventsError
from stdl_events.recipes import folder
from stdl_events.training.fit import fit
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    """Clips of one second: 20 frames of 50 ms."""
    return folder.recipe().derive(name="activity", frames={"steps": 20, "dt_us": 50_000})


def main(recordings: str, memory: str) -> None:
    config = apply_overrides(recipe(), [f"data.path={recordings}", f"learning.budget={memory}"])
    result = fit(config, "runs/activity")
    plan = result.learner.plan
    assert plan is not None, "the recipe's rule is stdl"
    print(f"{result.evaluation.accuracy:.1%} of {len(result.evaluation.clips)} held-out clips are recognised")
    print(f"trained in {len(plan.blocks)} blocks, {plan.total_bytes / 1e9:.3f} GB for one step")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except StdlEventsError as error:
        print(f"train_activity: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
