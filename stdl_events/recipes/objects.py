"""Objects on a turntable: one long recording per class, the last 30 % of each held out."""

from stdl_events.recipes.base import SMALL_NETWORK, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"


def recipe() -> TrainConfig:
    """Clips of 200 ms at a quarter of the sensor's resolution, the network in two blocks."""
    return base(
        "objects",
        data={"dataset": "folder", "split": {"rule": "time", "held_out": 0.3}},
        frames={"kind": "stream", "steps": 10, "dt_us": 20_000, "downscale": 4},
        network={"notation": SMALL_NETWORK},
        augment={"shift_px": 1},
        epochs=12,
    )
