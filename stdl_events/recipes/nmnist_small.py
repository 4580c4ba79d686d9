"""Digits: N-MNIST, split as its folders `Train` and `Test` say; else the first 80 % by number to train.

The thousand recordings that its results are measured on have no `Test`: 800 to train and 200 held out.
"""

from stdl_events.recipes.base import SMALL_NETWORK, Variant, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"
VARIANTS = {
    "long": Variant(
        "30 epochs instead of 12, shifts of two pixels and averaged weights: better by a validation part",
        {"epochs": 30, "augment": {"shift_px": 2}, "averaging": {"decay": 0.98}},
    ),
    "quiet": Variant(
        "a penalty on firing rates: 3 instead of 13 % of the neurons fire, at the same accuracy on a validation part",
        {"learning": {"rate_penalty": 3.0, "target_rate": 0.02}},
    ),
}


def recipe() -> TrainConfig:
    """T=10 frames of equally many events, the network in two blocks."""
    return base(
        "nmnist_small",
        data={"dataset": "nmnist"},
        frames={"kind": "recording", "steps": 10, "by": "count"},
        # Running statistics are updated at every time step; with PyTorch's 0.1 they would cover the last clips only.
        network={"notation": SMALL_NETWORK, "norm_momentum": 0.01},
        augment={"shift_px": 1},
        epochs=12,
    )
