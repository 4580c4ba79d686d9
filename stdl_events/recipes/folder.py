"""Your own recordings: one folder of recordings per class, or one long recording per class."""

from stdl_events.recipes.base import SMALL_NETWORK, Variant, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"
VARIANTS = {
    "binary": Variant(
        "for another day or person: binary frames at a quarter of a DVS128's resolution, shifted; the weights' average",
        {
            "frames": {"downscale": 4, "cap": 1},
            "augment": {"shift_px": 3},
            "averaging": {"decay": 0.97},
            "epochs": 30,
        },
    )
}


def recipe() -> TrainConfig:
    """Clips of 200 ms; held out are the folder's own test part, or a fifth of each class's recordings or time."""
    return base(
        "folder",
        data={"dataset": "folder", "split": {"rule": "auto", "held_out": 0.2}},
        frames={"kind": "stream", "steps": 10, "dt_us": 20_000},
        network={"notation": SMALL_NETWORK},
        augment={"shift_px": 1},
    )
