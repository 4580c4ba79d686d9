"""Objects on a turntable: one long recording per class, the last 30 % of each held out."""

from stdl_events.recipes import folder
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    """Clips of 200 ms at a quarter of the sensor's resolution, the network in two blocks."""
    return folder.recipe().derive(
        name="objects",
        data={"split": {"rule": "time", "held_out": 0.3}},
        frames={"downscale": 4},
        epochs=12,
    )
