"""Objects on a turntable: one long recording per class, the last 30 % of each held out."""

from stdl_events.recipes.base import SMALL_NETWORK, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"


def recipe() -> TrainConfig:
    """Clips of 200 ms at a quarter of the sensor's resolution, binary and augmented, the network in two blocks.

    Another session of two of the objects, and a part in time of the recordings to train on, were to choose frames and
    augmentation; docs/benchmarks.md says what they can tell and what they cannot.
    """
    return base(
        "objects",
        data={"dataset": "folder", "split": {"rule": "time", "held_out": 0.3}},
        # In another session the light, and with it the number of events and of noise, is another one: pixels are
        # occupied or not, and a lone event is none.
        frames={
            "kind": "stream",
            "steps": 5,
            "dt_us": 40_000,
            "filters": {"background_us": 20_000},
            "downscale": 4,
            "cap": 1,
        },
        network={"notation": SMALL_NETWORK},
        # A mirrored object is one seen from an angle that the recording may not have.
        augment={
            "shift_px": 4,
            "flip": True,
            "transforms": ["random_noise:most=0.01,probability=0.5"],
        },
        epochs=16,
        averaging={"decay": 0.97},
    )
